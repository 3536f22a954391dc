/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/lockstep/top.h"

#include "engine/base/defs.h"

#include <string.h>

struct span {
	struct json_object *from, *to;
	double seconds;
};

static uint64_t difference(struct json_object *from, struct json_object *to, const char *key)
{
	uint64_t a = json_get_u64(from, key, 0), b = json_get_u64(to, key, 0);

	/* A link's counters begin anew with each session. */
	return b >= a ? b - a : b;
}

static struct json_object *named(struct json_object *list, const char *name)
{
	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		struct json_object *one = json_object_array_get_idx(list, i);

		if (!strcmp(json_get_text(one, "name", ""), name))
			return one;
	}
	return NULL;
}

static void copy_members(struct json_object *to, struct json_object *from, const char *const *keys,
			 size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct json_object *value = json_get(from, keys[i]);

		if (value)
			json_object_object_add(to, keys[i], json_object_get(value));
	}
}

static void set_rate(struct json_object *json, const char *as, const struct span *s,
		     const char *key)
{
	json_set_double(json, as, (double)difference(s->from, s->to, key) / s->seconds);
}

static struct json_object *volume_rates(const struct span *s)
{
	static const char *const keys[] = {
		"name",
		"role",
		"mirror",
		"peer",
		"policy",
		"dirty_bytes",
		"copy_done_bytes",
		"copy_total_bytes",
		"copy_rate_bytes",
		"copy_bound",
		"verify_done_bytes",
		"verify_total_bytes",
		"verify_different_bytes",
		"verify_ns",
	};
	struct json_object *json = json_object_new_object();

	copy_members(json, s->to, keys, ARRAY_SIZE(keys));
	set_rate(json, "reads_per_second", s, "reads");
	set_rate(json, "writes_per_second", s, "writes");
	set_rate(json, "flushes_per_second", s, "flushes");
	set_rate(json, "discards_per_second", s, "discards");
	set_rate(json, "read_bytes_per_second", s, "read_bytes");
	set_rate(json, "written_bytes_per_second", s, "written_bytes");
	json_set_u64(json, "errors", difference(s->from, s->to, "errors"));
	return json;
}

static struct json_object *peer_rates(const struct span *s)
{
	static const char *const keys[] = {"name", "session", "credits", "credits_total",
					   "last_error"};
	static const char *const link_keys[] = {"backend", "device"};
	struct json_object *json = json_object_new_object();
	struct span link = {json_get(s->from, "link"), json_get(s->to, "link"), s->seconds};

	copy_members(json, s->to, keys, ARRAY_SIZE(keys));
	copy_members(json, link.to, link_keys, ARRAY_SIZE(link_keys));
	set_rate(json, "sent_requests_per_second", &link, "requests_tx");
	set_rate(json, "received_requests_per_second", &link, "requests_rx");
	set_rate(json, "sent_bytes_per_second", &link, "payload_tx_bytes");
	set_rate(json, "received_bytes_per_second", &link, "payload_rx_bytes");
	return json;
}

/* @rates for each member of the list @key, matched by name. */
static struct json_object *list_rates(const struct span *s, const char *key,
				      struct json_object *(*rates)(const struct span *))
{
	struct json_object *before = json_get_array(s->from, key);
	struct json_object *now = json_get_array(s->to, key);
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; now && i < json_object_array_length(now); i++) {
		struct span one = {.to = json_object_array_get_idx(now, i), .seconds = s->seconds};

		one.from = named(before, json_get_text(one.to, "name", ""));
		/* A new one has done nothing yet that had a beginning. */
		if (!one.from)
			one.from = one.to;
		json_object_array_add(list, rates(&one));
	}
	return list;
}

/* --- latency --- */

static uint64_t item(struct json_object *list, size_t i)
{
	return json_object_get_uint64(json_object_array_get_idx(list, i));
}

struct samples {
	struct json_object *from, *to, *bounds; /* buckets; from may be NULL */
	uint64_t count;
};

static uint64_t in_bucket(const struct samples *s, size_t i)
{
	uint64_t before = s->from ? item(s->from, i) : 0;

	return item(s->to, i) - min_u64(before, item(s->to, i));
}

