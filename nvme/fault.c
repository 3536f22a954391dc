/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme/fault.h"

#include "engine/base/defs.h"
#include "nvme/backend.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHADOWS = 4096, CODES = STORE_WRITE_ZEROES + 1 };

/* The operation that the store below sees instead of @op. */
struct shadow {
	struct store_op below;
	struct store_op *op;
	enum ls_status status; /* LS_OK = what the store below says */
	bool holds; /* looked at again when this is done */
	struct shadow *next_free;
	struct fault_store *fault;
};

struct fault_store {
	struct store store;
	struct store *below;
	struct store_fault_plan plan;
	int file; /* of the path form that names one, or -1 */
	uint64_t count[CODES];
	uint64_t zeroed_from, zeroed_to; /* around what was zeroed since a flush passed */
	struct store_op *held; /* oldest first, by op->next */
	void *look; /* a block: what is held for the file's sake waits for one read after another */
	struct shadow *free_shadows;
	struct shadow shadows[SHADOWS];
};

static struct fault_store *fault_of(const struct store *store)
{
	return CONTAINER_OF(store, struct fault_store, store);
}

static const struct store_fault_rule *find_rule(const struct fault_store *f, enum store_code code)
{
	for (unsigned i = 0; i < f->plan.nr_rules; i++) {
		const struct store_fault_rule *rule = &f->plan.rules[i];

		if (rule->code == code && (rule->nth == 0 || rule->nth == f->count[code]))
			return rule;
	}
	return NULL;
}

static const char *const code_names[CODES] = {
	/* clang-format off */
	[STORE_READ]         = "read",
	[STORE_WRITE]        = "write",
	[STORE_FLUSH]        = "flush",
	[STORE_DISCARD]      = "discard",
	[STORE_WRITE_ZEROES] = "zeroes",
	/* clang-format on */
};

/* Does @op touch this area?  A flush touches what was zeroed before it. */
static bool touches(const struct fault_store *f, const struct store_op *op, uint64_t offset,
		    uint64_t length)
{
	uint64_t from = op->offset, to = op->offset + op->length;

	if (op->code == STORE_FLUSH) {
		if (!length)
			return true;
		from = f->zeroed_from;
		to = f->zeroed_to;
	}
	return from < offset + length && offset < to;
}

static void note_zeroed(struct fault_store *f, const struct store_op *op)
{
	bool none = f->zeroed_from == f->zeroed_to;

	if (op->code == STORE_FLUSH) {
		f->zeroed_from = f->zeroed_to = 0;
	} else if (op->code == STORE_WRITE_ZEROES) {
		f->zeroed_from = none ? op->offset : min_u64(f->zeroed_from, op->offset);
		f->zeroed_to = max_u64(f->zeroed_to, op->offset + op->length);
	}
}

enum says { SAYS_NOTHING, SAYS_FAIL, SAYS_HOLD };

/* What the first line of the file that is about @op says of it. */
static enum says file_says(const struct fault_store *f, const struct store_op *op)
{
	char text[STORE_FAULT_FILE_BYTES + 1], code[16];
	const char *at = text, *name;
	bool hold;
	unsigned long long offset, length;
	ssize_t n;
	int end;

	if (f->file < 0)
		return SAYS_NOTHING;
	n = pread(f->file, text, STORE_FAULT_FILE_BYTES, 0);
	text[n > 0 ? n : 0] = '\0';
	while (sscanf(at, "%15[a-z-] %llu %llu %n", code, &offset, &length, &end) == 3) {
		hold = strncmp(code, "hold-", 5) == 0;
		name = hold ? code + 5 : code;
		if (strcmp(name, code_names[op->code]) == 0 && touches(f, op, offset, length))
			return hold ? SAYS_HOLD : SAYS_FAIL;
		at += end;
	}
	return SAYS_NOTHING;
}

static void pass_on(struct fault_store *f, struct store_op *op, bool again);

static void shadow_done(struct store_op *below)
{
	struct shadow *s = CONTAINER_OF(below, struct shadow, below);
	struct fault_store *f = s->fault;
	struct store_op *op = s->op;
	enum ls_status status = s->status != LS_OK ? s->status : below->status;
	bool holds = s->holds;

	s->next_free = f->free_shadows;
	f->free_shadows = s;
	if (holds)
		pass_on(f, op, true);
	else
		store_op_done(op, status);
}

/* @again: it was held. */
static void pass_on(struct fault_store *f, struct store_op *op, bool again)
{
	struct shadow *s = f->free_shadows;
	const struct store_fault_rule *rule;
	enum says says = file_says(f, op);

	/* A test that has more in flight than this is no test. */
	assert(s);
	f->free_shadows = s->next_free;
	f->count[op->code] += !again;
	rule = find_rule(f, op->code);
	s->below = *op;
	if (says == SAYS_NOTHING)
		note_zeroed(f, op);
	if (says == SAYS_HOLD)
		/* Not a flush, which may end at once: a poll would never. */
		s->below = (struct store_op){
			.code = STORE_READ,
			.length = f->store.geometry.block_bytes,
			.buf = f->look,
		};
	else if (says == SAYS_FAIL || (rule && !rule->after))
		s->below = (struct store_op){.code = STORE_FLUSH};
	s->below.done = shadow_done;
	s->op = op;
	s->status = says == SAYS_FAIL ? LS_LOCAL_IO : rule ? rule->status : LS_OK;
	s->holds = says == SAYS_HOLD;
	s->fault = f;
	if (s->holds && !again)
		fprintf(stderr, "fault: holds %s\n", code_names[op->code]);
	store_submit(f->below, &s->below);
}

