/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/daemon/options.h"
#include "engine/base/defs.h"
#include "engine/daemon/log.h"
#include "verbs/link.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Found by libc by its name: it must be exported. */
__attribute__((visibility("default"))) const char *argp_program_version = "lockstepd 0.1.0";

enum {
	KEY_SPIN = 1000,
	KEY_CORE,
	KEY_SLOTS,
	KEY_SLOT_BYTES,
	KEY_PEER_TIMEOUT,
	KEY_NO_CRC,
	KEY_LOG_LEVEL,
};

static const struct argp_option rows[] = {
	{"node", 'n', "NAME", 0, "Name of this node, as its peers know it (default: host name)", 0},
	{"state", 's', "DIR", 0, "Where node.json is kept (default: /var/lib/lockstep)", 0},
	{"run", 'r', "DIR", 0, "Where the sockets are made (default: /run/lockstep)", 0},
	{"listen", 'l', "URI", 0,
	 "rdma://ADDRESS:PORT or tcp://ADDRESS:PORT; without address: dial only "
	 "(default: rdma://0.0.0.0:7610)",
	 0},
	{"polling", 'p', "MODE", 0, "auto, busy, adaptive or event (default: auto)", 0},
	{"spin-us", KEY_SPIN, "N", 0, "adaptive: look this long before sleeping (default: 50)", 0},
	{"core", KEY_CORE, "N", 0, "CPU of the shard; \"none\" = do not pin (default: chosen)", 0},
	{"slots", KEY_SLOTS, "N", 0, "Receive slots for each peer (default: 64)", 0},
	{"slot-bytes", KEY_SLOT_BYTES, "N", 0, "Payload room of a slot (default: 131072)", 0},
	{"peer-timeout-ms", KEY_PEER_TIMEOUT, "N", 0, "Silence that loses a peer (default: 10000)",
	 0},
	{"no-payload-crc", KEY_NO_CRC, NULL, 0, "Do not checksum payloads on the wire", 0},
	{"log-level", KEY_LOG_LEVEL, "LEVEL", 0, "error, warning, info or debug (default: info)",
	 0},
	{0},
};

static const char *const polling_names[] = {
	[POLLING_AUTO] = "auto",
	[POLLING_BUSY] = "busy",
	[POLLING_ADAPTIVE] = "adaptive",
	[POLLING_EVENT] = "event",
};

const char *polling_name(enum polling polling)
{
	return polling_names[polling];
}

static uint32_t number(struct argp_state *state, const char *what, const char *arg, uint32_t min,
		       uint32_t max)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(arg, &end, 10);
	if (errno || end == arg || *end || arg[0] == '-' || value < min || value > max)
		argp_error(state, "%s: '%s' is not a number from %u to %u", what, arg, min, max);
	return (uint32_t)value;
}

static void set_node(struct options *o, struct argp_state *state, const char *name)
{
	size_t length = strlen(name);

	if (!length || length > NODE_NAME_MAX)
		argp_error(state, "a node name has 1 to %d characters", NODE_NAME_MAX);
	snprintf(o->node_name, sizeof(o->node_name), "%s", name);
	o->node_given = true;
}

static void set_polling(struct options *o, struct argp_state *state, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(polling_names); i++) {
		if (!strcmp(name, polling_names[i])) {
			o->polling = (enum polling)i;
			return;
		}
	}
	argp_error(state, "--polling: '%s' is none of auto, busy, adaptive, event", name);
}

static void set_slot_bytes(struct options *o, struct argp_state *state, const char *arg)
{
	o->slot_bytes = number(state, "--slot-bytes", arg, 131072, SLOT_BYTES_MAX);
	if (o->slot_bytes % 4096)
		argp_error(state, "--slot-bytes: not a multiple of 4096");
}

static void set_log_level(struct options *o, struct argp_state *state, const char *arg)
{
	o->log_level = log_level_parse(arg);
	if (o->log_level < 0)
		argp_error(state, "--log-level: '%s' is none of error, warning, info, debug", arg);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'n':
		set_node(o, state, arg);
		return 0;
	case 's':
		o->state_dir = arg;
		return 0;
	case 'r':
		o->run_dir = arg;
		return 0;
	case 'l':
		o->listen = arg;
		return 0;
	case 'p':
		set_polling(o, state, arg);
		return 0;
	case KEY_SPIN:
		o->spin_us = number(state, "--spin-us", arg, 0, 1000000);
		return 0;
	case KEY_CORE:
		o->core = !strcmp(arg, "none") ? CORE_NONE
					       : (int)number(state, "--core", arg, 0, 4095);
		return 0;
	case KEY_SLOTS:
		o->slot_count = number(state, "--slots", arg, 2, LINK_SLOTS_MAX);
		return 0;
	case KEY_SLOT_BYTES:
		set_slot_bytes(o, state, arg);
		return 0;
	case KEY_PEER_TIMEOUT:
		o->peer_timeout_ms = number(state, "--peer-timeout-ms", arg, 500, 600000);
		return 0;
	case KEY_NO_CRC:
		o->payload_crc = false;
		return 0;
	case KEY_LOG_LEVEL:
		set_log_level(o, state, arg);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "'%s' is not expected here", arg);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

void options_parse(struct options *o, int argc, char **argv)
{
	static const struct argp argp = {
		.options = rows,
		.parser = parse,
		.doc = "The Lockstep engine: keeps two copies of a volume equal, over RDMA.",
	};

	*o = (struct options){
		.state_dir = "/var/lib/lockstep",
		.run_dir = "/run/lockstep",
		.listen = "rdma://0.0.0.0:7610",
		.polling = POLLING_AUTO,
		.spin_us = 50,
		.core = CORE_CHOOSE,
		.slot_count = 64,
		.slot_bytes = 131072,
		.payload_crc = true,
		.log_level = LOG_LEVEL_INFO,
	};
	if (gethostname(o->node_name, sizeof(o->node_name)) || !o->node_name[0])
		snprintf(o->node_name, sizeof(o->node_name), "%s", "node");
	o->node_name[NODE_NAME_MAX] = '\0';
	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, o);
}