/* As Prometheus does it: evenly spread within a bucket; the last one counts as its lower bound. */
static double percentile(const struct samples *s, double percent)
{
	double wanted = (double)s->count * percent / 100, below = 0;
	size_t bounds = json_object_array_length(s->bounds);

	for (size_t i = 0; i < bounds; i++) {
		double in = (double)in_bucket(s, i);
		double low = i ? (double)item(s->bounds, i - 1) : 0;

		if (in > 0 && below + in >= wanted)
			return low + ((double)item(s->bounds, i) - low) * (wanted - below) / in;
		below += in;
	}
	return (double)item(s->bounds, bounds - 1);
}

static struct json_object *find_histogram(struct json_object *status, const char *op,
					  const char *hop)
{
	struct json_object *list = json_get_array(json_get(status, "latency"), "histograms");

	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		struct json_object *h = json_object_array_get_idx(list, i);

		if (!strcmp(json_get_text(h, "op", ""), op) &&
		    !strcmp(json_get_text(h, "hop", ""), hop))
			return h;
	}
	return NULL;
}

static struct json_object *hop_latency(const struct span *window, struct json_object *now)
{
	const char *op = json_get_text(now, "op", "?"), *hop = json_get_text(now, "hop", "?");
	struct json_object *from = find_histogram(window->from, op, hop);
	struct samples s = {
		.from = json_get_array(from, "buckets"),
		.to = json_get_array(now, "buckets"),
		.bounds = json_get_array(json_get(window->to, "latency"), "bounds_ns"),
	};
	struct json_object *json = json_object_new_object();

	json_set_text(json, "op", op);
	json_set_text(json, "hop", hop);
	for (size_t i = 0; s.to && i < json_object_array_length(s.to); i++)
		s.count += in_bucket(&s, i);
	json_set_u64(json, "samples", s.count);
	if (!s.count || !s.bounds)
		return json;
	json_set_double(json, "mean_ns", (double)difference(from, now, "sum_ns") / (double)s.count);
	json_set_double(json, "p50_ns", percentile(&s, 50));
	json_set_double(json, "p99_ns", percentile(&s, 99));
	return json;
}

static struct json_object *latency(const struct span *window)
{
	struct json_object *list = json_object_new_array();
	struct json_object *now = json_get_array(json_get(window->to, "latency"), "histograms");

	for (size_t i = 0; now && i < json_object_array_length(now); i++)
		json_object_array_add(list, hop_latency(window, json_object_array_get_idx(now, i)));
	return list;
}

/* --- all of it --- */

static struct json_object *clients(struct json_object *status)
{
	return json_get_array(status, "clients");
}

static uint64_t in_flight(struct json_object *status)
{
	struct json_object *list = clients(status);
	uint64_t n = 0;

	for (size_t i = 0; list && i < json_object_array_length(list); i++)
		n += json_get_u64(json_object_array_get_idx(list, i), "in_flight", 0);
	return n;
}

static double seconds_between(struct json_object *from, struct json_object *to)
{
	return (double)(json_get_u64(to, "now_ns", 0) - json_get_u64(from, "now_ns", 0)) / 1e9;
}

static bool one_life(struct json_object *from, struct json_object *to)
{
	return json_get_u64(from, "pid", 0) == json_get_u64(to, "pid", 0) &&
	       json_get_u64(from, "now_ns", 0) < json_get_u64(to, "now_ns", 0);
}

struct json_object *top_rates(struct json_object *oldest, struct json_object *before,
			      struct json_object *now)
{
	static const char *const keys[] = {"node", "address", "pid"};
	struct span s = {before, now, 0}, window = {oldest, now, 0}, loop;
	struct json_object *json;

	if (!one_life(before, now) || !one_life(oldest, now))
		return NULL;
	s.seconds = seconds_between(before, now);
	window.seconds = seconds_between(oldest, now);
	loop = (struct span){json_get(json_get(before, "shard"), "loop"),
			     json_get(json_get(now, "shard"), "loop"), s.seconds};
	json = json_object_new_object();
	copy_members(json, now, keys, ARRAY_SIZE(keys));
	json_set_double(json, "seconds", s.seconds);
	json_set_u64(json, "clients", clients(now) ? json_object_array_length(clients(now)) : 0);
	json_set_u64(json, "in_flight", in_flight(now));
	set_rate(json, "requests_per_second", &loop, "requests");
	json_object_object_add(json, "volumes", list_rates(&s, "volumes", volume_rates));
	json_set_double(json, "latency_seconds", window.seconds);
	json_object_object_add(json, "latency", latency(&window));
	json_object_object_add(json, "peers", list_rates(&s, "peers", peer_rates));
	return json;
}
