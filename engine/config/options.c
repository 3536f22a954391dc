/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/config/options.h"
#include "engine/base/host_port.h"
#include "verbs/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* So many letters wrong, and it is another word. */
#define LIKE_MAX 3

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

static int number(const char *text, uint32_t min, uint32_t max, uint32_t *value, struct err *err)
{
	unsigned long long parsed;
	char *end;

	errno = 0;
	parsed = strtoull(text, &end, 10);
	if (errno || end == text || *end || text[0] < '0' || text[0] > '9' || parsed < min ||
	    parsed > max)
		return err_set(err, -EINVAL, "'%s' is not a number from %u to %u", text, min, max);
	*value = (uint32_t)parsed;
	return 0;
}

static int set_node(struct options *o, const char *text, struct err *err)
{
	if (strlen(text) > NODE_NAME_MAX)
		return err_set(err, -EINVAL, "a node name has 1 to %d characters", NODE_NAME_MAX);
	snprintf(o->node_name, sizeof(o->node_name), "%s", text);
	return 0;
}

static int set_state(struct options *o, const char *text, struct err *err)
{
	(void)err;
	snprintf(o->state_dir, sizeof(o->state_dir), "%s", text);
	return 0;
}

static int set_run(struct options *o, const char *text, struct err *err)
{
	(void)err;
	snprintf(o->run_dir, sizeof(o->run_dir), "%s", text);
	return 0;
}

static int set_listen(struct options *o, const char *text, struct err *err)
{
	const char *address = strstr(text, "://");
	struct host_port parts;
	int rc;

	if (!address || (strncmp(text, "rdma:", 5) && strncmp(text, "tcp:", 4)))
		return err_set(err, -EINVAL,
			       "'%s': expected rdma://ADDRESS:PORT or tcp://ADDRESS:PORT", text);
	address += 3;
	if (*address) {
		rc = host_port_parse(address, &parts, err);
		if (rc)
			return rc;
	}
	snprintf(o->listen, sizeof(o->listen), "%s", text);
	return 0;
}

static int set_polling(struct options *o, const char *text, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(polling_names); i++) {
		if (!strcmp(text, polling_names[i])) {
			o->polling = (enum polling)i;
			return 0;
		}
	}
	return err_set(err, -EINVAL, "'%s' is none of auto, busy, adaptive, event", text);
}

static int set_spin_us(struct options *o, const char *text, struct err *err)
{
	if (!strcmp(text, "auto")) {
		o->spin_us = SPIN_AUTO;
		return 0;
	}
	return number(text, 0, 1000000, &o->spin_us, err);
}

static int set_core(struct options *o, const char *text, struct err *err)
{
	uint32_t core = 0;

	if (!strcmp(text, "auto")) {
		o->core = CORE_CHOOSE;
		return 0;
	}
	if (!strcmp(text, "none")) {
		o->core = CORE_NONE;
		return 0;
	}
	if (number(text, 0, 4095, &core, NULL))
		return err_set(err, -EINVAL, "'%s' is neither auto, none nor a CPU from 0 to 4095",
			       text);
	o->core = (int)core;
	return 0;
}

static int set_slots(struct options *o, const char *text, struct err *err)
{
	/* Two are for control: with no more than those a peer refuses the session. */
	return number(text, 3, LINK_SLOTS_MAX, &o->slot_count, err);
}

static int set_slot_bytes(struct options *o, const char *text, struct err *err)
{
	uint32_t bytes = 0;
	int rc = number(text, 131072, SLOT_BYTES_MAX, &bytes, err);

	if (!rc && bytes % 4096)
		rc = err_set(err, -EINVAL, "'%s' is not a multiple of 4096", text);
	if (!rc)
		o->slot_bytes = bytes;
	return rc;
}

static int set_peer_timeout(struct options *o, const char *text, struct err *err)
{
	return number(text, 500, 600000, &o->peer_timeout_ms, err);
}

static int set_map_keep_mib(struct options *o, const char *text, struct err *err)
{
	return number(text, 1, UINT32_MAX, &o->map_keep_mib, err);
}

static int set_payload_crc(struct options *o, const char *text, struct err *err)
{
	if (strcmp(text, "on") && strcmp(text, "off"))
		return err_set(err, -EINVAL, "'%s' is neither on nor off", text);
	o->payload_crc = !strcmp(text, "on");
	return 0;
}

static int set_log_level(struct options *o, const char *text, struct err *err)
{
	static const struct {
		const char *name;
		int level;
	} levels[] = {
		{"error", LOG_LEVEL_ERROR},
		{"warning", LOG_LEVEL_WARNING},
		{"info", LOG_LEVEL_INFO},
		{"debug", LOG_LEVEL_DEBUG},
	};

	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		if (!strcmp(text, levels[i].name)) {
			o->log_level = levels[i].level;
			return 0;
		}
	}
	return err_set(err, -EINVAL, "'%s' is none of error, warning, info, debug", text);
}

