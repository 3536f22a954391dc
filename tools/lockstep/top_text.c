/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/lockstep/top.h"

#include "tools/lockstep/print.h"
#include "tools/lockstep/progress.h"

#include <inttypes.h>
#include <string.h>

static void cell_bytes(struct table *t, double bytes)
{
	char text[32];

	table_cell(t, "%s", human_bytes((uint64_t)(bytes + 0.5), text, sizeof(text)));
}

static void volume_row(struct table *t, struct json_object *v)
{
	table_row(t);
	table_cell(t, "%s", json_get_text(v, "name", "?"));
	table_cell(t, "%s", json_get_text(v, "role", "?"));
	table_cell(t, "%s", json_get_text(v, "mirror", "?"));
	table_cell(t, "%s", json_get_text(v, "peer", ""));
	table_cell(t, "%.0f", json_get_double(v, "reads_per_second"));
	table_cell(t, "%.0f", json_get_double(v, "writes_per_second"));
	table_cell(t, "%.0f", json_get_double(v, "flushes_per_second"));
	cell_bytes(t, json_get_double(v, "read_bytes_per_second"));
	cell_bytes(t, json_get_double(v, "written_bytes_per_second"));
	table_cell(t, "%" PRIu64, json_get_u64(v, "errors", 0));
	cell_bytes(t, (double)json_get_u64(v, "dirty_bytes", 0));
}

static void put_volumes(FILE *out, struct json_object *list)
{
	static const char *const columns[] = {"VOLUME",	      "ROLE",	  "MIRROR",   "PEER",
					      ">READ/s",      ">WRITE/s", ">FLUSH/s", ">B READ/s",
					      ">B WRITTEN/s", ">ERRORS",  ">DIFFERS"};
	struct table *t = table_create(columns, ARRAY_SIZE(columns));

	for (size_t i = 0; list && i < json_object_array_length(list); i++)
		volume_row(t, json_object_array_get_idx(list, i));
	table_print_to(t, out, "there is no volume");
}

/* A line for each volume that is copied or compared. */
static void put_copies(FILE *out, struct json_object *list)
{
	char text[PROGRESS_BYTES];

	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		struct json_object *v = json_object_array_get_idx(list, i);
		const char *name = json_get_text(v, "name", "?");

		if (!strcmp(json_get_text(v, "mirror", ""), "copying"))
			fprintf(out, "%s: %s\n", name, copy_progress(v, text, sizeof(text)));
		if (json_get_u64(v, "verify_total_bytes", 0))
			fprintf(out, "%s: %s\n", name, verify_progress(v, text, sizeof(text)));
	}
}

/* --- latency --- */

static struct json_object *hop(struct json_object *latency, const char *op, const char *name)
{
	for (size_t i = 0; latency && i < json_object_array_length(latency); i++) {
		struct json_object *h = json_object_array_get_idx(latency, i);

		if (!strcmp(json_get_text(h, "op", ""), op) &&
		    !strcmp(json_get_text(h, "hop", ""), name))
			return h;
	}
	return NULL;
}

static void cell_us(struct table *t, struct json_object *h, const char *key)
{
	if (json_get(h, key))
		table_cell(t, "%.0f", json_get_double(h, key) / 1000);
	else
		table_cell(t, "%s", "");
}

static void hop_row(struct table *t, struct json_object *latency, const char *op, const char *name,
		    const char *words)
{
	struct json_object *h = hop(latency, op, name);

	/* What did not happen needs no line. */
	if (!json_get_u64(h, "samples", 0))
		return;
	table_row(t);
	table_cell(t, "%s", words);
	cell_us(t, h, "mean_ns");
	cell_us(t, h, "p50_ns");
	cell_us(t, h, "p99_ns");
	table_cell(t, "%" PRIu64, json_get_u64(h, "samples", 0));
}

static void put_latency(FILE *out, struct json_object *rates)
{
	static const char *const columns[] = {"HOP", ">MEAN us", ">50% us", ">99% us", ">SAMPLES"};
	struct table *t = table_create(columns, ARRAY_SIZE(columns));
	struct json_object *latency = json_get_array(rates, "latency");
	char nothing[80];

	hop_row(t, latency, "write", "total", "write");
	hop_row(t, latency, "write", "local", "  local devices");
	hop_row(t, latency, "write", "remote", "  peer");
	hop_row(t, latency, "write", "peer_device", "    its devices");
	hop_row(t, latency, "write", "wire", "    wire and engines");
	hop_row(t, latency, "read", "total", "read");
	hop_row(t, latency, "flush", "total", "flush");
	hop_row(t, latency, "flush", "local", "  local devices");
	hop_row(t, latency, "flush", "remote", "  peer");
	snprintf(nothing, sizeof(nothing), "no request was measured in the last %.0f s",
		 json_get_double(rates, "latency_seconds"));
	table_print_to(t, out, nothing);
}

static void put_peers(FILE *out, struct json_object *peers)
{
	static const char *const columns[] = {"PEER",		"SESSION",     "LINK",
					      ">REQUESTS TO/s", ">FROM/s",     ">B TO/s",
					      ">B FROM/s",	">FREE SLOTS", "LAST ERROR"};
	struct table *t = table_create(columns, ARRAY_SIZE(columns));

	for (size_t i = 0; peers && i < json_object_array_length(peers); i++) {
		struct json_object *p = json_object_array_get_idx(peers, i);

		table_row(t);
		table_cell(t, "%s", json_get_text(p, "name", "?"));
		table_cell(t, "%s", json_get_text(p, "session", "?"));
		table_cell(t, "%s", json_get_text(p, "backend", ""));
		table_cell(t, "%.0f", json_get_double(p, "sent_requests_per_second"));
		table_cell(t, "%.0f", json_get_double(p, "received_requests_per_second"));
		cell_bytes(t, json_get_double(p, "sent_bytes_per_second"));
		cell_bytes(t, json_get_double(p, "received_bytes_per_second"));
		table_cell(t, "%" PRIu64 " of %" PRIu64, json_get_u64(p, "credits", 0),
			   json_get_u64(p, "credits_total", 0));
		table_cell(t, "%s", json_get_text(p, "last_error", ""));
	}
	table_print_to(t, out, "no peer is known");
}

void top_text(FILE *out, struct json_object *rates)
{
	struct json_object *list = json_get_array(rates, "volumes");

	fprintf(out,
		"node %s: %.0f requests/s of %" PRIu64 " clients, %" PRIu64
		" in flight; rates of the last %.1f s, times of a sample of the last %.0f s\n\n",
		json_get_text(rates, "node", "?"), json_get_double(rates, "requests_per_second"),
		json_get_u64(rates, "clients", 0), json_get_u64(rates, "in_flight", 0),
		json_get_double(rates, "seconds"), json_get_double(rates, "latency_seconds"));
	put_volumes(out, list);
	put_copies(out, list);
	putc('\n', out);
	put_latency(out, rates);
	putc('\n', out);
	put_peers(out, json_get_array(rates, "peers"));
}
