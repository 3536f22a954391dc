/* SPDX-License-Identifier: BSD-3-Clause */
/* Between tcp_fabric.c, which connects, and tcp_link.c, which carries.  Bytes: doc/link.md. */
#ifndef LS_VERBS_TCP_H
#define LS_VERBS_TCP_H

#include "verbs/backend.h"

/* Each side's first bytes: "LSTCPLNK", version u32, zero u32. */
#define TCP_HELLO_BYTES 16u
#define TCP_VERSION 1u

/* The answer that a peer must make to any byte of ours; beyond it the kernel gives up. */
#define TCP_USER_TIMEOUT_MS 10000

/* Takes @socket over, connected and past the hellos; closes it also on failure. */
int tcp_link_create(const struct fabric_config *config, int socket, struct link **link,
		    struct err *err) MUST_CHECK;

#endif