const struct option_info option_table[OPTIONS] = {
	[OPTION_NODE] = {"node", 'n', "NAME", NULL, "Name of this node, as its peers know it",
			 set_node},
	[OPTION_STATE] = {"state", 's', "DIR", "/var/lib/lockstep", "Where node.json is kept",
			  set_state},
	[OPTION_RUN] = {"run", 'r', "DIR", "/run/lockstep", "Where the sockets are made", set_run},
	[OPTION_LISTEN] = {"listen", 'l', "URI", "rdma://0.0.0.0:7610",
			   "rdma://ADDRESS:PORT or tcp://ADDRESS:PORT; without address: dial only",
			   set_listen},
	[OPTION_POLLING] = {"polling", 'p', "MODE", "auto", "auto, busy, adaptive or event",
			    set_polling},
	[OPTION_SPIN_US] =
		{"spin-us", 0, "N", "auto",
		 "adaptive: look this long before sleeping; \"auto\": twice what a sleep costs",
		 set_spin_us},
	[OPTION_CORE] = {"core", 0, "N", "auto",
			 "CPU of the shard; \"auto\" = chosen, \"none\" = do not pin", set_core},
	[OPTION_SLOTS] = {"slots", 0, "N", "64", "Receive slots for each peer", set_slots},
	[OPTION_SLOT_BYTES] = {"slot-bytes", 0, "N", "131072", "Payload room of a slot",
			       set_slot_bytes},
	[OPTION_PEER_TIMEOUT_MS] = {"peer-timeout-ms", 0, "N", "10000", "Silence that loses a peer",
				    set_peer_timeout},
	[OPTION_MAP_KEEP_MIB] = {"map-keep-mib", 0, "N", "65536",
				 "So much of a volume is compared at most after a crash under load",
				 set_map_keep_mib},
	[OPTION_PAYLOAD_CRC] = {"payload-crc", 0, "on|off", "on", "Checksum payloads on the wire",
				set_payload_crc},
	[OPTION_LOG_LEVEL] = {"log-level", 0, "LEVEL", "info", "error, warning, info or debug",
			      set_log_level},
};

enum option_id option_find(const char *name)
{
	unsigned i = 0;

	while (i < OPTIONS && strcmp(name, option_table[i].name))
		i++;
	return (enum option_id)i;
}

/* Letters to be put in, taken out or changed; both words are short. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[OPTION_TEXT_MAX + 1], corner, above;
	size_t length = strlen(b);

	for (size_t j = 0; j <= length; j++)
		row[j] = (unsigned)j;
	for (size_t i = 0; a[i]; i++) {
		corner = row[0];
		row[0] = (unsigned)i + 1;
		for (size_t j = 0; j < length; j++) {
			above = row[j + 1];
			row[j + 1] = corner + (a[i] != b[j]);
			if (above + 1 < row[j + 1])
				row[j + 1] = above + 1;
			if (row[j] + 1 < row[j + 1])
				row[j + 1] = row[j] + 1;
			corner = above;
		}
	}
	return row[length];
}

const char *option_like(const char *name)
{
	unsigned best = LIKE_MAX;
	const char *like = NULL;

	if (strlen(name) > OPTION_TEXT_MAX)
		return NULL;
	for (unsigned i = 0; i < OPTIONS; i++) {
		unsigned d = distance(name, option_table[i].name);

		if (d < best && d < strlen(option_table[i].name)) {
			best = d;
			like = option_table[i].name;
		}
	}
	return like;
}

int options_set(struct options *o, enum option_id option, const char *text,
		enum option_source source, unsigned line, struct err *err)
{
	struct option_given *given = &o->given[option];
	int rc;

	if (!text[0])
		return err_set(err, -EINVAL, "the value is missing");
	if (strlen(text) > OPTION_TEXT_MAX)
		return err_set(err, -ENAMETOOLONG, "'%.20s...' is longer than %d characters", text,
			       OPTION_TEXT_MAX);
	rc = option_table[option].set(o, text, err);
	if (rc)
		return rc;
	given->source = source;
	given->line = line;
	snprintf(given->text, sizeof(given->text), "%s", text);
	return 0;
}

void options_default(struct options *o)
{
	char host[NODE_NAME_MAX + 1];

	*o = (struct options){0};
	if (gethostname(host, sizeof(host)) || !host[0])
		snprintf(host, sizeof(host), "%s", "node");
	host[NODE_NAME_MAX] = '\0';
	for (unsigned i = 0; i < OPTIONS; i++) {
		const char *text = option_table[i].standard;

		/* Of our own table: it cannot be wrong. */
		if (options_set(o, (enum option_id)i, text ? text : host, OPTION_DEFAULT, 0, NULL))
			abort();
	}
}
