/* SPDX-License-Identifier: BSD-3-Clause */
#include "verbs/fault_link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const char *const fault_names[] = {
	[FAULT_TX_HEADER]  = "tx-header",
	[FAULT_RX_HEADER]  = "rx-header",
	[FAULT_RX_PAYLOAD] = "rx-payload",
	[FAULT_DROP]       = "drop",
	[FAULT_TWICE]      = "twice",
	[FAULT_HOLD]       = "hold",
	[FAULT_KILL]       = "kill",
};
/* clang-format on */

struct fault_link {
	struct link link;
	struct link *below;
	struct fault_plan plan;
	uint64_t sends, writes, landed;
	bool holding;
	uint32_t held_bytes;
	uint8_t held[LINK_MESSAGE_MAX];
};

static struct fault_link *fault_of(struct link *link)
{
	return CONTAINER_OF(link, struct fault_link, link);
}

static int parse_one(const char *word, struct fault *fault, struct err *err)
{
	const char *at = strchr(word, '@');
	char *end;

	for (size_t i = 0; at && i < ARRAY_SIZE(fault_names); i++) {
		size_t length = strlen(fault_names[i]);

		if (length != (size_t)(at - word) || strncmp(word, fault_names[i], length) != 0)
			continue;
		*fault = (struct fault){.kind = (enum fault_kind)i};
		fault->nth = strtoull(at + 1, &end, 10);
		if (*end == '+')
			fault->offset = (uint32_t)strtoul(end + 1, &end, 10);
		if (fault->nth > 0 && *end == '\0')
			return 0;
	}
	return err_set(err, -EINVAL,
		       "fault '%s': expected NAME@N[+OFFSET], NAME one of tx-header, rx-header, "
		       "rx-payload, drop, twice, hold, kill", word);
}

int fault_plan_parse(const char *text, struct fault_plan *plan, struct err *err)
{
	struct fault_plan parsed = {0};

	while (*(text += strspn(text, " ,"))) {
		size_t length = strcspn(text, " ,");
		char word[64];
		int rc;

		if (parsed.count == FAULTS_MAX)
			return err_set(err, -EINVAL, "more than %u faults in one plan", FAULTS_MAX);
		snprintf(word, sizeof(word), "%.*s", (int)length, text);
		rc = parse_one(word, &parsed.at[parsed.count], err);
		if (rc < 0)
			return rc;
		parsed.count++;
		text += length;
	}
	*plan = parsed;
	return 0;
}

static const struct fault *fault_due(const struct fault_link *fault, enum fault_kind kind,
				     uint64_t nth)
{
	for (unsigned i = 0; i < fault->plan.count; i++) {
		if (fault->plan.at[i].kind == kind && fault->plan.at[i].nth == nth)
			return &fault->plan.at[i];
	}
	return NULL;
}

static void flip(uint8_t *bytes, uint32_t length, uint32_t offset)
{
	if (length > 0)
		bytes[offset % length] ^= 1;
}

/* From below. */

static void stats_copy(struct fault_link *fault)
{
	fault->link.stats = fault->below->stats;
}

static void below_message(void *owner, const uint8_t *bytes, uint32_t length)
{
	struct fault_link *fault = owner;

	fault->link.handler->message(fault->link.owner, bytes, length);
}

static void below_landed(void *owner, uint32_t slot, const uint8_t *header, uint32_t payload_bytes)
{
	struct fault_link *fault = owner;
	uint8_t hurt[LINK_HEADER_BYTES];
	const struct fault *due;

	fault->landed++;
	memcpy(hurt, header, LINK_HEADER_BYTES);
	due = fault_due(fault, FAULT_RX_HEADER, fault->landed);
	if (due)
		flip(hurt, LINK_HEADER_BYTES, due->offset);
	/* The slot is our own memory: hurting it there works the same over every backend. */
	due = fault_due(fault, FAULT_RX_PAYLOAD, fault->landed);
	if (due)
		flip(link_slot_payload(fault->below, slot), payload_bytes, due->offset);
	fault->link.handler->landed(fault->link.owner, slot, hurt, payload_bytes);
}

