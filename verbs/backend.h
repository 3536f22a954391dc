/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What fabric.c asks of a backend.  A new backend is a new file that defines one of these
 * and one line in fabric.c's array.
 */
#ifndef LS_VERBS_BACKEND_H
#define LS_VERBS_BACKEND_H

#include "verbs/fabric.h"

/* Connections that the peer dialled and that are not links yet; more are turned away. */
#define FABRIC_HALF_OPEN_MAX 32u
/* Dials under way at once. */
#define FABRIC_DIALS_MAX 64u

struct fabric_backend {
	const char *scheme;
	/* @address is the URI after "SCHEME://"; empty = do not listen. */
	int (*create)(const char *address, const struct fabric_config *config,
		      const struct fabric_handler *handler, void *owner, struct fabric **fabric,
		      struct err *err);
	void (*destroy)(struct fabric *fabric);
	int (*dial)(struct fabric *fabric, const char *address, void *cookie, struct err *err);
	int (*region_add)(struct fabric *fabric, struct region *region, struct err *err);
	void (*region_remove)(struct fabric *fabric, struct region *region);
	uint64_t (*rnr_count)(const struct fabric *fabric);
};

/* The first member of every backend's fabric. */
struct fabric {
	const struct fabric_backend *backend;
	const struct fabric_handler *handler;
	void *owner;
	struct fabric_config config;
	uint16_t port; /* 0 = not listening */
	char describe[192];
};

extern const struct fabric_backend rdma_backend;
extern const struct fabric_backend tcp_backend;

#endif
