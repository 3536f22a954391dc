/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * STATE/node.json: who this node is, which devices make its pools, and its peers.  Replaced
 * as a whole (temporary file, fsync, rename, fsync of the directory), so that a crash
 * leaves the old one or the new one.  A file that makes no sense is reported and never
 * overwritten.  Control thread.
 */
#ifndef LS_DAEMON_STATE_H
#define LS_DAEMON_STATE_H

#include "engine/base/err.h"
#include "engine/base/limits.h"

#define STATE_VERSION 1
#define STATE_PATH_MAX 255 /* of a device or key file */

struct state_pool {
	char name[POOL_NAME_MAX + 1];
	unsigned device_count;
	char devices[POOL_DEVICES_MAX][STATE_PATH_MAX + 1];
	char error[400]; /* why it is not open; not in the file */
};

struct state_peer {
	char name[NODE_NAME_MAX + 1];
	char address[PEER_ADDRESS_MAX + 1]; /* "" = it dials us */
	char key_file[STATE_PATH_MAX + 1];
	char error[200]; /* why the engine does not have it; not in the file */
};

struct state {
	char path[512];
	int lock_fd;
	uint64_t node_address;
	char node_name[NODE_NAME_MAX + 1];
	unsigned pool_count, peer_count;
	struct state_pool pools[ENGINE_POOLS_MAX];
	struct state_peer peers[ENGINE_PEERS_MAX];
};

/*
 * Locks @directory (made when it is missing) and reads its node.json; makes a new one, with a
 * new node address, when there is none.  @node_name goes into a new file.
 */
int state_open(struct state *state, const char *directory, const char *node_name,
	       struct err *err) MUST_CHECK;
void state_close(struct state *state);
int state_save(const struct state *state, struct err *err) MUST_CHECK;

/* The text of a state, and back; for state_open() and its tests. */
struct json_object;
struct json_object *state_to_json(const struct state *state);
int state_from_json(struct state *state, struct json_object *json, struct err *err) MUST_CHECK;

#endif
