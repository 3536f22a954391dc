/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What `lockstep attach` and `detach` share: what was asked for, and what is noted of a volume that
 * is attached.  The notes are in RUN-attach, not in RUN, which systemd removes with the daemon.
 */
#ifndef LS_TOOLS_ATTACH_H
#define LS_TOOLS_ATTACH_H

#include "tools/lockstep/cli.h"
#include "tools/lockstep/nbd_export.h"

#include <json-c/json.h>

#define ATTACH_CONNECTIONS_MAX 16
#define ATTACH_TIMEOUT_MAX 86400

struct attach_options {
	const char *volume;
	const char
		*nbd; /* "unix:PATH", "tcp" or "tcp:PORT": no block device; NULL: a block device */
	int index; /* of /dev/nbdN; -1: the kernel chooses */
	unsigned connections;
	unsigned timeout_s; /* so long I/O waits for an engine, or an nbdkit, that went away */
	bool foreground;
};

/* Where the notes of one volume are, and its stable name. */
struct attach_place {
	char folder[500];
	char lock[600], state[600], log[600];
	char link[128]; /* /dev/lockstep/VOLUME */
	char backend[96]; /* what the kernel keeps with the device: lockstep/VOLUME */
};

/* A volume's identity, of its "uuid" (32 hexadecimal digits); false: it is none. */
bool attach_id(const char *uuid, uint8_t id[16]);

void attach_place_init(struct attach_place *place, const struct cli *cli, const char *volume);

/*
 * One keeper for each volume.  Returns a descriptor that is the lock, until the process ends; or
 * -EBUSY with its holder, or another negative errno.
 */
int attach_lock(const struct attach_place *place, pid_t *holder);
/* Who holds it; 0: nobody. */
pid_t attach_holder(const struct attach_place *place);

/* What the keeper noted when the volume was attached; NULL: nothing.  Its `ok` is true. */
struct json_object *attach_state_load(const struct attach_place *place);
int attach_state_save(const struct attach_place *place, struct json_object *state);

/* Makes /dev/lockstep/VOLUME; where udev runs, it makes the same one.  And takes it away. */
void attach_link(const struct attach_place *place, const char *device);
void attach_unlink(const struct attach_place *place);
/* Forgets what was noted; removes @socket (NULL: none), where nbdkit listened, if it is @inode. */
void attach_forget(const struct attach_place *place, const char *socket, uint64_t inode);

/* The block device that is noted in @state, and is this volume's still; -1: none. */
int attach_device(const struct attach_place *place, struct json_object *state);

/* The nbdkit that is noted in @state, and is one still; 0: none. */
pid_t attach_nbdkit(struct json_object *state);
/* Ends a process: SIGTERM, after @patience_ms (0: at once) SIGKILL.  It need not be a child. */
void attach_end_process(pid_t pid, int patience_ms);

#endif
