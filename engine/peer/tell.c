/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Events of volumes and sessions: what changed, from what to what, and why.  The state of a
 * mirror changes nowhere but in mirror_set(); what is recorded of a volume is compared when its
 * commit has ended.
 */
#include "engine/peer/node.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define GENERATION_TEXT 17u

static const char *record_peer(const struct volume_record *r)
{
	return r->replica_count ? r->replicas[0].node_name : NULL;
}

static const char *peer_of(const struct volume *v)
{
	return record_peer(&v->record);
}

static const char *role_name(enum volume_role role)
{
	return role == VOLUME_PRIMARY ? "primary" : "secondary";
}

static const char *association_name(enum association association)
{
	static const char *const names[] = {
		[ASSOCIATION_NONE] = "none",
		[ASSOCIATION_ACTIVE] = "active",
		[ASSOCIATION_BROKEN] = "broken",
	};

	return names[association];
}

static const char *policy_name(enum volume_policy policy)
{
	return policy == POLICY_FAIL_CLOSED ? "fail-closed" : "fail-open";
}

static const char *copy_name(bool consistent)
{
	return consistent ? "complete" : "incomplete";
}

/* --- the mirror's state --- */

static void tell_resync(struct engine *e, const struct volume *v, const char *to, uint64_t bytes,
			uint64_t duration_ns)
{
	core_event(&e->core, &(struct engine_event){
				     .kind = EVENT_RESYNC,
				     .level = 6,
				     .volume = v->record.name,
				     .peer = peer_of(v),
				     .what = v->peering->source ? "to the peer" : "from the peer",
				     .to = to,
				     .bytes = bytes,
				     .duration_ns = duration_ns,
				     .reason = v->mirror_reason,
			     });
}

static void resync_begins(struct engine *e, const struct volume *v)
{
	struct mirror *m = v->peering;
	const struct intent *map = &v->map.intent;

	m->source = m->step == STEP_SOURCE;
	m->copying_since_ns = e->core.now_ns;
	/* Only the source knows what both maps say. */
	tell_resync(e, v, "begun", m->source ? (uint64_t)map->dirty_regions << map->shift : 0, 0);
}

static void resync_ends(struct engine *e, const struct volume *v, const char *how)
{
	const struct mirror *m = v->peering;

	tell_resync(e, v, how, m->source ? m->resync_sent : 0,
		    e->core.now_ns - m->copying_since_ns);
}

static int mirror_level(enum mirror_state from, enum mirror_state to)
{
	if (to == MIRROR_SPLIT)
		return 3;
	return to == MIRROR_ALONE || (to == MIRROR_WAITING && from == MIRROR_SYNCED) ? 4 : 6;
}

void mirror_set(struct engine *e, struct volume *v, enum mirror_state state)
{
	struct engine_event event = {
		.kind = EVENT_MIRROR,
		.level = mirror_level(v->mirror, state),
		.volume = v->record.name,
		.peer = peer_of(v),
		.from = mirror_state_name(v->mirror),
		.to = mirror_state_name(state),
		.reason = v->mirror_reason,
	};

	if (v->mirror == state)
		return;
	if (v->mirror == MIRROR_COPYING)
		resync_ends(e, v, state == MIRROR_SYNCED ? "ended" : "stopped");
	v->mirror = state;
	core_event(&e->core, &event);
	if (state == MIRROR_COPYING)
		resync_begins(e, v);
}

/* --- what is recorded --- */

void tell_changes(struct engine *e, const struct volume *v, const struct volume_record *before,
		  const char *why)
{
	const struct volume_record *now = &v->record;
	char from[GENERATION_TEXT], to[GENERATION_TEXT];
	struct engine_event event = {
		.level = 6,
		.volume = now->name,
		.peer = record_peer(now->replica_count ? now : before),
		.reason = why,
	};
	struct change {
		bool differs;
		enum event_kind kind;
		const char *from, *to;
	} changes[] = {
		{before->association != now->association, EVENT_ASSOCIATION,
		 association_name(before->association), association_name(now->association)},
		{before->role != now->role, EVENT_ROLE, role_name(before->role),
		 role_name(now->role)},
		{before->policy != now->policy, EVENT_POLICY, policy_name(before->policy),
		 policy_name(now->policy)},
		{before->consistent != now->consistent, EVENT_COPY, copy_name(before->consistent),
		 copy_name(now->consistent)},
		{before->generations.current != now->generations.current, EVENT_GENERATION, from,
		 to},
	};

	snprintf(from, sizeof(from), "%016llx", (unsigned long long)before->generations.current);
	snprintf(to, sizeof(to), "%016llx", (unsigned long long)now->generations.current);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		if (!changes[i].differs)
			continue;
		event.kind = changes[i].kind;
		event.from = changes[i].from;
		event.to = changes[i].to;
		core_event(&e->core, &event);
	}
	if (before->size_bytes != now->size_bytes)
		tell_volume(e, v, "expanded", why);
}

void tell_volume(struct engine *e, const struct volume *v, const char *what, const char *why)
{
	core_event(&e->core, &(struct engine_event){
				     .kind = EVENT_VOLUME,
				     .level = 6,
				     .volume = v->record.name,
				     .peer = peer_of(v),
				     .to = what,
				     .bytes = v->record.size_bytes,
				     .reason = why,
			     });
}

/* --- errors, sessions --- */

void tell_error(struct engine *e, const struct volume *v, const char *what, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	core_event(&e->core, &(struct engine_event){
				     .kind = EVENT_ERROR,
				     .level = 3,
				     .volume = v->record.name,
				     .what = what,
				     .reason = text,
			     });
}

void tell_session(struct engine *e, const struct peer *p, bool up, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	core_event(&e->core, &(struct engine_event){
				     .kind = EVENT_SESSION,
				     .level = up ? 6 : 4,
				     .peer = p->name,
				     .from = up ? "down" : "up",
				     .to = up ? "up" : "down",
				     .reason = text,
			     });
}
