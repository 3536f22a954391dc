/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A page in Prometheus's text format: families, each with what it is, then its samples.  page_*
 * write; the rest of the exporter says what of the status becomes which family.
 */
#ifndef LS_EXPORTER_PAGE_H
#define LS_EXPORTER_PAGE_H

#include "engine/base/defs.h"

#include <stdio.h>

struct json_object;

#define PAGE_LABELS_MAX 6

/* Pairs of name and value; the first NULL name ends them. */
struct labels {
	const char *pairs[2 * PAGE_LABELS_MAX + 1];
};
#define LABELS(...) (&(const struct labels){{__VA_ARGS__}})

/* A family that has one sample for each object of a list, by one member of the object. */
struct family {
	const char *name, *type, *help; /* type: counter, gauge */
	const char *key; /* the member; a bool counts as 0 or 1 */
	uint64_t divisor; /* the unit of the member; 0 = 1 */
};

void page_family(FILE *page, const char *name, const char *type, const char *help);
void page_u64(FILE *page, const char *name, const struct labels *labels, uint64_t value);
void page_double(FILE *page, const char *name, const struct labels *labels, double value);
/* The sample of @f that @object has. */
void page_member(FILE *page, const struct family *f, const struct labels *labels,
		 struct json_object *object);
/* All of @families for one object that is there once. */
void page_members(FILE *page, const struct family *families, size_t count,
		  struct json_object *object);

/* The whole page.  @status NULL: the engine is down.  @took_s: how long it was asked. */
void page_write(FILE *page, struct json_object *status, double took_s);

/* Its parts.  volumes.c */
void page_volumes(FILE *page, struct json_object *status);
void page_pools(FILE *page, struct json_object *status);
/* engine.c */
void page_engine(FILE *page, struct json_object *status);
void page_peers(FILE *page, struct json_object *status);
void page_latency(FILE *page, struct json_object *status);

#endif
