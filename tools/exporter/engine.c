/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine itself, its links, and where the time of requests goes. */
#include "tools/exporter/page.h"

#include "engine/json/json.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const struct family of_loop[] = {
	{"lockstep_engine_requests_total", "counter", "Requests of clients that the engine took.", "requests", 0},
	{"lockstep_engine_completions_total", "counter", "Requests of clients that the engine completed.", "completions", 0},
	{"lockstep_engine_passes_total", "counter", "Passes of the engine's loop.", "passes", 0},
	{"lockstep_engine_idle_passes_total", "counter", "Passes that found nothing to do.", "idle_passes", 0},
	{"lockstep_engine_sleeps_total", "counter", "Times that the engine slept.", "sleeps", 0},
	{"lockstep_engine_late_wakes_total", "counter", "Sleeps that most likely lost a wake-up; stays 0.", "late_wakes", 0},
};

static const struct family of_shard[] = {
	{"lockstep_engine_requests_open", "gauge", "Requests of clients that have not ended.", "requests_open", 0},
	{"lockstep_engine_pieces_in_use", "gauge", "Parts of requests that are under way.", "pieces_in_use", 0},
	{"lockstep_engine_pieces", "gauge", "Parts of requests that can be under way.", "pieces_total", 0},
	{"lockstep_engine_copied_payload_bytes_total", "counter", "Payload that links and stores copied themselves; 0 with rdma and nvme.", "copied_payload_bytes", 0},
	{"lockstep_engine_data_path_allocations_total", "counter", "Allocations on the data path; stays 0.", "data_path_allocations", 0},
	{"lockstep_engine_data_path_locks_total", "counter", "Locks on the data path; stays 0.", "data_path_locks", 0},
};

static const struct family of_store[] = {
	{"lockstep_store_submitted_total", "counter", "Commands given to local devices.", "submitted", 0},
	{"lockstep_store_completed_total", "counter", "Commands that local devices completed.", "completed", 0},
	{"lockstep_store_syscalls_total", "counter", "System calls for that.", "syscalls", 0},
	{"lockstep_store_slowest_seconds", "gauge", "The longest that a command took since the start.", "slowest_ns", NS_PER_S},
};

static const struct family mirrored_writes =
	{"lockstep_mirrored_writes_total", "counter", "Parts of writes that went to both nodes.", "count", 0};

/* Exact sums; the histograms are of a sample. */
static const struct {
	const char *hop, *key;
} write_hops[] = {
	{"total", "total_ns_sum"},
	{"local", "local_ns_sum"},
	{"remote", "remote_ns_sum"},
	{"peer_device", "peer_device_ns_sum"},
};

static const struct family of_peers[] = {
	{"lockstep_peer_sessions_total", "counter", "Sessions with the peer that were established.", "sessions", 0},
	{"lockstep_peer_credits_free", "gauge", "Slots at the peer that are free.", "credits", 0},
	{"lockstep_peer_credits", "gauge", "Slots at the peer.", "credits_total", 0},
};

/* Of the link that is up: from 0 with each session, as counters may. */
static const struct family of_links[] = {
	{"lockstep_link_sent_messages_total", "counter", "Messages sent to the peer.", "messages_tx", 0},
	{"lockstep_link_received_messages_total", "counter", "Messages received from the peer.", "messages_rx", 0},
	{"lockstep_link_sent_requests_total", "counter", "Requests sent to the peer.", "requests_tx", 0},
	{"lockstep_link_received_requests_total", "counter", "Requests received from the peer.", "requests_rx", 0},
	{"lockstep_link_sent_trains_total", "counter", "Transfers that carried the headers of several of them.", "trains_tx", 0},
	{"lockstep_link_sent_bytes_total", "counter", "Payload sent to the peer.", "payload_tx_bytes", 0},
	{"lockstep_link_received_bytes_total", "counter", "Payload received from the peer.", "payload_rx_bytes", 0},
	{"lockstep_link_posts_total", "counter", "Times that work was handed to the device or the socket.", "posts", 0},
	{"lockstep_link_completions_total", "counter", "Completions taken from it.", "completions", 0},
	{"lockstep_link_copied_payload_bytes_total", "counter", "Payload that the link copied; 0 with rdma.", "copied_payload_bytes", 0},
	{"lockstep_link_rnr_total", "counter", "Receiver-not-ready events; stays 0.", "rnr", 0},
};
/* clang-format on */

static void info(FILE *page, struct json_object *status)
{
	struct json_object *shard = json_get(status, "shard");
	struct json_object *fabric = json_get(status, "fabric");

	page_family(page, "lockstep_engine_info", "gauge", "What runs; always 1.");
	page_u64(page, "lockstep_engine_info",
		 LABELS("node", json_get_text(status, "node", "?"), "address",
			json_get_text(status, "address", "?"), "version",
			json_get_text(status, "version", "?"), "fabric",
			json_get_text(fabric, "backend", "?"), "polling",
			json_get_text(shard, "polling", "?")),
		 1);
}

static void clients(FILE *page, struct json_object *status)
{
	struct json_object *list = json_get_array(status, "clients");
	size_t count = list ? json_object_array_length(list) : 0;
	uint64_t in_flight = 0;

	for (size_t i = 0; i < count; i++)
		in_flight += json_get_u64(json_object_array_get_idx(list, i), "in_flight", 0);
	page_family(page, "lockstep_clients", "gauge", "Processes that are attached.");
	page_u64(page, "lockstep_clients", NULL, count);
	page_family(page, "lockstep_clients_in_flight", "gauge",
		    "Requests of clients that are under way.");
	page_u64(page, "lockstep_clients_in_flight", NULL, in_flight);
}

