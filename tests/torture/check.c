/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Compares what a volume holds with what its writers recorded, block by block.
 *
 *   torture-check HISTORY CONTENT BASELINE
 *
 * HISTORY says what happened, in order, a line each (tests/torture/README.md has the reasons):
 *   volume ID SEED BLOCKS
 *   baseline PATH            what an earlier check found; without: all zeroes
 *   main PATH FROM TO        records of a ledger, bytes FROM to TO (-1: to its end)
 *   maybe PATH FROM TO       these requests may have been done, whatever was said of them
 *   barrier                  nothing that was open can take effect any more
 *   loss                     what was acknowledged but is not durable may be gone
 * CONTENT is the volume's bytes.  What is found is written to BASELINE, for the next round.
 *
 * A request may be what a block holds unless a later one counts for certain: one that was queued
 * after the first had ended, and that was acknowledged (after a loss: became durable).
 *
 * Prints one line of JSON; exit status 0 all right, 1 a loss, which is described, 2 a mistake.
 */
#include "engine/include/lockstep.h"
#include "tests/torture/block.h"
#include "tests/torture/ledger.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEVER UINT64_MAX
#define COMPLAINTS_MAX 8

/* Times are places in the history: the number of records before. */
struct request {
	struct ledger_record what;
	uint64_t begun;
	uint64_t ended; /* it cannot take effect after; NEVER: still open */
	bool acknowledged, durable, lost; /* lost: acknowledged, but need not be there */
};

/* Requests that touch a block, newest first. */
struct touch {
	uint32_t request, next;
};

static struct history {
	struct block_id id;
	uint64_t blocks, now;
	uint64_t *baseline;
	struct request *requests;
	uint32_t nr_requests, room;
	/* By version, so that an outcome finds its request: open addressing. */
	uint32_t *table, table_size;
	uint32_t *order, nr_order; /* acknowledged, in that order */
	uint32_t nr_durable; /* of order: these are durable */
	uint64_t acknowledged_bytes, written_bytes, flushes;
	uint64_t failed, refused; /* refused: not primary here */
} h;

static void __attribute__((noreturn)) PRINTF_LIKE(1, 2) mistake(const char *fmt, ...)
{
	va_list ap;

	fputs("torture-check: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

static void *array(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size);

	if (!p)
		mistake("no memory");
	return p;
}

static char *read_file(const char *path, size_t *bytes)
{
	FILE *f = fopen(path, "rb");
	char *text;
	long end;

	if (!f || fseek(f, 0, SEEK_END) || (end = ftell(f)) < 0)
		mistake("%s: %s", path, strerror(errno));
	rewind(f);
	text = array((size_t)end + 1, 1);
	if (fread(text, 1, (size_t)end, f) != (size_t)end)
		mistake("%s: %s", path, strerror(errno));
	fclose(f);
	*bytes = (size_t)end;
	return text;
}

/* --- building the history --- */

static uint32_t *table_slot(uint64_t version)
{
	uint32_t i = (uint32_t)((version * 0x9e3779b97f4a7c15u) >> 32);

	while (h.table[i % h.table_size] &&
	       h.requests[h.table[i % h.table_size] - 1].what.version != version)
		i++;
	return &h.table[i % h.table_size];
}

static void begin(const struct ledger_record *r)
{
	uint32_t *slot = table_slot(r->version);

	if (*slot)
		mistake("request %#" PRIx64 " was queued twice", r->version);
	if (r->block + r->count > h.blocks)
		mistake("request %#" PRIx64 " is outside of the volume", r->version);
	h.requests[h.nr_requests++] = (struct request){.what = *r, .begun = h.now, .ended = NEVER};
	*slot = h.nr_requests;
	if (r->op == LEDGER_WRITE)
		h.written_bytes += r->count * (uint64_t)BLOCK_BYTES;
}

/* Both sides have flushed: what was acknowledged before the flush was queued is durable. */
static void flushed(const struct request *flush)
{
	h.flushes++;
	while (h.nr_durable < h.nr_order && h.requests[h.order[h.nr_durable]].ended < flush->begun)
		h.requests[h.order[h.nr_durable++]].durable = true;
}

static void acknowledge(uint64_t version)
{
	uint32_t slot = *table_slot(version);
	struct request *r = slot ? &h.requests[slot - 1] : NULL;

	/* Its request may lie in a part of the ledger that does not count. */
	if (!r)
		return;
	if (r->acknowledged)
		mistake("request %#" PRIx64 " was completed twice", version);
	r->acknowledged = true;
	r->ended = min_u64(r->ended, h.now);
	r->durable = r->what.fua;
	h.order[h.nr_order++] = slot - 1;
	h.acknowledged_bytes += r->what.count * (uint64_t)BLOCK_BYTES;
	if (r->what.op == LEDGER_FLUSH)
		flushed(r);
}

static void take_ledger(const char *path, long from, long to, bool certain)
{
	size_t bytes;
	char *text = read_file(path, &bytes);
	size_t end = to < 0 ? bytes : min_u64((uint64_t)to, bytes);

	/* A record in the making when the writer ended is not there. */
	for (size_t at = (size_t)from; at + sizeof(struct ledger_record) <= end;
	     at += sizeof(struct ledger_record)) {
		struct ledger_record r;

		memcpy(&r, text + at, sizeof(r));
		h.now++;
		if (r.kind == LEDGER_SUBMIT)
			begin(&r);
		else if (r.kind == LEDGER_DONE && certain)
			acknowledge(r.version);
		else if (r.kind == LEDGER_FAILED && r.status == LS_NOT_PRIMARY)
			h.refused++;
		else if (r.kind == LEDGER_FAILED)
			h.failed++;
	}
	free(text);
}

static void take_barrier(void)
{
	h.now++;
	for (uint32_t i = 0; i < h.nr_requests; i++)
		h.requests[i].ended = min_u64(h.requests[i].ended, h.now);
	h.now++;
}

static void take_loss(void)
{
	for (; h.nr_durable < h.nr_order; h.nr_durable++) {
		struct request *r = &h.requests[h.order[h.nr_durable]];

		r->lost = !r->durable;
	}
}

/* Room for every record of every ledger in the history. */
static void make_room(char *text)
{
	char *copy = strdup(text), *save = NULL, path[1000];
	size_t records = 0, bytes;

	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, "main %999s", path) == 1 ||
		    sscanf(line, "maybe %999s", path) == 1) {
			free(read_file(path, &bytes));
			records += bytes / sizeof(struct ledger_record);
		}
	}
	free(copy);
	h.room = (uint32_t)records;
	h.requests = array(records, sizeof(*h.requests));
	h.order = array(records, sizeof(*h.order));
	h.table_size = 2 * h.room + 16;
	h.table = array(h.table_size, sizeof(*h.table));
}

