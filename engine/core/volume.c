/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/core/volume.h"

void volume_flush_begin(struct volume *v, struct leg *leg, uint32_t known)
{
	leg->failures_known = known;
	if (v->flush == VOLUME_UNFLUSHED && !v->changing && !v->zeroing)
		v->flush = VOLUME_FLUSHING;
}

/* One that is under way may fail, and be older than what has ended: it would count here. */
static bool another_flush(const struct volume *v)
{
	for (unsigned i = 0; i < v->record.extent_count; i++)
		if (v->pool->stores[v->record.extents[i].device]->flushes_open)
			return true;
	return false;
}

enum ls_status volume_flush_end(struct volume *v, const struct leg *leg, bool tells)
{
	enum ls_status status = leg->status;

	if (status == LS_OK && v->flushes_failed != leg->failures_known && !MUTANT(FLUSH_OF_OTHERS))
		status = LS_LOCAL_IO;
	if (status != LS_OK) {
		v->flush = VOLUME_UNFLUSHED;
		if (tells)
			v->flushes_told = v->flushes_failed;
	} else if (v->flush == VOLUME_FLUSHING && !another_flush(v)) {
		v->flush = VOLUME_FLUSHED;
	}
	return status;
}

void volume_whole(struct volume *v, uint32_t flushes)
{
	v->flushes_copied = v->flushes_mended = flushes;
}

void volume_untold(struct volume *v, uint32_t flushes)
{
	/* Numbers that wrap; clients may have heard of more. */
	if ((int32_t)(flushes - v->flushes_told) > 0)
		v->flushes_told = flushes;
}

void volume_flush_failed(struct volume *v)
{
	v->flushes_failed += v->flush != VOLUME_FLUSHED;
}
