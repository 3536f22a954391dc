/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What can be set of lockstepd: one table for its command line, for its configuration file and for
 * `lockstep config check`.  Each option has a good default, a text, and a value made of that.
 */
#ifndef LS_CONFIG_OPTIONS_H
#define LS_CONFIG_OPTIONS_H

#include "engine/base/err.h"
#include "engine/base/limits.h"

#include <stdbool.h>
#include <stdint.h>

enum polling { POLLING_AUTO, POLLING_BUSY, POLLING_ADAPTIVE, POLLING_EVENT };
const char *polling_name(enum polling polling);

/* Those of syslog. */
enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7
};

#define CORE_CHOOSE (-1)
#define CORE_NONE (-2)
/* A slot and its header page are one fixed buffer of at most 508 KiB (nvme/store_queue.h). */
#define SLOT_BYTES_MAX (504u << 10)
#define OPTION_TEXT_MAX 127

enum option_source { OPTION_DEFAULT, OPTION_FILE, OPTION_COMMAND_LINE };

enum option_id {
	OPTION_NODE,
	OPTION_STATE,
	OPTION_RUN,
	OPTION_LISTEN,
	OPTION_POLLING,
	OPTION_SPIN_US,
	OPTION_CORE,
	OPTION_SLOTS,
	OPTION_SLOT_BYTES,
	OPTION_PEER_TIMEOUT_MS,
	OPTION_MAP_KEEP_MIB,
	OPTION_PAYLOAD_CRC,
	OPTION_LOG_LEVEL,
	OPTIONS
};

/* How an option came to its value. */
struct option_given {
	enum option_source source;
	unsigned line; /* of the file */
	char text[OPTION_TEXT_MAX + 1];
};

/* As long as a sleep and a wake-up cost on this machine. */
#define SPIN_AUTO UINT32_MAX

struct options {
	char node_name[NODE_NAME_MAX + 1];
	char state_dir[OPTION_TEXT_MAX + 1];
	char run_dir[OPTION_TEXT_MAX + 1];
	char listen[OPTION_TEXT_MAX + 1];
	enum polling polling;
	uint32_t spin_us; /* or SPIN_AUTO */
	int core; /* CORE_CHOOSE, CORE_NONE or a number */
	uint32_t slot_count;
	uint32_t slot_bytes;
	uint32_t peer_timeout_ms;
	uint32_t map_keep_mib; /* see struct engine_config */
	bool payload_crc;
	int log_level;
	struct option_given given[OPTIONS];
};

struct option_info {
	const char *name; /* as in "--name" and "name = value" */
	int letter; /* 0 = none */
	const char *argument;
	const char *standard; /* text of the default; NULL = the host's name, for a new node */
	const char *help;
	int (*set)(struct options *options, const char *text, struct err *err);
};
extern const struct option_info option_table[OPTIONS];

/* OPTIONS: there is none of that name. */
enum option_id option_find(const char *name);
/* The one that @name was most likely meant to be, or NULL. */
const char *option_like(const char *name);

void options_default(struct options *options);
/* The sentence of a failure does not begin with the option's name.  Changes nothing then. */
int options_set(struct options *options, enum option_id option, const char *text,
		enum option_source source, unsigned line, struct err *err) MUST_CHECK;

#endif
