/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/exporter/page.h"

#include "engine/json/json.h"

#include <inttypes.h>

void page_family(FILE *page, const char *name, const char *type, const char *help)
{
	fprintf(page, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* What the format asks of a label's value. */
static void put_escaped(FILE *page, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n') {
			fputs("\\n", page);
			continue;
		}
		if (*text == '\\' || *text == '"')
			putc('\\', page);
		putc(*text, page);
	}
}

static void put_name(FILE *page, const char *name, const struct labels *labels)
{
	fputs(name, page);
	for (unsigned i = 0; labels && labels->pairs[i]; i += 2) {
		fprintf(page, "%c%s=\"", i ? ',' : '{', labels->pairs[i]);
		put_escaped(page, labels->pairs[i + 1]);
		putc('"', page);
	}
	if (labels && labels->pairs[0])
		putc('}', page);
}

void page_u64(FILE *page, const char *name, const struct labels *labels, uint64_t value)
{
	put_name(page, name, labels);
	fprintf(page, " %" PRIu64 "\n", value);
}

void page_double(FILE *page, const char *name, const struct labels *labels, double value)
{
	put_name(page, name, labels);
	fprintf(page, " %.12g\n", value);
}

void page_member(FILE *page, const struct family *f, const struct labels *labels,
		 struct json_object *object)
{
	struct json_object *value = json_get(object, f->key);

	if (json_object_is_type(value, json_type_boolean))
		page_u64(page, f->name, labels, json_object_get_boolean(value));
	else if (f->divisor)
		page_double(page, f->name, labels,
			    (double)json_get_u64(object, f->key, 0) / (double)f->divisor);
	else
		page_u64(page, f->name, labels, json_get_u64(object, f->key, 0));
}

void page_members(FILE *page, const struct family *families, size_t count,
		  struct json_object *object)
{
	for (size_t i = 0; i < count; i++) {
		page_family(page, families[i].name, families[i].type, families[i].help);
		page_member(page, &families[i], NULL, object);
	}
}

void page_write(FILE *page, struct json_object *status, double took_s)
{
	page_family(page, "lockstep_up", "gauge", "Whether lockstepd answered.");
	page_u64(page, "lockstep_up", NULL, status != NULL);
	page_family(page, "lockstep_exporter_query_seconds", "gauge",
		    "How long lockstepd was waited for.");
	page_double(page, "lockstep_exporter_query_seconds", NULL, took_s);
	if (!status)
		return;
	page_engine(page, status);
	page_latency(page, status);
	page_pools(page, status);
	page_volumes(page, status);
	page_peers(page, status);
}
