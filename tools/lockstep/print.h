/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables (libsmartcols) and numbers for people. */
#ifndef LS_TOOLS_PRINT_H
#define LS_TOOLS_PRINT_H

#include "engine/base/defs.h"

#include <stddef.h>
#include <stdio.h>

struct table;

/* Columns by name; one that begins with '>' is right-aligned. */
struct table *table_create(const char *const *columns, size_t count);
/* One cell behind the other; a row begins with table_row(). */
void table_row(struct table *table);
void table_cell(struct table *table, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Prints and frees; @empty is said when there is no row. */
void table_print(struct table *table, const char *empty);
void table_print_to(struct table *table, FILE *out, const char *empty);

/* "256 MiB", "1.5 GiB", "4096" below 10 KiB. */
const char *human_bytes(uint64_t bytes, char *out, size_t room);
/* "4k", "128k", "512", as options take them. */
const char *short_bytes(uint64_t bytes, char *out, size_t room);

#endif
