/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/lockstep/print.h"

#include <assert.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct table {
	struct libscols_table *scols;
	struct libscols_line *line;
	size_t cell, rows;
};

struct table *table_create(const char *const *columns, size_t count)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t || !(t->scols = scols_new_table())) {
		fputs("lockstep: no memory\n", stderr);
		exit(1);
	}
	for (size_t i = 0; i < count; i++) {
		bool right = columns[i][0] == '>';

		scols_table_new_column(t->scols, columns[i] + right, 0, right ? SCOLS_FL_RIGHT : 0);
	}
	return t;
}

void table_row(struct table *t)
{
	t->line = scols_table_new_line(t->scols, NULL);
	t->cell = 0;
	t->rows++;
}

void table_cell(struct table *t, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	assert(t->line);
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	scols_line_set_data(t->line, t->cell++, text[0] ? text : "-");
}

void table_print(struct table *t, const char *empty)
{
	table_print_to(t, stdout, empty);
}

void table_print_to(struct table *t, FILE *out, const char *empty)
{
	scols_table_set_stream(t->scols, out);
	if (t->rows)
		scols_print_table(t->scols);
	else
		fprintf(out, "%s\n", empty);
	scols_unref_table(t->scols);
	free(t);
}

static const char units[] = "KMGTP";

const char *human_bytes(uint64_t bytes, char *out, size_t room)
{
	double value = (double)bytes / 1024;
	unsigned unit = 0;

	if (bytes < KIB(10)) {
		snprintf(out, room, "%" PRIu64, bytes);
		return out;
	}
	while (value >= 1024 && units[unit + 1]) {
		value /= 1024;
		unit++;
	}
	if (value == (double)(uint64_t)value)
		snprintf(out, room, "%.0f %ciB", value, units[unit]);
	else
		snprintf(out, room, "%.1f %ciB", value, units[unit]);
	return out;
}

const char *short_bytes(uint64_t bytes, char *out, size_t room)
{
	if (bytes && bytes % MIB(1) == 0)
		snprintf(out, room, "%" PRIu64 "M", bytes >> 20);
	else if (bytes && bytes % KIB(1) == 0)
		snprintf(out, room, "%" PRIu64 "k", bytes >> 10);
	else
		snprintf(out, room, "%" PRIu64, bytes);
	return out;
}
