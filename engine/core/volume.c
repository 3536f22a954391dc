/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/core/volume.h"

void volume_flush_begin(struct volume *v)
{
	for (unsigned i = 0; i < v->pool->device_count; i++)
		v->flushes_failed[i] = v->pool->stores[i]->flushes_failed;
}

enum ls_status volume_flushed(struct volume *v, enum ls_status status)
{
	for (unsigned i = 0; i < v->record.extent_count; i++) {
		unsigned device = v->record.extents[i].device;
		uint32_t failed = v->pool->stores[device]->flushes_failed;

		if (LIKELY(v->flushes_failed[device] == failed))
			continue;
		v->flushes_failed[device] = failed;
		v->flush_failed = true;
		if (status == LS_OK && !MUTANT(FLUSH_OF_OTHERS))
			status = LS_LOCAL_IO;
	}
	return status;
}