static void take_baseline(const char *path)
{
	size_t bytes;
	char *text = read_file(path, &bytes);

	/* The volume may have grown since: zeroes. */
	memcpy(h.baseline, text, min_u64(bytes, h.blocks * sizeof(*h.baseline)));
	free(text);
}

static void take_line(const char *line)
{
	char word[20], path[1000];
	long from = 0, to = -1;
	int n = sscanf(line, "%19s %999s %ld %ld", word, path, &from, &to);

	if (n >= 2 && !strcmp(word, "volume")) {
		if (sscanf(line, "volume %" SCNu32 " %" SCNu64 " %" SCNu64, &h.id.volume,
			   &h.id.seed, &h.blocks) != 3)
			mistake("'%s'", line);
		h.baseline = array(h.blocks, sizeof(*h.baseline));
	} else if (n == 2 && !strcmp(word, "baseline")) {
		take_baseline(path);
	} else if (n == 4 && (!strcmp(word, "main") || !strcmp(word, "maybe"))) {
		take_ledger(path, from, to, !strcmp(word, "main"));
	} else if (n == 1 && !strcmp(word, "barrier")) {
		take_barrier();
	} else if (n == 1 && !strcmp(word, "loss")) {
		take_loss();
	} else {
		mistake("no such line in a history: '%s'", line);
	}
}

static void read_history(const char *path)
{
	size_t bytes;
	char *text = read_file(path, &bytes), *save = NULL;

	make_room(text);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		take_line(line);
	free(text);
	if (!h.blocks)
		mistake("%s does not name a volume", path);
}

/* --- judging --- */

static uint32_t *heads;
static struct touch *touches;

static void index_blocks(void)
{
	uint64_t count = 1;
	uint32_t at = 1; /* 0: the end of a list */

	for (uint32_t i = 0; i < h.nr_requests; i++)
		count += h.requests[i].what.count;
	heads = array(h.blocks, sizeof(*heads));
	touches = array(count, sizeof(*touches));
	for (uint32_t i = 0; i < h.nr_requests; i++) {
		const struct ledger_record *r = &h.requests[i].what;

		for (uint64_t b = r->block; b < r->block + r->count; b++, at++) {
			touches[at] = (struct touch){.request = i, .next = heads[b]};
			heads[b] = at;
		}
	}
}

