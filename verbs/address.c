/* SPDX-License-Identifier: BSD-3-Clause */
#include "verbs/address.h"

#include "verbs/fabric.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parts {
	char host[256];
	char port[8];
};

static int parts_refuse(const char *text, struct err *err)
{
	return err_set(err, -EINVAL,
		       "'%s' is not an address: expected HOST:PORT, 10.0.0.1:%d or [fe80::1]:%d",
		       text, FABRIC_DEFAULT_PORT, FABRIC_DEFAULT_PORT);
}

static int parts_parse(const char *text, struct parts *parts, struct err *err)
{
	const char *host = text, *end, *port = NULL;
	size_t length;

	if (text[0] == '[') {
		host = text + 1;
		end = strchr(host, ']');
		if (!end || (end[1] && end[1] != ':'))
			return parts_refuse(text, err);
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
		return parts_refuse(text, err);
	memcpy(parts->host, host, length);
	parts->host[length] = '\0';
	if (!port) {
		snprintf(parts->port, sizeof(parts->port), "%d", FABRIC_DEFAULT_PORT);
		return 0;
	}
	length = strlen(port);
	if (length == 0 || length > 5 || strspn(port, "0123456789") != length ||
	    strtoul(port, NULL, 10) > UINT16_MAX)
		return parts_refuse(text, err);
	memcpy(parts->port, port, length + 1);
	return 0;
}

int address_check(const char *text, struct err *err)
{
	struct parts parts;

	return parts_parse(text, &parts, err);
}

int address_resolve(const char *text, struct address_list *list, struct err *err)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV,
	};
	struct addrinfo *found, *each;
	struct parts parts;
	int rc = parts_parse(text, &parts, err);

	if (rc < 0)
		return rc;
	rc = getaddrinfo(parts.host, parts.port, &hints, &found);
	if (rc != 0)
		return err_set(err, -EADDRNOTAVAIL, "cannot find the address of '%s': %s",
			       parts.host, rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
	list->count = 0;
	for (each = found; each && list->count < ADDRESS_LIST_MAX; each = each->ai_next) {
		if (each->ai_addrlen > sizeof(list->at[0].addr))
			continue;
		memcpy(&list->at[list->count].addr, each->ai_addr, each->ai_addrlen);
		list->at[list->count++].length = each->ai_addrlen;
	}
	freeaddrinfo(found);
	if (list->count == 0)
		return err_set(err, -EADDRNOTAVAIL, "'%s' has no address", parts.host);
	return 0;
}

void address_format(const struct sockaddr *addr, char text[ADDRESS_TEXT_BYTES])
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (addr->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, addr, sizeof(in));
		inet_ntop(AF_INET, &in.sin_addr, host, sizeof(host));
		snprintf(text, ADDRESS_TEXT_BYTES, "%s:%u", host, ntohs(in.sin_port));
	} else if (addr->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, addr, sizeof(in6));
		inet_ntop(AF_INET6, &in6.sin6_addr, host, sizeof(host));
		snprintf(text, ADDRESS_TEXT_BYTES, "[%s]:%u", host, ntohs(in6.sin6_port));
	} else {
		snprintf(text, ADDRESS_TEXT_BYTES, "unknown");
	}
}

/* The port has the same place in both families. */
_Static_assert(offsetof(struct sockaddr_in, sin_port) == offsetof(struct sockaddr_in6, sin6_port),
	       "one place for the port");

uint16_t address_port(const struct sockaddr *addr)
{
	in_port_t port;

	memcpy(&port, (const char *)addr + offsetof(struct sockaddr_in, sin_port), sizeof(port));
	return ntohs(port);
}

void address_set_port(struct sockaddr_storage *addr, uint16_t port)
{
	in_port_t wire = htons(port);

	memcpy((char *)addr + offsetof(struct sockaddr_in, sin_port), &wire, sizeof(wire));
}
