/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: no node.json, damaged or written by somebody else, does more than be refused with a
 * sentence; what is taken is within its bounds and is the same when it was written and read again.
 */
#include "engine/daemon/state.h"
#include "engine/json/json.h"
#include "tests/fuzz/world.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t bytes)
{
	if (!memchr(text, 0, bytes))
		fuzz_fail("a text without an end");
}

static void check(const struct state *s)
{
	if (!s->node_address || s->pool_count > ENGINE_POOLS_MAX ||
	    s->peer_count > ENGINE_PEERS_MAX)
		fuzz_fail("a state that makes no sense was taken");
	check_text(s->node_name, sizeof(s->node_name));
	for (unsigned i = 0; i < s->pool_count; i++) {
		const struct state_pool *p = &s->pools[i];

		check_text(p->name, sizeof(p->name));
		if (p->device_count == 0 || p->device_count > POOL_DEVICES_MAX)
			fuzz_fail("a pool of no or too many devices was taken");
		for (unsigned k = 0; k < p->device_count; k++)
			check_text(p->devices[k], sizeof(p->devices[k]));
	}
	for (unsigned i = 0; i < s->peer_count; i++) {
		check_text(s->peers[i].name, sizeof(s->peers[i].name));
		check_text(s->peers[i].address, sizeof(s->peers[i].address));
		check_text(s->peers[i].key_file, sizeof(s->peers[i].key_file));
	}
}

static void write_and_read(const struct state *s)
{
	struct json_object *json = state_to_json(s), *again;
	struct state *t = calloc(1, sizeof(*t));
	struct err err;

	if (!t || state_from_json(t, json, &err))
		fuzz_fail("what was taken cannot be read again when it was written");
	again = state_to_json(t);
	if (strcmp(json_object_to_json_string(json), json_object_to_json_string(again)) != 0)
		fuzz_fail("what was written is not what was read");
	json_object_put(json);
	json_object_put(again);
	free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_tokener *tokener = json_tokener_new();
	struct state *s = calloc(1, sizeof(*s));
	struct json_object *json;
	struct err err = {0};

	if (!tokener || !s)
		fuzz_fail("no memory");
	json = json_tokener_parse_ex(tokener, (const char *)data, (int)size);
	if (json && state_from_json(s, json, &err) == 0) {
		check(s);
		write_and_read(s);
	} else if (json && (!err.code || !err.text[0])) {
		fuzz_fail("a refusal that does not say why");
	}
	json_object_put(json);
	json_tokener_free(tokener);
	free(s);
	return 0;
}
