/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/core/volume.h"

#include <assert.h>

void volume_flushes_heard(struct volume *v)
{
	for (unsigned i = 0; i < v->pool->device_count; i++)
		v->flushes_failed[i] = v->pool->stores[i]->flushes_failed;
}

void volume_unflushed_first(struct volume *v)
{
	if (v->flush == VOLUME_FLUSHED)
		volume_flushes_heard(v);
	v->flush = VOLUME_UNFLUSHED;
}

void volume_flush_begin(struct volume *v)
{
	if (v->flush == VOLUME_FLUSHED)
		volume_flushes_heard(v);
	else if (!v->flushes_open && !v->changing)
		v->flush = VOLUME_FLUSHING;
	v->flushes_open++;
}

/* True: a flush failed on a device that has something of @v, and it had not heard of it. */
static bool hears_of_failure(struct volume *v)
{
	bool any = false;

	for (unsigned i = 0; i < v->record.extent_count; i++) {
		unsigned device = v->record.extents[i].device;
		uint32_t failed = v->pool->stores[device]->flushes_failed;

		any |= v->flushes_failed[device] != failed;
		v->flushes_failed[device] = failed;
	}
	return any;
}

enum ls_status volume_flush_end(struct volume *v, enum ls_status status)
{
	assert(v->flushes_open > 0);
	v->flushes_open--;
	if (hears_of_failure(v)) {
		v->flush_failed = true;
		if (status == LS_OK && !MUTANT(FLUSH_OF_OTHERS))
			status = LS_LOCAL_IO;
	}
	if (status != LS_OK)
		v->flush = VOLUME_UNFLUSHED;
	else if (v->flush == VOLUME_FLUSHING)
		v->flush = VOLUME_FLUSHED;
	return status;
}
