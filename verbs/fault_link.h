/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A link over a link that makes things go wrong, for tests.  It is never in the way unless
 * somebody wraps a link with it, and `backend` of a wrapped link begins with "fault+".
 *
 * A plan is a list of faults, each at one operation: "tx-header@3+8 rx-payload@1 hold@5".
 *
 *   NAME@N[+OFFSET]       N counts from 1, each kind of operation by itself
 *   tx-header, rx-header  one bit of byte OFFSET of the header of the Nth request sent/landed
 *   rx-payload            one bit of byte OFFSET of the payload of the Nth request landed
 *   drop, twice           the Nth send() is lost, or done twice
 *   hold                  the Nth send() is done only after the next one
 *   kill                  the Nth call of send() or write() shuts the link
 */
#ifndef LS_VERBS_FAULT_LINK_H
#define LS_VERBS_FAULT_LINK_H

#include "verbs/link.h"

#define FAULTS_MAX 16u

enum fault_kind {
	FAULT_TX_HEADER,
	FAULT_RX_HEADER,
	FAULT_RX_PAYLOAD,
	FAULT_DROP,
	FAULT_TWICE,
	FAULT_HOLD,
	FAULT_KILL,
};

struct fault {
	enum fault_kind kind;
	uint64_t nth;    /* from 1 */
	uint32_t offset; /* taken modulo the length of what is hurt */
};

struct fault_plan {
	unsigned count;
	struct fault at[FAULTS_MAX];
};

/* Reads the form above; an empty text is an empty plan.  0 or -EINVAL and a sentence. */
int fault_plan_parse(const char *text, struct fault_plan *plan, struct err *err) MUST_CHECK;

/*
 * Takes @below over, which must not be attached yet; link_destroy() of the wrapped link
 * destroys it, too.  0 or -ENOMEM.
 */
int fault_link_create(struct link *below, const struct fault_plan *plan,
		    struct link **wrapped) MUST_CHECK;

#endif
