/* SPDX-License-Identifier: BSD-3-Clause */
#include "verbs/address.h"

#include "engine/base/host_port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

int address_check(const char *text, struct err *err)
{
	struct host_port parts;

	return host_port_parse(text, &parts, err);
}

int address_resolve(const char *text, struct address_list *list, struct err *err)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV,
	};
	struct addrinfo *found, *each;
	struct host_port parts;
	int rc = host_port_parse(text, &parts, err);

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
