/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client.sock: lets processes in.  Makes their queue, registers their arena, hands both to
 * the shard, and takes them back when the process is gone and the shard is through with
 * its requests.  The same for the sockets that SERVE brings, whose other end is the kernel's nbd.
 * Control thread.
 */
#ifndef LS_DAEMON_DOOR_H
#define LS_DAEMON_DOOR_H

#include "engine/daemon/daemon.h"

#include <json-c/json.h>

struct door;

int door_create(struct daemon *d, int listen_fd, struct door **door, struct err *err) MUST_CHECK;
/* After shard_join(), when all calls are back. */
void door_destroy(struct door *door);

/* The shard says that this client broke its ring: it is cut off. */
void door_cut_off(struct door *door, uint64_t client_id);

/* The other end of this one's socket is closed. */
void door_ended(struct door *door, uint64_t client_id);

struct json_object *door_json(const struct door *door, const struct shard_status *status);

#endif
