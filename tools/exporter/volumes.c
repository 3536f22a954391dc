/* SPDX-License-Identifier: BSD-3-Clause */
/* Pools, volumes, and their mirrors: what is copied, compared, and differs. */
#include "tools/exporter/page.h"

#include "engine/json/json.h"

#include <stdbool.h>
#include <string.h>

/* clang-format off */
static const struct family of_volumes[] = {
	{"lockstep_volume_size_bytes", "gauge", "Size of the volume.", "size_bytes", 0},
	{"lockstep_volume_openings", "gauge", "How often the volume is open.", "open_count", 0},
	{"lockstep_volume_reads_total", "counter", "Reads that clients had completed.", "reads", 0},
	{"lockstep_volume_writes_total", "counter", "Writes that clients had completed.", "writes", 0},
	{"lockstep_volume_flushes_total", "counter", "Flushes that clients had completed.", "flushes", 0},
	{"lockstep_volume_discards_total", "counter", "Discards and zeroings that clients had completed.", "discards", 0},
	{"lockstep_volume_read_bytes_total", "counter", "Bytes that clients read.", "read_bytes", 0},
	{"lockstep_volume_written_bytes_total", "counter", "Bytes that clients wrote.", "written_bytes", 0},
	{"lockstep_volume_errors_total", "counter", "Requests that were tried and failed.", "errors", 0},
	{"lockstep_volume_read_errors_total", "counter", "Reads that the local devices failed.", "read_errors", 0},
	{"lockstep_volume_fetched_bytes_total", "counter", "Bytes read from the peer because the local devices failed.", "fetched_bytes", 0},
	{"lockstep_volume_repairs_total", "counter", "Unreadable places that were written again.", "repairs", 0},
	{"lockstep_volume_repair_failures_total", "counter", "Unreadable places that could not be written again.", "repair_failures", 0},
};

static const struct family of_mirrors[] = {
	{"lockstep_mirror_consistent", "gauge", "Whether this replica is a consistent copy; 0 while a resync into it has not ended.", "consistent", 0},
	{"lockstep_mirror_dirty_bytes", "gauge", "What this node knows to differ from the peer's replica, at most.", "dirty_bytes", 0},
	{"lockstep_mirror_peer_dirty_bytes", "gauge", "What the peer knew to differ when last heard, at most.", "peer_dirty_bytes", 0},
	{"lockstep_mirror_lacking_regions", "gauge", "Regions to be fetched from the peer, because the local device failed writes.", "lacking_regions", 0},
	{"lockstep_mirror_map_writes_total", "counter", "Pages of the write-intent map that were written.", "map_writes", 0},
	{"lockstep_mirror_map_waits_total", "counter", "Writes of clients that waited for the write-intent map.", "map_marks", 0},
	{"lockstep_resync_copied_bytes", "gauge", "Of the resync from this node: done so far.", "copy_done_bytes", 0},
	{"lockstep_resync_size_bytes", "gauge", "Of the resync from this node: all of it; 0 = none runs.", "copy_total_bytes", 0},
	{"lockstep_resync_sent_bytes", "gauge", "Payload that the resync from this node sent, or the last one did.", "resync_sent_bytes", 0},
	{"lockstep_resync_bytes_per_second", "gauge", "How fast the resync from this node is now.", "copy_rate_bytes", 0},
	{"lockstep_resync_limit_bytes_per_second", "gauge", "How fast it may be, set by hand; 0 = no limit.", "resync_limit_bytes", 0},
	{"lockstep_verify_compared_bytes", "gauge", "Of the verify that runs: done so far.", "verify_done_bytes", 0},
	{"lockstep_verify_size_bytes", "gauge", "Of the verify that runs: all of it; 0 = none runs.", "verify_total_bytes", 0},
	{"lockstep_verify_different_bytes", "gauge", "Of the verify that runs: what it found to differ.", "verify_different_bytes", 0},
	{"lockstep_verify_left_bytes", "gauge", "What verifies that ended found to differ, and did not repair; until one of the whole volume ends without.", "verify_left_bytes", 0},
};

static const struct family of_pools[] = {
	{"lockstep_pool_size_bytes", "gauge", "Room in the pool for volumes.", "size_bytes", 0},
	{"lockstep_pool_free_bytes", "gauge", "What of it no volume has.", "free_bytes", 0},
};
/* clang-format on */

