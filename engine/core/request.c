/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests: what they may ask, their place, how they are cut into pieces, and their end. */
#include "engine/core/core_internal.h"

/* What a request may be, and what it becomes. */
static const struct request_kind {
	enum store_code code;
	uint16_t flags; /* that it may have */
	bool data;
	bool changes; /* blocks */
	/* No piece of it crosses a multiple of so many bytes, a power of two. */
	uint64_t unit;
} request_kinds[] = {
	[REQUEST_READ] = {STORE_READ, 0, true, false, PIECE_BYTES_MAX},
	[REQUEST_WRITE] = {STORE_WRITE, LS_FUA, true, true, PIECE_BYTES_MAX},
	[REQUEST_FLUSH] = {STORE_FLUSH, 0, false, false, PIECE_SPAN_MAX},
	/* A deallocate may leave anything; only zeroes make both legs equal. */
	[REQUEST_DISCARD] = {STORE_WRITE_ZEROES, 0, false, true, PIECE_SPAN_MAX},
	[REQUEST_WRITE_ZEROES] = {STORE_WRITE_ZEROES, LS_FUA, false, true, PIECE_SPAN_MAX},
};

static NOINLINE void request_failed(struct request *r)
{
	/* A refusal promises that nothing was written; another piece may have been. */
	if (r->status < LS_LOCAL_IO && r->begun)
		r->status = LS_PEER_LOST;
	/* Not what was refused, or what a stopping engine left to the next one. */
	if (r->volume && r->status >= LS_LOCAL_IO && r->status != LS_SHUTDOWN)
		r->volume->stats.errors++;
}

static void request_count(struct volume_stats *stats, const struct request *r)
{
	switch (r->op) {
	case REQUEST_READ:
		stats->reads++;
		stats->read_bytes += r->length;
		break;
	case REQUEST_WRITE:
		stats->writes++;
		stats->written_bytes += r->length;
		break;
	case REQUEST_FLUSH:
		stats->flushes++;
		break;
	default:
		stats->discards++;
		break;
	}
}

inline void request_finish(struct core *core, struct request *r)
{
	struct volume *v = r->volume;

	core->requests--;
	if (r->ranged)
		range_release(&v->ranges, &r->range);
	if (UNLIKELY(r->status != LS_OK))
		request_failed(r);
	if (LIKELY(v))
		request_count(&v->stats, r);
	r->done(r);
}

static enum ls_status request_check(const struct core *core, const struct request *r)
{
	const struct volume *v = r->volume;
	const struct request_kind *kind;
	uint64_t in_block;

	if (core->stopping)
		return LS_SHUTDOWN;
	if (!v || !v->ready)
		return LS_NO_VOLUME;
	if (r->op < REQUEST_READ || r->op > REQUEST_WRITE_ZEROES)
		return LS_INVALID;
	kind = &request_kinds[r->op];
	if (r->flags & ~kind->flags)
		return LS_INVALID;
	if (v->record.role != VOLUME_PRIMARY)
		return LS_NOT_PRIMARY;
	if (r->op == REQUEST_FLUSH)
		return LS_OK;
	if (r->length == 0)
		return LS_INVALID;
	in_block = v->record.block_bytes - 1; /* a power of two, less one */
	if ((r->offset | r->length) & in_block)
		return LS_UNALIGNED;
	if (r->offset > v->size_bytes || r->length > v->size_bytes - r->offset)
		return LS_OUT_OF_RANGE;
	if (!kind->data)
		return LS_OK;
	if (r->length > REQUEST_MAX_BYTES)
		return LS_TOO_LARGE;
	return !r->buf || (uintptr_t)r->buf & in_block ? LS_BAD_BUFFER : LS_OK;
}

static inline struct piece *piece_cut(struct core *core, struct request *r)
{
	const struct request_kind *kind = &request_kinds[r->op];
	struct piece *p = core->free;
	struct leg *leg = &p->local;
	uint64_t at = r->offset + r->cut;
	/* Never across a border, so that it lies in one extent; 0 of a flush. */
	uint64_t length = min_u64(r->length - r->cut, kind->unit - (at & (kind->unit - 1)));

	core->free = p->next_free;
	core->in_use++;
	core->reads_in_use += kind->code == STORE_READ;
	r->volume->active++;
	p->state = PIECE_CREDIT;
	p->volume = r->volume;
	p->request = r;
	p->code = kind->code;
	p->offset = at;
	p->length = length;
	p->buf = kind->data ? (uint8_t *)r->buf + r->cut : NULL;
	p->changes = kind->changes;
	p->marked = p->local_ended = false;
	p->legs_open = 0;
	p->remotes = p->credits = 0;
	p->local_status = p->remote_status = LS_OK;
	p->started_ns = core->now_ns;
	/* One by one: the rest of it is the leg's own. */
	leg->op.code = kind->code;
	leg->op.flags = r->flags & LS_FUA ? STORE_FUA : 0;
	leg->op.buf = p->buf;
	leg->op.region = r->region;
	leg->offset = at;
	leg->length = length;
	r->cut += length;
	r->pieces_open++;
	return p;
}

