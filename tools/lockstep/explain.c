/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mirrors for people: who is ahead, what differs, and why.  What the engine decides by is in
 * engine/doc/mirror.md; here it is only put in words.
 */
#include "tools/lockstep/control.h"
#include "tools/lockstep/print.h"
#include "tools/lockstep/progress.h"
#include "tools/lockstep/show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NEVER "0x0000000000000000"

/* A replica's generations, as the daemon tells them. */
struct side {
	const char *current, *base;
	struct json_object *history;
	uint64_t regions, bytes; /* that its map has */
};

static struct side side_of(struct json_object *v, const char *generations, const char *regions,
			   const char *bytes)
{
	struct json_object *g = json_get(v, generations);

	return (struct side){
		.current = json_get_text(g, "current", NEVER),
		.base = json_get_text(g, "base", NEVER),
		.history = json_get_array(g, "history"),
		.regions = json_get_u64(v, regions, 0),
		.bytes = json_get_u64(v, bytes, 0),
	};
}

static struct side local_side(struct json_object *v)
{
	return side_of(v, "generations", "dirty_regions", "dirty_bytes");
}

static struct side peer_side(struct json_object *v)
{
	return side_of(v, "peer_generations", "peer_dirty_regions", "peer_dirty_bytes");
}

static bool is_set(const char *generation)
{
	return strcmp(generation, NEVER) != 0;
}

/* Without "0x", or "-". */
static const char *short_generation(const char *generation)
{
	return is_set(generation) && strlen(generation) > 2 ? generation + 2 : "-";
}

static bool paired(struct json_object *v)
{
	return strcmp(json_get_text(v, "association", "none"), "none") != 0;
}

/* Below the table: what is being copied or compared, and what an operator has limited. */
static void show_progress(struct json_object *volumes)
{
	for (size_t i = 0; volumes && i < json_object_array_length(volumes); i++) {
		struct json_object *v = json_object_array_get_idx(volumes, i);
		uint64_t limit = json_get_u64(v, "resync_limit_bytes", 0);
		char text[PROGRESS_BYTES], bytes[32];

		if (!strcmp(json_get_text(v, "mirror", "?"), "copying"))
			printf("%s: %s\n", json_get_text(v, "name", "?"),
			       copy_progress(v, text, sizeof(text)));
		if (json_get_u64(v, "verify_total_bytes", 0))
			printf("%s: %s\n", json_get_text(v, "name", "?"),
			       verify_progress(v, text, sizeof(text)));
		if (limit)
			printf("%s: a resync from here is limited to %s a second\n",
			       json_get_text(v, "name", "?"),
			       human_bytes(limit, bytes, sizeof(bytes)));
	}
}

void show_mirrors(struct json_object *volumes)
{
	static const char *const columns[] = {"MIRROR",	     "POLICY",	   "ASSOCIATION",
					      "COMPLETE",    "GENERATION", "BASE",
					      ">DIRTY HERE", ">AT PEER",   ">RESYNC SENT"};
	struct table *t = NULL;

	for (size_t i = 0; volumes && i < json_object_array_length(volumes); i++) {
		struct json_object *v = json_object_array_get_idx(volumes, i);
		struct side here = local_side(v), there = peer_side(v);
		char a[32], b[32], sent[32];

		if (!paired(v))
			continue;
		if (!t)
			t = table_create(columns, ARRAY_SIZE(columns));
		table_row(t);
		table_cell(t, "%s", json_get_text(v, "name", "?"));
		table_cell(t, "%s", json_get_text(v, "policy", "?"));
		table_cell(t, "%s", json_get_text(v, "association", "?"));
		table_cell(t, "%s", json_get_bool(v, "consistent", false) ? "yes" : "no");
		table_cell(t, "%s", short_generation(here.current));
		table_cell(t, "%s", short_generation(here.base));
		table_cell(t, "%" PRIu64 " = %s", here.regions,
			   human_bytes(here.bytes, a, sizeof(a)));
		table_cell(t, "%" PRIu64 " = %s", there.regions,
			   human_bytes(there.bytes, b, sizeof(b)));
		table_cell(
			t, "%s",
			human_bytes(json_get_u64(v, "resync_sent_bytes", 0), sent, sizeof(sent)));
	}
	if (!t)
		return;
	putchar('\n');
	table_print(t, "");
	show_progress(volumes);
}

static void say_history(const char *who, const struct side *s)
{
	printf("  %-12s generation %s", who, short_generation(s->current));
	if (is_set(s->base))
		printf(", the map covers all changes since %s", short_generation(s->base));
	if (s->history && json_object_array_length(s->history)) {
		printf("; before:");
		for (size_t i = 0; i < json_object_array_length(s->history); i++)
			printf(" %s", short_generation(json_object_get_string(
					      json_object_array_get_idx(s->history, i))));
	}
	putchar('\n');
}

static void say_regions(const char *who, const struct side *s)
{
	char bytes[32];

	printf("  %-12s %" PRIu64 " region%s, at most %s\n", who, s->regions,
	       s->regions == 1 ? "" : "s", human_bytes(s->bytes, bytes, sizeof(bytes)));
}

static void say_loss(const char *keep, const char *where, const struct side *s, bool known,
		     uint64_t size)
{
	char bytes[32];

	printf("  `lockstep resolve --keep %s`: loses what was written only %s: ", keep, where);
	if (known)
		printf("%" PRIu64 " region%s, at most %s\n", s->regions, s->regions == 1 ? "" : "s",
		       human_bytes(s->bytes, bytes, sizeof(bytes)));
	else
		printf("how much is not known, at most all %s\n",
		       human_bytes(size, bytes, sizeof(bytes)));
}