/* When the last request for certain was queued: what had ended before is overwritten.  0: none. */
static uint64_t certain_since(uint64_t block)
{
	uint64_t since = 0;

	for (uint32_t at = heads[block]; at; at = touches[at].next) {
		const struct request *r = &h.requests[touches[at].request];

		if (r->acknowledged && !r->lost)
			since = max_u64(since, r->begun);
	}
	return since;
}

static bool may_hold(uint64_t block, uint64_t version)
{
	uint64_t since = certain_since(block);

	if (!since && version == h.baseline[block])
		return true;
	for (uint32_t at = heads[block]; at; at = touches[at].next) {
		const struct request *r = &h.requests[touches[at].request];
		uint64_t left = r->what.op == LEDGER_WRITE ? r->what.version : VERSION_ZEROES;

		if (left == version && r->ended >= since)
			return true;
	}
	return false;
}

static void complain(uint64_t block, enum block_verdict verdict, const struct block_id *id)
{
	static const char *const words[] = {"whole", "torn", "foreign", "damaged"};

	printf("block %" PRIu64 " holds version %#" PRIx64 " (%s; says volume %" PRIu32
	       ", block %" PRIu64 "); baseline %#" PRIx64 ", certain since %" PRIu64
	       "; requests:\n",
	       block, id->version, words[verdict], id->volume, id->block, h.baseline[block],
	       certain_since(block));
	for (uint32_t at = heads[block]; at; at = touches[at].next) {
		const struct request *r = &h.requests[touches[at].request];

		printf("  %#" PRIx64 " %s blocks %" PRIu64 "+%" PRIu32 " at %" PRIu64 " to %" PRId64
		       "%s%s%s%s\n",
		       r->what.version, r->what.op == LEDGER_WRITE ? "write" : "zeroes",
		       r->what.block, r->what.count, r->begun, (int64_t)r->ended,
		       r->what.fua ? " FUA" : "", r->acknowledged ? " acknowledged" : "",
		       r->durable ? " durable" : "", r->lost ? " (loss allowed)" : "");
	}
}

static uint64_t judge(const char *content)
{
	uint64_t wrong = 0;

	for (uint64_t b = 0; b < h.blocks; b++) {
		struct block_id id = h.id;
		enum block_verdict verdict;

		id.block = b;
		verdict = block_look(content + b * BLOCK_BYTES, &id);
		if (verdict != BLOCK_WHOLE || !may_hold(b, id.version)) {
			if (wrong++ < COMPLAINTS_MAX)
				complain(b, verdict, &id);
		}
		h.baseline[b] = id.version;
	}
	return wrong;
}

static void save_baseline(const char *path)
{
	FILE *f = fopen(path, "wb");

	if (!f || fwrite(h.baseline, sizeof(*h.baseline), h.blocks, f) != h.blocks || fclose(f))
		mistake("%s: %s", path, strerror(errno));
}

int main(int argc, char **argv)
{
	uint32_t digest = 0;
	uint64_t wrong;
	size_t bytes;
	char *content;

	if (argc != 4)
		mistake("usage: torture-check HISTORY CONTENT BASELINE");
	read_history(argv[1]);
	content = read_file(argv[2], &bytes);
	if (bytes != h.blocks * BLOCK_BYTES)
		mistake("%s has %zu bytes, not %" PRIu64 " blocks", argv[2], bytes, h.blocks);
	index_blocks();
	wrong = judge(content);
	for (uint64_t at = 0; at < bytes; at += DIGEST_BYTES)
		digest = digest_add(digest, content + at, min_u64(DIGEST_BYTES, bytes - at));
	save_baseline(argv[3]);
	printf("{\"wrong\": %" PRIu64 ", \"checked_bytes\": %zu, \"written_bytes\": %" PRIu64
	       ", \"acknowledged_bytes\": %" PRIu64 ", \"requests\": %" PRIu32
	       ", \"flushes\": %" PRIu64 ", \"failed\": %" PRIu64 ", \"refused\": %" PRIu64
	       ", \"digest\": \"%08x\"}\n",
	       wrong, bytes, h.written_bytes, h.acknowledged_bytes, h.nr_requests, h.flushes,
	       h.failed, h.refused, digest);
	free(content);
	return wrong ? 1 : 0;
}
