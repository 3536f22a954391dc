/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: whatever is on the devices of a pool, with right checksums or wrong, opening it fails
 * with a sentence or gives volumes that can be used; the engine neither asserts nor crashes.
 *
 * The input is laid over the metadata that a node of ours wrote; then checksums are put right.
 */
#include "engine/base/crc32c.h"
#include "engine/base/wire.h"
#include "engine/meta/record.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/world.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHANGES_MAX 64u
#define PASSES_MAX 400u
#define TABLE_ROOM 4096u

/* What a whole pool of one device has in front of its data; made once. */
static uint8_t image[2][POOL_DATA_OFFSET];

static void end_node(struct node *n, uint64_t *now_ns)
{
	disks_let_go();
	engine_stop(n->engine);
	for (unsigned i = 0; i < PASSES_MAX && !engine_stopped(n->engine); i++) {
		node_pass(n, *now_ns += 50 * NS_PER_MS);
		disks_step();
		if (n->dialling)
			engine_dial_failed(n->engine, n->dial_cookie, "nobody is there");
		n->dialling = false;
	}
	if (!engine_stopped(n->engine))
		fuzz_fail("a node does not stop");
	node_destroy(n);
}

static void wait_for_jobs(struct node *n, uint64_t *now_ns)
{
	for (unsigned i = 0; i < PASSES_MAX && node_jobs_open(n); i++) {
		node_pass(n, *now_ns += NS_PER_MS);
		disks_step();
	}
	if (node_jobs_open(n))
		fuzz_fail("a job does not end");
}

static void make_image(void)
{
	struct disk *disks[2] = {disk_open(DISK_BYTES, 512), disk_open(DISK_BYTES, 512)};
	struct store *stores[2] = {&disks[0]->store, &disks[1]->store};
	struct node n;
	uint64_t now_ns = 0;

	node_create(&n, "a", 0xa1);
	engine_pool_create(n.engine, node_job(&n), "pool", stores, 2, true);
	wait_for_jobs(&n, &now_ns);
	node_make_volume(&n, &now_ns, "vol", MIB(2));
	node_make_volume(&n, &now_ns, "wide", MIB(9));
	for (unsigned i = 0; i < 2; i++)
		memcpy(image[i], disks[i]->bytes, sizeof(image[i]));
	end_node(&n, &now_ns);
}

/* Where metadata lies. */
static uint64_t place(struct input *in)
{
	uint8_t which = take_u8(in);

	switch (which % 5) {
	case 0:
		return SUPER_COPY_OFFSET(which >> 7) + take_u16(in) % SUPER_BYTES;
	case 1:
	case 2:
		return TABLE_COPY_OFFSET(which >> 7) + take_u16(in) % TABLE_ROOM;
	case 3:
		return TABLE_COPY_OFFSET(which >> 7) + take_u8(in);
	default:
		return MAP_PAGE_OFFSET(0) + take_u16(in);
	}
}

static void seal(uint8_t *bytes)
{
	uint32_t length;

	for (unsigned i = 0; i < 2; i++) {
		uint8_t *super = bytes + SUPER_COPY_OFFSET(i), *t = bytes + TABLE_COPY_OFFSET(i);

		put_u32(super + 508, crc32c(super, 508));
		length = get_u32(t + 40);
		if (length < 64 || length > TABLE_BYTES_MAX)
			continue;
		put_u32(t + 44, 0);
		put_u32(t + 44, crc32c(t, length));
	}
}

static void change(struct input *in, struct disk **disks)
{
	for (unsigned i = 0; i < CHANGES_MAX && in->left > 0; i++) {
		uint8_t how = take_u8(in), length = (uint8_t)(1 + how % 16);
		uint64_t at = place(in);

		take_bytes(in, disks[how >> 7]->bytes + at, length);
	}
}

/* The volumes of a pool that opened are there to be read and written. */
static void use(struct node *n, uint64_t *now_ns)
{
	struct volume_status v;

	for (unsigned i = 0, at = 0; i < 4 && engine_volume_status(n->engine, &at, &v); i++) {
		node_submit(n, v.name, REQUEST_WRITE, LS_FUA, 0, v.block_bytes);
		node_submit(n, v.name, REQUEST_READ, 0, v.size_bytes - v.block_bytes,
			    v.block_bytes);
		node_submit(n, v.name, REQUEST_WRITE_ZEROES, 0, 0, v.size_bytes);
		node_submit(n, v.name, REQUEST_FLUSH, 0, 0, 0);
	}
	engine_volume_create(n->engine, node_job(n), NULL, "new", MIB(1), true);
	wait_for_jobs(n, now_ns);
	engine_volume_delete(n->engine, node_job(n), "vol");
	wait_for_jobs(n, now_ns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct node n;
	struct input in = {.at = data, .left = size};
	uint8_t how = take_u8(&in), count = (uint8_t)(1 + (how >> 1 & 1));
	struct disk *disks[2];
	struct store *stores[2];
	uint64_t now_ns = 0;
	struct job *job;

	if (!image[0][0])
		make_image();
	for (unsigned i = 0; i < 2; i++) {
		disks[i] = disk_open(DISK_BYTES, how & 8 ? 4096 : 512);
		stores[i] = &disks[i]->store;
		memcpy(disks[i]->bytes, image[i], SUPER_COPY_OFFSET(1) + SUPER_BYTES);
		memcpy(disks[i]->bytes + MIB(1), image[i] + MIB(1), TABLE_ROOM);
		memcpy(disks[i]->bytes + MIB(2), image[i] + MIB(2), TABLE_ROOM);
	}
	change(&in, disks);
	for (unsigned i = 0; i < 2 && !(how & 4); i++)
		seal(disks[i]->bytes);
	node_create(&n, "a", 0xa1);
	if (count == 1)
		store_close(stores[1]);
	job = node_job(&n);
	if (how & 1 && count == 2)
		stores[0] = &disks[1]->store, stores[1] = &disks[0]->store;
	engine_pool_open(n.engine, job, "pool", stores, count);
	wait_for_jobs(&n, &now_ns);
	if (job->err.code == 0)
		use(&n, &now_ns);
	end_node(&n, &now_ns);
	return 0;
}
