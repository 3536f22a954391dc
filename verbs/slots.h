/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that devices reach: page-aligned, present from the start, not inherited by fork(). */
#ifndef LS_VERBS_SLOTS_H
#define LS_VERBS_SLOTS_H

#include "verbs/link.h"

/* Zeroed memory of at least @length_bytes; the caller unmaps the same length.  0 or -errno. */
int pages_map(size_t length_bytes, void **base) MUST_CHECK;
void pages_unmap(void *base, size_t length_bytes);

/* Fills the slot fields of @link and maps its slots.  0 or -errno. */
int slots_init(struct link *link, uint32_t slot_count, uint32_t slot_bytes) MUST_CHECK;
void slots_fini(struct link *link);

#endif
