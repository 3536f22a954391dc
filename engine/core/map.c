/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/core/map.h"

#include "engine/base/mutant.h"

#include "engine/core/volume.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int map_init(struct map *map, uint64_t volume_bytes, uint8_t shift)
{
	*map = (struct map){0};
	list_init(&map->waiting);
	map->page = aligned_alloc(MAP_PAGE_BYTES, MAP_PAGE_BYTES);
	if (!map->page || intent_init(&map->intent, volume_bytes, shift) < 0) {
		map_fini(map);
		return -ENOMEM;
	}
	return 0;
}

void map_fini(struct map *map)
{
	assert(!map->busy);
	intent_fini(&map->intent);
	free(map->page);
	map->page = NULL;
}

static void page_begin(struct volume *v);

/* Who waits for regions that are durable now goes on; when the page failed, everybody does. */
static void release(struct map *map, bool ok)
{
	struct list all;
	struct list *node;

	list_init(&all);
	list_splice_tail(&all, &map->waiting);
	while ((node = list_pop(&all))) {
		struct map_wait *w = LIST_ENTRY(node, struct map_wait, node);

		if (ok && !intent_durable(&map->intent, w->offset, w->length))
			list_add_tail(&map->waiting, &w->node);
		else
			w->done(w, ok);
	}
}

static void page_written(struct leg *leg)
{
	struct volume *v = CONTAINER_OF(leg, struct volume, map.leg);
	struct map *map = &v->map;
	bool ok = leg->status == LS_OK;

	map->busy = false;
	map->failed = !ok;
	intent_written(&map->intent, ok);
	/* Before done() is called, which may end the last use of the volume. */
	if (ok && (map->again || map->intent.any_wanted))
		page_begin(v);
	release(map, ok);
}

static void page_begin(struct volume *v)
{
	struct map *map = &v->map;

	map->busy = true;
	map->again = false;
	map->writes++;
	intent_encode(&map->intent, v->record.number, map->page);
	map->leg = (struct leg){
		.op.code = STORE_WRITE,
		.op.flags = STORE_FUA,
		.offset = MAP_PAGE_OFFSET(v->record.number),
		.length = MAP_PAGE_BYTES,
		.op.buf = map->page,
		.done = page_written,
	};
	leg_start_raw(&map->leg, v->pool->stores);
}

void map_wait(struct volume *v, struct map_wait *w, uint64_t offset, uint64_t length)
{
	w->offset = offset;
	w->length = length;
	list_add_tail(&v->map.waiting, &w->node);
	v->map.marks++;
	if (!v->map.busy)
		page_begin(v);
	if (MUTANT(INTENT_LATE)) {
		list_del(&w->node);
		w->done(w, true);
	}
}

void map_reset(struct volume *v)
{
	intent_reset(&v->map.intent);
	LIST_FOR (node, &v->map.waiting) {
		const struct map_wait *w = LIST_ENTRY(node, struct map_wait, node);

		intent_want(&v->map.intent, w->offset, w->length);
	}
	map_write(v);
}

void map_write(struct volume *v)
{
	if (v->map.busy)
		v->map.again = true;
	else
		page_begin(v);
}
