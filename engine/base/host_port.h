/* SPDX-License-Identifier: BSD-3-Clause */
/* "HOST:PORT" taken apart: the form only, nobody is asked for the host.  Any thread. */
#ifndef LS_BASE_HOST_PORT_H
#define LS_BASE_HOST_PORT_H

#include "engine/base/err.h"

#define HOST_PORT_DEFAULT 7610

struct host_port {
	char host[256];
	char port[8]; /* 0 to 65535; HOST_PORT_DEFAULT when @text has none */
};

/* "10.0.0.1:7610", "[fe80::1]:7610", "host", "host:7610".  -EINVAL and a sentence. */
int host_port_parse(const char *text, struct host_port *parts, struct err *err) MUST_CHECK;

#endif
