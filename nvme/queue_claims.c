/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ring holds the claims of the devices that it works on, in its table of files.  When a
 * process is killed, its descriptors are closed at once, but the kernel takes the ring apart, and
 * closes the files of its table, only when the ring's last request has ended.  So the next engine
 * cannot claim a device while a command of the last one is under way there, and no old write
 * lands behind a new one.
 */
#include "nvme/queue_internal.h"

#include <errno.h>
#include <string.h>

static int make_table(struct store_queue *q)
{
	int none[QUEUE_CLAIMS_MAX];
	int rc;

	memset(none, 0xff, sizeof(none));
	rc = io_uring_register_files(&q->ring, none, QUEUE_CLAIMS_MAX);
	q->claim_table = rc == 0;
	return rc;
}

static int hold(struct store_queue *q, struct queue_store *qs)
{
	unsigned place = 0;
	int rc = q->claim_table ? 0 : make_table(q);

	if (rc < 0)
		return rc;
	while (place < QUEUE_CLAIMS_MAX && q->claim_used[place])
		place++;
	if (place == QUEUE_CLAIMS_MAX)
		return -ENOSPC;
	rc = io_uring_register_files_update(&q->ring, place, &qs->claim_fd, 1);
	if (rc < 0)
		return rc;
	q->claim_used[place] = true;
	qs->claim_place = (int)place;
	return 0;
}

void queue_claim(struct queue_store *qs)
{
	struct store_queue *q = qs->queue;
	int rc = hold(q, qs);

	/* Asked once: without it the claim ends with the process. */
	qs->claim_asked = true;
	if (rc < 0)
		qs->claim_place = -1;
	if (rc < 0)
		q->claim_error = rc;
	queue_describe(q);
}

static bool claims_held(const struct store_queue *q)
{
	return memchr(q->claim_used, true, sizeof(q->claim_used));
}

void queue_unclaim(struct queue_store *qs)
{
	struct store_queue *q = qs->queue;
	int none = -1;

	if (!qs->claim_asked || qs->claim_place < 0)
		return;
	queue_own(q);
	q->claim_used[qs->claim_place] = false;
	/*
	 * 6.1 lets go of a single file within a second, of the whole table at once; but then it
	 * waits for what is in flight, of which only this thread can see the end.
	 */
	if (q->stats.submitted > q->stats.completed || claims_held(q)) {
		(void)io_uring_register_files_update(&q->ring, (unsigned)qs->claim_place, &none, 1);
		return;
	}
	(void)io_uring_unregister_files(&q->ring);
	q->claim_table = false;
}

void store_queue_claim_wait(struct store_queue *q, uint32_t wait_ms)
{
	q->claim_wait_ms = wait_ms;
}