static void explain_split(struct json_object *v, const struct side *here, const struct side *there)
{
	uint64_t size = json_get_u64(v, "size_bytes", 0), both;
	bool ancestor = is_set(here->base) && !strcmp(here->base, there->base);
	char bytes[32];

	both = ancestor ? min_u64(here->bytes + there->bytes, size) : size;
	if (ancestor)
		printf("  rule: both went on from generation %s by themselves: split brain. "
		       "Nothing is merged\n",
		       short_generation(here->base));
	else
		puts("  rule: both have writes that the other lacks, and the maps do not reach "
		     "back to what they had in common: split brain. Nothing is merged");
	say_regions("only here", here);
	say_regions("only there", there);
	printf("  they differ in at most %s; whichever side is kept, %s is compared\n",
	       human_bytes(both, bytes, sizeof(bytes)), ancestor ? "only that" : "everything");
	say_loss("local", "at the peer", there, ancestor, size);
	say_loss("peer", "here", here, ancestor, size);
	printf("  `lockstep regions %s` lists them; what is written from now on is lost with its "
	       "side, "
	       "too\n",
	       json_get_text(v, "name", "?"));
}

/* Without the peer: which rule will hold when it is back. */
static void explain_ahead(const struct side *here, const char *how)
{
	if (!is_set(here->current))
		printf("  rule: this side holds nothing yet: the peer is the source %s\n", how);
	else if (is_set(here->base))
		printf("  rule: %s, a peer that still has generation %s gets from here what the "
		       "map covers; a peer that went on by itself meanwhile makes it a split "
		       "brain\n",
		       how, short_generation(here->base));
	else
		printf("  rule: nothing was written here alone. %s, a peer with the same "
		       "generation is equal but for the maps (the primary is the source); a peer "
		       "that went on by itself is the source\n",
		       how);
	say_regions("differs here", here);
}

static void explain_waiting(struct json_object *v, const struct side *here)
{
	bool primary = !strcmp(json_get_text(v, "role", ""), "primary");
	bool closed = !strcmp(json_get_text(v, "policy", ""), "fail-closed");

	if (primary && closed)
		puts("  writes wait until the peer is back (fail-closed)");
	else if (primary)
		puts("  the first write makes this node go on alone (fail-open)");
	else
		puts("  this side is secondary: no process writes to it here");
	explain_ahead(here, "when the peer is back");
}

static void explain_copying(struct json_object *v, const struct side *here)
{
	char sent[32], progress[PROGRESS_BYTES];

	if (!json_get_bool(v, "consistent", false))
		puts("  this side is the target: until the end it is no consistent copy, and "
		     "cannot be promoted");
	printf("  %s\n", copy_progress(v, progress, sizeof(progress)));
	say_regions("left here", here);
	printf("  sent so far: %s\n",
	       human_bytes(json_get_u64(v, "resync_sent_bytes", 0), sent, sizeof(sent)));
}

static void explain_synced(struct json_object *v)
{
	uint64_t lacking = json_get_u64(v, "lacking_regions", 0);

	puts("  both sides are equal: every write is acknowledged when it is on both");
	if (lacking)
		printf("  this node's device failed writes in %llu regions: they are fetched from "
		       "the peer; `lockstep resume` does it at once\n",
		       (unsigned long long)lacking);
}

static void explain_state(struct json_object *v, const char *mirror)
{
	struct side here = local_side(v), there = peer_side(v);
	char progress[PROGRESS_BYTES];

	say_history("here", &here);
	if (!strcmp(mirror, "split"))
		say_history("at the peer", &there);
	else if (is_set(there.current) && strcmp(mirror, "synced"))
		say_history("last heard", &there);
	if (!strcmp(mirror, "split")) {
		explain_split(v, &here, &there);
	} else if (!strcmp(mirror, "alone")) {
		puts("  it is recorded that the peer is stale: writes go on here alone");
		explain_ahead(&here, "when the peer is back");
	} else if (!strcmp(mirror, "broken")) {
		puts("  each side is on its own until `lockstep resume`");
		explain_ahead(&here, "at `lockstep resume`");
	} else if (!strcmp(mirror, "waiting")) {
		explain_waiting(v, &here);
	} else if (!strcmp(mirror, "copying")) {
		explain_copying(v, &here);
	} else {
		explain_synced(v);
	}
	if (json_get_u64(v, "verify_total_bytes", 0))
		printf("  %s\n", verify_progress(v, progress, sizeof(progress)));
}

static void explain_one(struct json_object *v)
{
	const char *mirror = json_get_text(v, "mirror", "?");
	const char *reason = json_get_text(v, "last_error", "");

	printf("volume '%s': %s here, mirrored with '%s' at node '%s', %s: %s%s%s\n",
	       json_get_text(v, "name", "?"), json_get_text(v, "role", "?"),
	       json_get_text(v, "peer_volume", "?"), json_get_text(v, "peer", "?"),
	       json_get_text(v, "policy", "?"), mirror, reason[0] ? ": " : "", reason);
	explain_state(v, mirror);
}

void explain_mirrors(struct json_object *volumes)
{
	bool any = false;

	for (size_t i = 0; volumes && i < json_object_array_length(volumes); i++) {
		struct json_object *v = json_object_array_get_idx(volumes, i);

		if (!paired(v))
			continue;
		if (any)
			putchar('\n');
		explain_one(v);
		any = true;
	}
	if (!any)
		puts("no volume is mirrored: begin with `lockstep pair`");
}
