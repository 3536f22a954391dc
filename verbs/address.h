/* SPDX-License-Identifier: BSD-3-Clause */
/* "ADDRESS:PORT" to socket addresses and back.  Control path; host names block. */
#ifndef LS_VERBS_ADDRESS_H
#define LS_VERBS_ADDRESS_H

#include "engine/base/err.h"

#include <sys/socket.h>

/* More addresses of one host name than this are not tried. */
#define ADDRESS_LIST_MAX 8u
/* Room for "[IPv6%scope]:port". */
#define ADDRESS_TEXT_BYTES 80u

struct address_list {
	unsigned count;
	struct {
		struct sockaddr_storage addr;
		socklen_t length;
	} at[ADDRESS_LIST_MAX];
};

/* Checks the form only: "10.0.0.1:7610", "[fe80::1]:7610", "host", "host:7610".  -EINVAL. */
int address_check(const char *text, struct err *err) MUST_CHECK;

/* 0 with at least one address, or -errno and a sentence. */
int address_resolve(const char *text, struct address_list *list, struct err *err) MUST_CHECK;

void address_format(const struct sockaddr *addr, char text[ADDRESS_TEXT_BYTES]);
uint16_t address_port(const struct sockaddr *addr);
void address_set_port(struct sockaddr_storage *addr, uint16_t port);

#endif
