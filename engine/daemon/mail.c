/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/daemon/mail.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * ck's fences are assembler, which ThreadSanitizer can't see: tell it what they order.
 * "filled" = what the producer wrote is seen by the consumer; "emptied" = the other way.
 */
#if defined(__SANITIZE_THREAD__)
#define TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TSAN 1
#endif
#endif
#ifdef TSAN
#include <sanitizer/tsan_interface.h>
#define HAPPENS_BEFORE(address) __tsan_release(address)
#define HAPPENS_AFTER(address) __tsan_acquire(address)
#else
#define HAPPENS_BEFORE(address) ((void)(address))
#define HAPPENS_AFTER(address) ((void)(address))
#endif

struct call_slot {
	struct call *call;
};

CK_RING_PROTOTYPE(call_slot, call_slot)
CK_RING_PROTOTYPE(link_event, link_event)
CK_RING_PROTOTYPE(note, note)

struct call_box {
	struct ck_ring ring;
	char filled, emptied; /* addresses for ThreadSanitizer */
	struct call_slot slots[CALLS_MAX];
};

struct link_box {
	struct ck_ring ring;
	char filled, emptied; /* addresses for ThreadSanitizer */
	struct link_event slots[LINK_EVENTS_MAX];
};

struct note_box {
	struct ck_ring ring;
	char filled, emptied; /* addresses for ThreadSanitizer */
	struct note slots[NOTES_MAX];
};

/* How many more entries fit; the producer's view. */
static unsigned room(const struct ck_ring *ring)
{
	return ck_ring_capacity(ring) - 1 - ck_ring_size(ring);
}

struct call_box *call_box_create(void)
{
	struct call_box *box = calloc(1, sizeof(*box));

	if (box)
		ck_ring_init(&box->ring, CALLS_MAX);
	return box;
}

void call_box_destroy(struct call_box *box)
{
	free(box);
}

bool call_push(struct call_box *box, struct call *call)
{
	struct call_slot *slot;

	if (!room(&box->ring))
		return false;
	HAPPENS_AFTER(&box->emptied);
	slot = ck_ring_enqueue_reserve_spsc_call_slot(&box->ring, box->slots);
	slot->call = call;
	HAPPENS_BEFORE(&box->filled);
	ck_ring_enqueue_commit_spsc(&box->ring);
	return true;
}

struct call *call_pop(struct call_box *box)
{
	struct call_slot slot;

	if (ck_ring_size(&box->ring) == 0)
		return NULL;
	HAPPENS_AFTER(&box->filled);
	if (!ck_ring_dequeue_spsc_call_slot(&box->ring, box->slots, &slot))
		return NULL;
	HAPPENS_BEFORE(&box->emptied);
	return slot.call;
}

bool call_box_empty(const struct call_box *box)
{
	return ck_ring_size(&box->ring) == 0;
}

struct link_box *link_box_create(void)
{
	struct link_box *box = calloc(1, sizeof(*box));

	if (box)
		ck_ring_init(&box->ring, LINK_EVENTS_MAX);
	return box;
}

void link_box_destroy(struct link_box *box)
{
	free(box);
}

bool link_push(struct link_box *box, const struct link_event *event, bool reserved)
{
	struct link_event *slot;

	if (room(&box->ring) <= (reserved ? 0 : LINK_EVENTS_RESERVED))
		return false;
	HAPPENS_AFTER(&box->emptied);
	slot = ck_ring_enqueue_reserve_spsc_link_event(&box->ring, box->slots);
	*slot = *event;
	HAPPENS_BEFORE(&box->filled);
	ck_ring_enqueue_commit_spsc(&box->ring);
	return true;
}

bool link_pop(struct link_box *box, struct link_event *event)
{
	if (ck_ring_size(&box->ring) == 0)
		return false;
	HAPPENS_AFTER(&box->filled);
	if (!ck_ring_dequeue_spsc_link_event(&box->ring, box->slots, event))
		return false;
	HAPPENS_BEFORE(&box->emptied);
	return true;
}

bool link_box_empty(const struct link_box *box)
{
	return ck_ring_size(&box->ring) == 0;
}

struct note_box *note_box_create(void)
{
	struct note_box *box = calloc(1, sizeof(*box));

	if (box)
		ck_ring_init(&box->ring, NOTES_MAX);
	return box;
}

void note_box_destroy(struct note_box *box)
{
	free(box);
}

bool note_push(struct note_box *box, const struct note *note)
{
	struct note *slot;

	if (room(&box->ring) <= (note_may_be_lost(note) ? NOTES_RESERVED : 0))
		return false;
	HAPPENS_AFTER(&box->emptied);
	slot = ck_ring_enqueue_reserve_spsc_note(&box->ring, box->slots);
	*slot = *note;
	HAPPENS_BEFORE(&box->filled);
	ck_ring_enqueue_commit_spsc(&box->ring);
	return true;
}

bool note_pop(struct note_box *box, struct note *note)
{
	if (ck_ring_size(&box->ring) == 0)
		return false;
	HAPPENS_AFTER(&box->filled);
	if (!ck_ring_dequeue_spsc_note(&box->ring, box->slots, note))
		return false;
	HAPPENS_BEFORE(&box->emptied);
	return true;
}

int bell_create(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

void bell_ring(int fd)
{
	uint64_t one = 1;

	/* EAGAIN means that the counter is full: it is readable, which is all we want. */
	if (write(fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		assert(errno == EAGAIN);
}

void bell_quiet(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) != (ssize_t)sizeof(count))
		assert(errno == EAGAIN || errno == EINTR);
}