static void fault_submit(struct store *store, struct store_op *op)
{
	struct fault_store *f = fault_of(store);
	struct store_op **tail = &f->held;

	if (!(f->plan.hold & (1u << op->code))) {
		pass_on(f, op, false);
		return;
	}
	while (*tail)
		tail = &(*tail)->next;
	op->next = NULL;
	*tail = op;
}

static void fault_close(struct store *store)
{
	struct fault_store *f = fault_of(store);

	store_close(f->below);
	if (f->file >= 0)
		close(f->file);
	free(f->look);
	free(f);
}

static const struct store_ops fault_ops = {
	.submit = fault_submit,
	.close = fault_close,
};

struct store *store_fault_wrap(struct store *below, const struct store_fault_plan *plan)
{
	struct fault_store *f = calloc(1, sizeof(*f));

	if (f)
		f->look = aligned_alloc(4096, 4096);
	if (!f || !f->look) {
		free(f);
		return NULL;
	}
	f->store.ops = &fault_ops;
	f->store.geometry = below->geometry;
	f->below = below;
	f->file = -1;
	for (size_t i = 0; i < SHADOWS; i++) {
		f->shadows[i].next_free = f->free_shadows;
		f->free_shadows = &f->shadows[i];
	}
	store_fault_plan_set(&f->store, plan);
	return &f->store;
}

void store_fault_plan_set(struct store *store, const struct store_fault_plan *plan)
{
	struct fault_store *f = fault_of(store);

	memset(&f->plan, 0, sizeof(f->plan));
	memset(f->count, 0, sizeof(f->count));
	if (plan)
		f->plan = *plan;
	assert(f->plan.nr_rules <= STORE_FAULT_RULES_MAX);
}

unsigned store_fault_held(const struct store *store)
{
	unsigned n = 0;

	for (const struct store_op *op = fault_of(store)->held; op; op = op->next)
		n++;
	return n;
}

bool store_fault_release(struct store *store, struct store_op *op)
{
	struct fault_store *f = fault_of(store);

	for (struct store_op **at = &f->held; *at; at = &(*at)->next) {
		struct store_op *found = *at;

		if (op && found != op)
			continue;
		*at = found->next;
		pass_on(f, found, false);
		return true;
	}
	return false;
}

/* The path form. */

static bool takes(const char *path)
{
	return strncmp(path, "fail:", 5) == 0;
}

static int parse_code(const char *name, enum store_code *code)
{
	for (unsigned i = 0; i < CODES; i++) {
		if (strcmp(name, code_names[i]) == 0) {
			*code = i;
			return 0;
		}
	}
	return -EINVAL;
}

static int open_below(struct store_queue *queue, const char *path, uint64_t size_bytes,
		      const struct store_fault_plan *plan, struct store **store, struct err *err)
{
	struct store *below;
	int rc = store_open(queue, path, size_bytes, &below, err);

	if (rc < 0)
		return rc;
	*store = store_fault_wrap(below, plan);
	if (*store)
		return 0;
	store_close(below);
	return err_set(err, -ENOMEM, "%s: no memory for a store", path);
}

static int open_file_form(struct store_queue *queue, const char *path, uint64_t size_bytes,
			  struct store **store, struct err *err)
{
	const char *colon = strchr(path + 5, ':');
	char name[256];
	int rc, file;

	if (!colon || (size_t)(colon - path) >= sizeof(name))
		return err_set(err, -EINVAL, "%s: the form is fail:FILE:PATH", path);
	snprintf(name, sizeof(name), "%.*s", (int)(colon - path - 5), path + 5);
	file = open(name, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return err_set(err, -errno, "%s: cannot open what says what fails", name);
	rc = open_below(queue, colon + 1, size_bytes, NULL, store, err);
	if (rc < 0) {
		close(file);
		return rc;
	}
	fault_of(*store)->file = file;
	snprintf((*store)->geometry.detail, sizeof((*store)->geometry.detail),
		 "fails on purpose, as %.80s says", name);
	return 0;
}

static int open_fail(struct store_queue *queue, const char *path, uint64_t size_bytes,
		     struct store **store, struct err *err)
{
	struct store_fault_plan plan = {.nr_rules = 1, .rules = {{.status = LS_LOCAL_IO}}};
	unsigned long long nth;
	char code[16];
	int rc, end = 0;

	if (path[5] == '/')
		return open_file_form(queue, path, size_bytes, store, err);
	if (sscanf(path, "fail:%15[a-z]:%llu:%n", code, &nth, &end) < 2 || end == 0 ||
	    parse_code(code, &plan.rules[0].code) < 0)
		return err_set(err, -EINVAL,
			       "%s: the form is fail:CODE:NTH:PATH, with CODE one of "
			       "read, write, flush, discard, zeroes",
			       path);
	plan.rules[0].nth = nth;
	rc = open_below(queue, path + end, size_bytes, &plan, store, err);
	if (rc < 0)
		return rc;
	snprintf((*store)->geometry.detail, sizeof((*store)->geometry.detail),
		 "fails %s number %llu on purpose", code, nth);
	return 0;
}

const struct store_backend store_backend_fail = {
	.name = "fail",
	.takes = takes,
	.open = open_fail,
};