static void below_down(void *owner, const char *reason)
{
	struct fault_link *fault = owner;

	stats_copy(fault);
	/* The last use of it: the owner may destroy both links here. */
	fault->link.handler->down(fault->link.owner, reason);
}

static const struct link_handler below_handler = {
	.message = below_message,
	.landed = below_landed,
	.down = below_down,
};

/* From above. */

static int fault_grant(struct link *link, uint8_t grant[LINK_GRANT_BYTES])
{
	struct fault_link *fault = fault_of(link);
	int rc = link_grant(fault->below, grant);

	link->slots = fault->below->slots; /* it has its keys now */
	return rc;
}

static bool fault_use_grant(struct link *link, const uint8_t grant[LINK_GRANT_BYTES])
{
	struct link *below = fault_of(link)->below;
	bool ok = link_use_grant(below, grant);

	link->granted_count = below->granted_count;
	link->granted_bytes = below->granted_bytes;
	return ok;
}

static bool fault_kills(struct fault_link *fault)
{
	if (!fault_due(fault, FAULT_KILL, fault->sends + fault->writes))
		return false;
	link_shut(fault->below, "killed by the test's fault plan");
	return true;
}

static void fault_send(struct link *link, const void *bytes, uint32_t length)
{
	struct fault_link *fault = fault_of(link);
	bool was_holding = fault->holding;

	fault->sends++;
	if (fault_kills(fault) || fault_due(fault, FAULT_DROP, fault->sends))
		return;
	if (!was_holding && fault_due(fault, FAULT_HOLD, fault->sends)) {
		memcpy(fault->held, bytes, length);
		fault->held_bytes = length;
		fault->holding = true;
		return;
	}
	link_send(fault->below, bytes, length);
	if (fault_due(fault, FAULT_TWICE, fault->sends))
		link_send(fault->below, bytes, length);
	if (was_holding) {
		link_send(fault->below, fault->held, fault->held_bytes);
		fault->holding = false;
	}
}

static void fault_write(struct link *link, uint32_t slot, const uint8_t header[LINK_HEADER_BYTES],
			const void *payload, uint32_t payload_bytes, const struct region *region)
{
	struct fault_link *fault = fault_of(link);
	uint8_t hurt[LINK_HEADER_BYTES];
	const struct fault *due;

	fault->writes++;
	if (fault_kills(fault))
		return;
	memcpy(hurt, header, LINK_HEADER_BYTES);
	due = fault_due(fault, FAULT_TX_HEADER, fault->writes);
	if (due)
		flip(hurt, LINK_HEADER_BYTES, due->offset);
	link_write(fault->below, slot, hurt, payload, payload_bytes, region);
}

static void fault_flush(struct link *link)
{
	struct fault_link *fault = fault_of(link);

	link_flush(fault->below);
	stats_copy(fault);
}

static unsigned fault_poll(struct link *link, unsigned budget)
{
	/* Nothing after it: the links may be gone. */
	return link_poll(fault_of(link)->below, budget);
}

static bool fault_arm(struct link *link)
{
	struct fault_link *fault = fault_of(link);

	stats_copy(fault);
	return link_arm(fault->below);
}

static void fault_shut(struct link *link, const char *reason)
{
	link_shut(fault_of(link)->below, reason);
}

static void fault_destroy(struct link *link)
{
	struct fault_link *fault = fault_of(link);

	link_destroy(fault->below);
	free(fault);
}

static const struct link_ops fault_link_ops = {
	.grant = fault_grant,
	.use_grant = fault_use_grant,
	.send = fault_send,
	.write = fault_write,
	.flush = fault_flush,
	.poll = fault_poll,
	.arm = fault_arm,
	.shut = fault_shut,
	.destroy = fault_destroy,
};

int fault_link_create(struct link *below, const struct fault_plan *plan, struct link **wrapped)
{
	struct fault_link *fault = calloc(1, sizeof(*fault));

	if (!fault)
		return -ENOMEM;
	fault->below = below;
	fault->plan = *plan;
	/* Slots, names, descriptor: the same. */
	fault->link = *below;
	fault->link.ops = &fault_link_ops;
	snprintf(fault->link.backend, sizeof(fault->link.backend), "fault+%.8s", below->backend);
	link_attach(below, &below_handler, fault);
	*wrapped = &fault->link;
	return 0;
}
