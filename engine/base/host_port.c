/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/base/host_port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int refuse(const char *text, struct err *err)
{
	return err_set(err, -EINVAL,
		       "'%s' is not an address: expected HOST:PORT, 10.0.0.1:%d or [fe80::1]:%d",
		       text, HOST_PORT_DEFAULT, HOST_PORT_DEFAULT);
}

int host_port_parse(const char *text, struct host_port *parts, struct err *err)
{
	const char *host = text, *end, *port = NULL;
	size_t length;

	if (text[0] == '[') {
		host = text + 1;
		end = strchr(host, ']');
		if (!end || (end[1] && end[1] != ':'))
			return refuse(text, err);
		if (end[1])
			port = end + 2;
	} else {
		end = strchr(host, ':');
		if (end)
			port = end + 1;
		else
			end = host + strlen(host);
	}
	length = (size_t)(end - host);
	if (length == 0 || length >= sizeof(parts->host))
		return refuse(text, err);
	memcpy(parts->host, host, length);
	parts->host[length] = '\0';
	if (!port) {
		snprintf(parts->port, sizeof(parts->port), "%d", HOST_PORT_DEFAULT);
		return 0;
	}
	length = strlen(port);
	if (length == 0 || length > 5 || strspn(port, "0123456789") != length ||
	    strtoul(port, NULL, 10) > UINT16_MAX)
		return refuse(text, err);
	memcpy(parts->port, port, length + 1);
	return 0;
}