static bool paired(struct json_object *volume)
{
	return strcmp(json_get_text(volume, "association", "none"), "none") != 0;
}

static void volume_members(FILE *page, const struct family *f, struct json_object *volumes,
			   bool mirrors)
{
	page_family(page, f->name, f->type, f->help);
	for (size_t i = 0; i < json_object_array_length(volumes); i++) {
		struct json_object *v = json_object_array_get_idx(volumes, i);
		const char *name = json_get_text(v, "name", "?");

		if (!mirrors)
			page_member(page, f, LABELS("volume", name), v);
		else if (paired(v))
			page_member(page, f,
				    LABELS("volume", name, "peer", json_get_text(v, "peer", "?")),
				    v);
	}
}

/* One sample for each value that member @key may have: 1 for the one that it has. */
static void volume_states(FILE *page, const struct family *f, const char *label,
			  const char *const *values, size_t count, struct json_object *volumes)
{
	page_family(page, f->name, f->type, f->help);
	for (size_t i = 0; i < json_object_array_length(volumes); i++) {
		struct json_object *v = json_object_array_get_idx(volumes, i);
		const char *is = json_get_text(v, f->key, "");

		for (size_t k = 0; k < count && paired(v); k++)
			page_u64(page, f->name,
				 LABELS("volume", json_get_text(v, "name", "?"), "peer",
					json_get_text(v, "peer", "?"), label, values[k]),
				 !strcmp(is, values[k]));
	}
}

static void roles(FILE *page, struct json_object *volumes)
{
	page_family(page, "lockstep_volume_primary", "gauge",
		    "Whether processes of this node may use the volume.");
	for (size_t i = 0; i < json_object_array_length(volumes); i++) {
		struct json_object *v = json_object_array_get_idx(volumes, i);

		page_u64(page, "lockstep_volume_primary",
			 LABELS("volume", json_get_text(v, "name", "?")),
			 !strcmp(json_get_text(v, "role", ""), "primary"));
	}
}

void page_volumes(FILE *page, struct json_object *status)
{
	static const char *const states[] = {"waiting", "alone", "copying",
					     "synced",	"split", "broken"};
	static const char *const bounds[] = {"clients", "limit", "device", "peer", "turn"};
	static const char *const policies[] = {"fail-open", "fail-closed"};
	/* clang-format off */
	static const struct family state = {"lockstep_mirror_state", "gauge", "1 for the state that the mirror is in.", "mirror", 0};
	static const struct family policy = {"lockstep_mirror_policy", "gauge", "1 for what a volume does without its peer.", "policy", 0};
	static const struct family bound = {"lockstep_resync_bound", "gauge", "1 for what holds the resync from this node back.", "copy_bound", 0};
	/* clang-format on */
	struct json_object *volumes = json_get_array(status, "volumes");

	if (!volumes)
		return;
	roles(page, volumes);
	for (size_t i = 0; i < ARRAY_SIZE(of_volumes); i++)
		volume_members(page, &of_volumes[i], volumes, false);
	volume_states(page, &state, "state", states, ARRAY_SIZE(states), volumes);
	volume_states(page, &policy, "policy", policies, ARRAY_SIZE(policies), volumes);
	volume_states(page, &bound, "bound", bounds, ARRAY_SIZE(bounds), volumes);
	for (size_t i = 0; i < ARRAY_SIZE(of_mirrors); i++)
		volume_members(page, &of_mirrors[i], volumes, true);
}

void page_pools(FILE *page, struct json_object *status)
{
	struct json_object *pools = json_get_array(status, "pools");
	size_t count = pools ? json_object_array_length(pools) : 0;

	page_family(page, "lockstep_pool_available", "gauge", "Whether the pool could be opened.");
	for (size_t i = 0; i < count; i++) {
		struct json_object *p = json_object_array_get_idx(pools, i);

		page_u64(page, "lockstep_pool_available",
			 LABELS("pool", json_get_text(p, "name", "?")),
			 json_get_bool(p, "available", false));
	}
	for (size_t f = 0; f < ARRAY_SIZE(of_pools); f++) {
		page_family(page, of_pools[f].name, of_pools[f].type, of_pools[f].help);
		for (size_t i = 0; i < count; i++) {
			struct json_object *p = json_object_array_get_idx(pools, i);

			if (json_get_bool(p, "available", false))
				page_member(page, &of_pools[f],
					    LABELS("pool", json_get_text(p, "name", "?")), p);
		}
	}
}