void cut_later(struct core *core, struct request *r)
{
	list_add_tail(r->op == REQUEST_READ ? &core->reading : &core->cutting, &r->node);
}

/* There is a free piece, and @r is in no list.  True: it is in one now, as some of it is left. */
static inline bool cut_one(struct core *core, struct request *r)
{
	struct piece *p = piece_cut(core, r);
	bool more = r->cut < r->length;

	if (UNLIKELY(more))
		cut_later(core, r);
	piece_start(p);
	return more;
}

static uint32_t pieces_left(const struct core *core)
{
	return core->piece_count - core->in_use;
}

/*
 * Reads never have all: what a read waits for, when its device failed, may be a write that has
 * its range and needs a piece.
 */
static bool reads_enough(const struct core *core)
{
	return core->reads_in_use >= core->piece_count - core->piece_count / 16;
}

/*
 * A volume has as many active pieces as are free, at most: so a device that hangs, or one client,
 * leaves half of the pieces to the other volumes, a second one a quarter.
 */
static bool may_cut(const struct core *core, const struct request *r)
{
	uint32_t left = pieces_left(core);

	return r->volume->active < left && (r->op != REQUEST_READ || !reads_enough(core));
}

/* One piece of the first request in @list; false: there is none, or no piece for it. */
static bool cut_next(struct core *core, struct list *list)
{
	struct request *r;

	if (list_empty(list) || pieces_left(core) == 0)
		return false;
	r = LIST_ENTRY(list_pop(list), struct request, node);
	if (may_cut(core, r))
		cut_one(core, r);
	else
		list_add_tail(&r->volume->uncut, &r->node);
	return true;
}

/* Nothing more of it is begun; what is under way of it ends first. */
static void leave_uncut(struct core *core, struct request *r)
{
	if (r->status == LS_OK)
		r->status = LS_SHUTDOWN;
	if (r->pieces_open == 0)
		request_finish(core, r);
}

void cut_all(struct core *core)
{
	struct list *node;
	bool more;

	while (core->stopping &&
	       ((node = list_pop(&core->reading)) || (node = list_pop(&core->cutting))))
		leave_uncut(core, LIST_ENTRY(node, struct request, node));
	do {
		more = !reads_enough(core) && cut_next(core, &core->reading);
		more |= cut_next(core, &core->cutting);
	} while (more);
}

inline void less_active(struct core *core, struct volume *v)
{
	v->active--;
	for (int i = 0; UNLIKELY(!list_empty(&v->uncut)) && (i < 2 || v->active == 0); i++)
		cut_later(core, LIST_ENTRY(list_pop(&v->uncut), struct request, node));
}

static void request_granted(struct range *range)
{
	struct request *r = CONTAINER_OF(range, struct request, range);

	cut_later(r->core, r);
}

/* True: it has its place, and no earlier one overlaps it. */
static bool take_place(struct core *core, struct request *r)
{
	if (UNLIKELY(r->op == REQUEST_FLUSH))
		r->offset = r->length = 0; /* whatever they are: it is of all */
	if (r->op == REQUEST_READ || r->op == REQUEST_FLUSH)
		return true;
	r->ranged = true;
	r->core = core;
	r->range.granted = request_granted;
	return range_acquire(&r->volume->ranges, &r->range, r->offset, r->length);
}

void core_submit(struct core *core, struct request *r)
{
	struct volume *v = r->volume;

	core->requests++;
	r->submitted_ns = core->now_ns;
	r->failed_legs = 0;
	r->cut = 0;
	r->pieces_open = 0;
	r->begun = r->ranged = false;
	list_init(&r->node);
	r->status = request_check(core, r);
	if (r->status != LS_OK) {
		request_finish(core, r);
		return;
	}
	if (UNLIKELY(!take_place(core, r)))
		return;
	/* The usual case needs no list: nobody waits, and one piece is all of it. */
	if (LIKELY(nobody_cuts(core) && list_empty(&v->uncut) && may_cut(core, r))) {
		if (LIKELY(!cut_one(core, r)))
			return;
	} else if (!list_empty(&v->uncut)) {
		list_add_tail(&v->uncut, &r->node);
	} else {
		cut_later(core, r);
	}
	cut_all(core);
}
