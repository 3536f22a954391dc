/* SPDX-License-Identifier: BSD-3-Clause */
/* Chooses the backend by the scheme of the URI; all else is the backend's. */
#include "verbs/backend.h"

#include "verbs/address.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static const struct fabric_backend *const backends[] = {&rdma_backend, &tcp_backend};

static const struct fabric_backend *backend_find(const char *uri, const char **address)
{
	for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
		size_t length = strlen(backends[i]->scheme);

		if (strncmp(uri, backends[i]->scheme, length) == 0 &&
		    strncmp(uri + length, "://", 3) == 0) {
			*address = uri + length + 3;
			return backends[i];
		}
	}
	return NULL;
}

static int config_check(const struct fabric_config *config, struct err *err)
{
	if (config->slot_count < 2 || config->slot_count > LINK_SLOTS_MAX)
		return err_set(err, -EINVAL, "%u slots per link: must be 2 to %u",
			       config->slot_count, LINK_SLOTS_MAX);
	if (config->slot_bytes == 0 || config->slot_bytes % 4096 != 0 ||
	    config->slot_bytes > FABRIC_SLOT_BYTES_MAX)
		return err_set(err, -EINVAL,
			       "slots of %u bytes: must be a multiple of 4096, up to %u",
			       config->slot_bytes, FABRIC_SLOT_BYTES_MAX);
	if (config->timeout_ms == 0)
		return err_set(err, -EINVAL, "a time limit of 0 ms lets no connection be made");
	return 0;
}

int fabric_create(const char *uri, const struct fabric_config *config,
		  const struct fabric_handler *handler, void *owner, struct fabric **fabric,
		  struct err *err)
{
	const char *address;
	const struct fabric_backend *backend = backend_find(uri, &address);
	int rc;

	assert(handler->opened && handler->failed);
	if (!backend)
		return err_set(err, -EINVAL,
			       "'%s': expected rdma://ADDRESS:PORT or tcp://ADDRESS:PORT", uri);
	rc = config_check(config, err);
	if (rc < 0)
		return rc;
	if (*address) {
		rc = address_check(address, err);
		if (rc < 0)
			return rc;
	}
	return backend->create(address, config, handler, owner, fabric, err);
}

void fabric_destroy(struct fabric *fabric)
{
	if (fabric)
		fabric->backend->destroy(fabric);
}

int fabric_dial(struct fabric *fabric, const char *address, void *cookie, struct err *err)
{
	int rc = address_check(address, err);

	return rc < 0 ? rc : fabric->backend->dial(fabric, address, cookie, err);
}

int fabric_region_add(struct fabric *fabric, struct region *region, struct err *err)
{
	assert(region->base && region->length_bytes > 0);
	return fabric->backend->region_add(fabric, region, err);
}

void fabric_region_remove(struct fabric *fabric, struct region *region)
{
	fabric->backend->region_remove(fabric, region);
}

const char *fabric_backend(const struct fabric *fabric)
{
	return fabric->backend->scheme;
}

const char *fabric_describe(const struct fabric *fabric)
{
	return fabric->describe;
}

uint16_t fabric_port(const struct fabric *fabric)
{
	return fabric->port;
}

uint64_t fabric_rnr_count(const struct fabric *fabric)
{
	return fabric->backend->rnr_count ? fabric->backend->rnr_count(fabric) : 0;
}
