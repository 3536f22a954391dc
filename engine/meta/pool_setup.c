/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Making and opening a pool.  Making: superblocks on every device, both copies, then an
 * empty table.  Nothing is a pool before its table is there, so a crash in between leaves
 * devices that `pool create --force` takes again.  Opening: superblocks of every device, a flush
 * of the first one, then both table copies; the newer whole one counts.  The other copy may be one
 * commit behind, of which nobody was told; it is made the same before the pool is used.
 *
 * The flush is for what an engine that was killed had under way: it can be read, table or map page,
 * and be in a volatile cache only.  The next commit would write over the other copy.
 */
#include "engine/meta/pool.h"

#include "engine/base/mutant.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void finish(struct pool_setup *s, int code, const char *text)
{
	s->done(s, code, text);
}

static void start(struct pool_setup *s, enum store_code code, unsigned device, uint64_t offset,
		  uint64_t length, void *buf, void (*done)(struct leg *))
{
	s->leg = (struct leg){
		.op.code = code,
		.op.flags = code == STORE_WRITE ? STORE_FUA : 0,
		.offset = offset,
		.length = length,
		.op.buf = buf,
		.done = done,
	};
	leg_start_raw(&s->leg, &s->pool->stores[device]);
}

static struct pool_setup *setup_of(struct leg *leg)
{
	return CONTAINER_OF(leg, struct pool_setup, leg);
}

static const char *device_path(const struct pool_setup *s)
{
	return s->pool->stores[s->device]->geometry.path;
}

/* --- making --- */

static void make_super(struct pool_setup *s);

static void table_made(struct pool_commit *commit, enum ls_status status)
{
	finish(CONTAINER_OF(commit, struct pool_setup, commit), status == LS_OK ? 0 : -EIO,
	       status == LS_OK ? "" : "writing the volume table failed");
}

static void make_table(struct pool_setup *s)
{
	s->commit.done = table_made;
	pool_commit(s->pool, &s->commit);
}

static void super_written(struct leg *leg)
{
	struct pool_setup *s = setup_of(leg);
	char text[320];

	if (leg->status != LS_OK) {
		snprintf(text, sizeof(text), "%s: writing the superblock failed", device_path(s));
		finish(s, -EIO, text);
		return;
	}
	if (++s->copy == 2) {
		s->copy = 0;
		s->device++;
	}
	if (s->device < s->pool->device_count)
		make_super(s);
	else
		make_table(s);
}

static void make_super(struct pool_setup *s)
{
	struct pool *p = s->pool;
	struct super super = {
		.sequence = 1,
		.device_index = s->device,
		.device_count = p->device_count,
		.device_bytes = p->stores[s->device]->geometry.size_bytes,
		.block_bytes = p->stores[s->device]->geometry.block_bytes,
		.node_address = s->node_address,
	};

	memcpy(super.pool_uuid, p->uuid, 16);
	memcpy(super.device_uuid, s->device_uuids[s->device], 16);
	memcpy(super.pool_name, p->name, sizeof(p->name));
	super_encode(&super, s->buf);
	start(s, STORE_WRITE, s->device, SUPER_COPY_OFFSET(s->copy), SUPER_BYTES, s->buf,
	      super_written);
}

static void read_super(struct pool_setup *s);

/* Before anything is written: a device that already belongs to a pool needs --force. */
static void make_checked(struct pool_setup *s)
{
	s->device = s->copy = 0;
	make_super(s);
}

/* --- opening --- */

static void flush_metadata(struct pool_setup *s);

static void sort_devices(struct pool_setup *s)
{
	struct pool *p = s->pool;
	struct store *stores[POOL_DEVICES_MAX] = {0};
	uint32_t units[POOL_DEVICES_MAX] = {0};
	char text[320];

	for (unsigned i = 0; i < p->device_count; i++) {
		const struct super *super = &s->supers[i];

		if (memcmp(super->pool_uuid, s->supers[0].pool_uuid, 16) != 0 ||
		    super->device_count != p->device_count || stores[super->device_index]) {
			snprintf(
				text, sizeof(text),
				"%s: belongs to pool '%s' of %u devices; the devices given are not "
				"one whole pool",
				p->stores[i]->geometry.path, super->pool_name, super->device_count);
			finish(s, -EINVAL, text);
			return;
		}
		if (p->stores[i]->geometry.size_bytes < super->device_bytes) {
			snprintf(text, sizeof(text),
				 "%s: the device has shrunk from %llu to %llu bytes",
				 p->stores[i]->geometry.path,
				 (unsigned long long)super->device_bytes,
				 (unsigned long long)p->stores[i]->geometry.size_bytes);
			finish(s, -EINVAL, text);
			return;
		}
		stores[super->device_index] = p->stores[i];
		units[super->device_index] = p->units[i];
	}
	memcpy(p->stores, stores, sizeof(stores));
	memcpy(p->units, units, sizeof(units));
	memcpy(p->uuid, s->supers[0].pool_uuid, 16);
	memcpy(p->name, s->supers[0].pool_name, sizeof(p->name));
	flush_metadata(s);
}

static void super_refused(struct pool_setup *s, enum meta_verdict verdict)
{
	char text[320];

	snprintf(text, sizeof(text), "%s: %s", device_path(s), meta_verdict_name(verdict));
	finish(s, -EINVAL, text);
}

static void super_taken(struct pool_setup *s, const struct super *super)
{
	char text[320];

	if (s->make && !s->force) {
		snprintf(text, sizeof(text),
			 "%s: already belongs to Lockstep pool '%s'; nothing was written. To "
			 "destroy that "
			 "pool and its volumes, say --force",
			 device_path(s), super->pool_name);
		finish(s, -EEXIST, text);
		return;
	}
	s->supers[s->device] = *super;
	s->copy = 0;
	if (++s->device < s->pool->device_count)
		read_super(s);
	else if (s->make)
		make_checked(s);
	else
		sort_devices(s);
}

