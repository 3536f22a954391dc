/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to client.c and the kinds of clients. */
#ifndef LS_DAEMON_CLIENT_INTERNAL_H
#define LS_DAEMON_CLIENT_INTERNAL_H

#include "engine/daemon/client.h"
#include "engine/daemon/shard_internal.h"

/* Takes nothing more of it, and has the control thread end it, for @why. */
void client_break(struct shard_client *client, enum note_kind why);

#endif