void page_engine(FILE *page, struct json_object *status)
{
	struct json_object *shard = json_get(status, "shard");

	info(page, status);
	clients(page, status);
	page_members(page, of_loop, ARRAY_SIZE(of_loop), json_get(shard, "loop"));
	page_members(page, of_shard, ARRAY_SIZE(of_shard), shard);
	page_members(page, of_store, ARRAY_SIZE(of_store), json_get(shard, "store_queue"));
}

static void histogram(FILE *page, struct json_object *bounds, struct json_object *h)
{
	static const char name[] = "lockstep_request_seconds";
	struct json_object *buckets = json_get_array(h, "buckets");
	const char *op = json_get_text(h, "op", "?"), *hop = json_get_text(h, "hop", "?");
	size_t count = json_object_array_length(bounds);
	uint64_t below = 0;
	char part[64], le[32];

	if (!buckets || json_object_array_length(buckets) != count + 1)
		return;
	snprintf(part, sizeof(part), "%s_bucket", name);
	for (size_t i = 0; i <= count; i++) {
		below += json_object_get_uint64(json_object_array_get_idx(buckets, i));
		snprintf(le, sizeof(le), "+Inf");
		if (i < count)
			snprintf(le, sizeof(le), "%g",
				 json_object_get_double(json_object_array_get_idx(bounds, i)) /
					 NS_PER_S);
		page_u64(page, part, LABELS("op", op, "hop", hop, "le", le), below);
	}
	snprintf(part, sizeof(part), "%s_sum", name);
	page_double(page, part, LABELS("op", op, "hop", hop),
		    (double)json_get_u64(h, "sum_ns", 0) / NS_PER_S);
	snprintf(part, sizeof(part), "%s_count", name);
	page_u64(page, part, LABELS("op", op, "hop", hop), below);
}

void page_latency(FILE *page, struct json_object *status)
{
	struct json_object *writes = json_get(status, "writes");
	struct json_object *latency = json_get(status, "latency");
	struct json_object *bounds = json_get_array(latency, "bounds_ns");
	struct json_object *list = json_get_array(latency, "histograms");

	page_members(page, &mirrored_writes, 1, writes);
	page_family(page, "lockstep_mirrored_write_seconds_total", "counter",
		    "What these writes took, summed up: until all was done, until the local "
		    "devices had it, until the peer's answer was here, the peer's devices.");
	for (size_t i = 0; i < ARRAY_SIZE(write_hops); i++)
		page_double(page, "lockstep_mirrored_write_seconds_total",
			    LABELS("hop", write_hops[i].hop),
			    (double)json_get_u64(writes, write_hops[i].key, 0) / NS_PER_S);
	page_family(page, "lockstep_request_seconds", "histogram",
		    "What requests take, hop by hop, of a sample of at most 100 a second.");
	for (size_t i = 0; bounds && list && i < json_object_array_length(list); i++)
		histogram(page, bounds, json_object_array_get_idx(list, i));
}

static void peer_up(FILE *page, struct json_object *peers)
{
	page_family(page, "lockstep_peer_up", "gauge", "Whether there is a session with the peer.");
	for (size_t i = 0; i < json_object_array_length(peers); i++) {
		struct json_object *p = json_object_array_get_idx(peers, i);

		page_u64(page, "lockstep_peer_up", LABELS("peer", json_get_text(p, "name", "?")),
			 !strcmp(json_get_text(p, "session", ""), "up"));
	}
}

static void link_info(FILE *page, struct json_object *peers)
{
	page_family(page, "lockstep_link_info", "gauge", "What carries the session; 1.");
	for (size_t i = 0; i < json_object_array_length(peers); i++) {
		struct json_object *p = json_object_array_get_idx(peers, i);
		struct json_object *link = json_get(p, "link");

		if (!json_get_text(link, "backend", "")[0])
			continue;
		page_u64(page, "lockstep_link_info",
			 LABELS("peer", json_get_text(p, "name", "?"), "backend",
				json_get_text(link, "backend", ""), "device",
				json_get_text(link, "device", ""), "address",
				json_get_text(link, "address", "")),
			 1);
	}
}

static void peer_members(FILE *page, const struct family *families, size_t count,
			 struct json_object *peers, bool links)
{
	for (size_t f = 0; f < count; f++) {
		page_family(page, families[f].name, families[f].type, families[f].help);
		for (size_t i = 0; i < json_object_array_length(peers); i++) {
			struct json_object *p = json_object_array_get_idx(peers, i);

			page_member(page, &families[f],
				    LABELS("peer", json_get_text(p, "name", "?")),
				    links ? json_get(p, "link") : p);
		}
	}
}

void page_peers(FILE *page, struct json_object *status)
{
	struct json_object *peers = json_get_array(status, "peers");

	if (!peers)
		return;
	peer_up(page, peers);
	link_info(page, peers);
	peer_members(page, of_peers, ARRAY_SIZE(of_peers), peers, false);
	peer_members(page, of_links, ARRAY_SIZE(of_links), peers, true);
}