static void super_read(struct leg *leg)
{
	struct pool_setup *s = setup_of(leg);
	enum meta_verdict verdict = META_UNREADABLE;
	struct super super = {0};

	if (leg->status == LS_OK)
		verdict = super_decode(s->buf, &super);
	if (verdict == META_OK) {
		super_taken(s, &super);
		return;
	}
	if (s->copy == 0) {
		s->verdicts[0] = verdict;
		s->copy = 1;
		read_super(s);
		return;
	}
	/* Neither copy is whole.  A version or damage in either says more than "foreign". */
	if (verdict == META_FOREIGN)
		verdict = s->verdicts[0];
	if (s->make && (verdict == META_FOREIGN || s->force)) {
		s->copy = 0;
		if (++s->device < s->pool->device_count)
			read_super(s);
		else
			make_checked(s);
		return;
	}
	super_refused(s, verdict);
}

static void read_super(struct pool_setup *s)
{
	start(s, STORE_READ, s->device, SUPER_COPY_OFFSET(s->copy), SUPER_BYTES, s->buf,
	      super_read);
}

static void read_table(struct pool_setup *s);

static void table_choose(struct pool_setup *s)
{
	bool ok[2] = {s->verdicts[0] == META_OK, s->verdicts[1] == META_OK};

	if (!ok[0] && !ok[1]) {
		s->device = 0;
		super_refused(s, s->verdicts[0] == META_FOREIGN ? s->verdicts[1] : s->verdicts[0]);
		return;
	}
	s->chosen = ok[1] && (!ok[0] || s->tables[1].sequence > s->tables[0].sequence);
	s->pool->sequence = s->tables[s->chosen].sequence;
	s->pool->copy = !s->chosen;
	s->repair = !ok[0] || !ok[1] || s->tables[0].sequence != s->tables[1].sequence;
	/* The records are decoded from the pool's buffer; it has the second copy now. */
	if (s->chosen == 0) {
		uint8_t *other = s->pool->table;

		s->pool->table = s->buf;
		s->buf = other;
	}
	finish(s, 0, "");
}

static uint8_t *table_buffer(const struct pool_setup *s)
{
	return s->copy ? s->pool->table : s->buf;
}

static void table_read(struct leg *leg)
{
	struct pool_setup *s = setup_of(leg);
	enum meta_verdict verdict = META_UNREADABLE;

	if (leg->status == LS_OK)
		verdict = table_decode(table_buffer(s),
				       leg->offset + leg->length - TABLE_COPY_OFFSET(s->copy),
				       &s->tables[s->copy]);
	if (verdict == META_OK && memcmp(s->tables[s->copy].pool_uuid, s->pool->uuid, 16) != 0)
		verdict = META_FOREIGN;
	s->verdicts[s->copy] = verdict;
	if (++s->copy < 2)
		read_table(s);
	else
		table_choose(s);
}

/* Its first page says how long it is: most are short, and the room is for the longest. */
static void table_head_read(struct leg *leg)
{
	struct pool_setup *s = setup_of(leg);
	size_t bytes = leg->status == LS_OK ? table_bytes(table_buffer(s)) : 0;

	if (bytes <= SUPER_BYTES)
		table_read(leg);
	else
		start(s, STORE_READ, 0, TABLE_COPY_OFFSET(s->copy) + SUPER_BYTES,
		      bytes - SUPER_BYTES, table_buffer(s) + SUPER_BYTES, table_read);
}

static void read_table(struct pool_setup *s)
{
	start(s, STORE_READ, 0, TABLE_COPY_OFFSET(s->copy), SUPER_BYTES, table_buffer(s),
	      table_head_read);
}

static void metadata_flushed(struct leg *leg)
{
	struct pool_setup *s = setup_of(leg);
	char text[320];

	if (leg->status == LS_OK) {
		read_table(s);
		return;
	}
	snprintf(text, sizeof(text),
		 "%s: the device failed a flush, so what is read from it may be lost again; "
		 "nothing was written",
		 s->pool->stores[0]->geometry.path);
	finish(s, -EIO, text);
}

/* From here on what is read is durable: nobody writes in between. */
static void flush_metadata(struct pool_setup *s)
{
	s->copy = 0;
	if (MUTANT(OPENED_UNFLUSHED))
		read_table(s);
	else
		start(s, STORE_FLUSH, 0, 0, 0, NULL, metadata_flushed);
}

bool pool_next_record(const struct pool_setup *s, size_t *cursor, struct volume_record *record)
{
	return table_record(s->pool->table, TABLE_BYTES_MAX, cursor, record);
}

void pool_setup_fini(struct pool_setup *s)
{
	free(s->buf);
	s->buf = NULL;
}

void pool_setup_start(struct pool_setup *s)
{
	char text[320];

	s->device = s->copy = 0;
	s->buf = aligned_alloc(SUPER_BYTES, TABLE_BYTES_MAX);
	if (!s->buf) {
		finish(s, -ENOMEM, "out of memory");
		return;
	}
	for (unsigned i = 0; i < s->pool->device_count; i++) {
		const struct store_geometry *g = &s->pool->stores[i]->geometry;

		if (g->size_bytes >= POOL_DEVICE_BYTES_MIN)
			continue;
		snprintf(text, sizeof(text),
			 "%s: too small for a pool: %llu bytes, at least %llu are needed", g->path,
			 (unsigned long long)g->size_bytes,
			 (unsigned long long)POOL_DEVICE_BYTES_MIN);
		finish(s, -ENOSPC, text);
		return;
	}
	read_super(s);
}
