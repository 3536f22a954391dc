/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of lockstepd. */
#ifndef LS_DAEMON_OPTIONS_H
#define LS_DAEMON_OPTIONS_H

#include "engine/base/limits.h"

#include <stdbool.h>
#include <stdint.h>

enum polling { POLLING_AUTO, POLLING_BUSY, POLLING_ADAPTIVE, POLLING_EVENT };
const char *polling_name(enum polling polling);

#define CORE_CHOOSE (-1)
#define CORE_NONE (-2)
/* A slot and its header page are one fixed buffer of at most 508 KiB (nvme/store_queue.h). */
#define SLOT_BYTES_MAX (504u << 10)

struct options {
	char node_name[NODE_NAME_MAX + 1];
	bool node_given; /* else: the host's name, for a new node only */
	const char *state_dir;
	const char *run_dir;
	const char *listen;
	enum polling polling;
	uint32_t spin_us;
	int core; /* CORE_CHOOSE, CORE_NONE or a number */
	uint32_t slot_count;
	uint32_t slot_bytes;
	uint32_t peer_timeout_ms;
	bool payload_crc;
	int log_level;
};

/* Exits with a usage message (status 2) when the command line makes no sense. */
void options_parse(struct options *options, int argc, char **argv);

#endif
