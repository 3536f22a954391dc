/* SPDX-License-Identifier: BSD-3-Clause */
/* What a namespace says it can do: Identify and Get Features, through libnvme. */
#include "nvme/nvme_store.h"

#include <endian.h>
#include <errno.h>
#include <libnvme.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	NSFEAT_OWN_ATOMICS = 1 << 1, /* NSABP: the namespace has atomic sizes of its own */
	DLFEAT_READ_MASK = 7,
	DLFEAT_READ_ZEROES = 1,
	DLFEAT_WRITE_ZEROES_DEALLOCATES = 1 << 3,
};

/* The buffers of Identify are 4 KiB each: not for the stack. */
struct identify_buffers {
	struct nvme_id_ctrl ctrl;
	struct nvme_id_ctrl_nvm nvm;
	struct nvme_id_ns ns;
};

static void copy_text(char *text, size_t text_bytes, const char *field, size_t field_bytes)
{
	while (field_bytes > 0 && (field[field_bytes - 1] == ' ' || !field[field_bytes - 1]))
		field_bytes--;
	snprintf(text, text_bytes, "%.*s", (int)field_bytes, field);
}

/*
 * 2^@exponent pages, of the smallest size that a controller may have: what it really has
 * (CAP.MPSMIN) is not told over PCIe by the kernel.
 */
static uint64_t pages_bytes(uint8_t exponent)
{
	return exponent == 0 || exponent > 32 ? 0 : (uint64_t)4096 << exponent;
}

static void read_format(const struct nvme_id_ns *ns, struct nvme_facts *facts)
{
	const struct nvme_lbaf *format;
	uint8_t index;

	nvme_id_ns_flbas_to_lbaf_inuse(ns->flbas, &index);
	format = &ns->lbaf[index];
	facts->block_bytes = format->ds >= 9 && format->ds < 32 ? 1u << format->ds : 0;
	facts->metadata_bytes = le16toh(format->ms);
	facts->protection = (ns->dps & 7) != 0;
	facts->size_bytes = le64toh(ns->nsze) * facts->block_bytes;
}

/*
 * Power-fail atomicity, NVMe base specification "Atomic Operation".  Boundaries (NABSPF)
 * would make it depend on the address: then only a block counts.
 */
static uint64_t read_atomics(const struct identify_buffers *id, uint32_t block_bytes)
{
	uint64_t blocks = (uint64_t)le16toh(id->ctrl.awupf) + 1;

	if (id->ns.nsfeat & NSFEAT_OWN_ATOMICS && id->ns.nawupf)
		blocks = (uint64_t)le16toh(id->ns.nawupf) + 1;
	if (id->ns.nabspf)
		blocks = 1;
	return blocks * block_bytes;
}

/* Where the device does not tell whether its cache is on, it counts as on. */
static void read_cache(int fd, const struct nvme_id_ctrl *ctrl, struct nvme_facts *facts)
{
	uint32_t enabled = 0;

	facts->cache_present = ctrl->vwc & NVME_CTRL_VWC_PRESENT;
	facts->cache_on =
		facts->cache_present &&
		(nvme_get_features_volatile_wc(fd, NVME_GET_FEATURES_SEL_CURRENT, &enabled) != 0 ||
		 (enabled & 1));
}

/* QEMU's controller (7.2, and the newest): its cache can be lost, and FUA does nothing. */
static bool ignores_fua(const struct nvme_facts *facts)
{
	return facts->cache_on && strcmp(facts->model, "QEMU NVMe Ctrl") == 0;
}

static void read_commands(int fd, struct identify_buffers *id, struct nvme_facts *facts)
{
	uint16_t oncs = le16toh(id->ctrl.oncs);
	uint64_t range_blocks, total_blocks;

	facts->has_write_zeroes = oncs & NVME_CTRL_ONCS_WRITE_ZEROES;
	facts->has_dsm = oncs & NVME_CTRL_ONCS_DSM;
	facts->deallocate_zeroes = (id->ns.dlfeat & DLFEAT_READ_MASK) == DLFEAT_READ_ZEROES &&
				   (id->ns.dlfeat & DLFEAT_WRITE_ZEROES_DEALLOCATES);
	/* Since NVMe 2.0; an older controller refuses, and names no limits. */
	if (nvme_nvm_identify_ctrl(fd, &id->nvm) != 0)
		return;
	facts->zeroes_max_bytes = pages_bytes(id->nvm.wzsl);
	range_blocks = le32toh(id->nvm.dmrsl);
	total_blocks = le64toh(id->nvm.dmsl);
	if (range_blocks == 0 || (total_blocks != 0 && total_blocks < range_blocks))
		range_blocks = total_blocks;
	facts->discard_max_bytes = range_blocks * facts->block_bytes;
}

static int identify(int fd, const char *path, struct identify_buffers *id, struct nvme_facts *facts,
		    struct err *err)
{
	int rc;

	errno = 0;
	if (nvme_get_nsid(fd, &facts->nsid) < 0)
		return nvme_status_error(err, path, "asking for its namespace", -1);
	rc = nvme_identify_ctrl(fd, &id->ctrl);
	if (rc != 0)
		return nvme_status_error(err, path, "identify controller", rc);
	rc = nvme_identify_ns(fd, facts->nsid, &id->ns);
	if (rc != 0)
		return nvme_status_error(err, path, "identify namespace", rc);
	return 0;
}

int nvme_facts_read(int fd, const char *path, struct nvme_facts *facts, struct err *err)
{
	struct identify_buffers *id = calloc(1, sizeof(*id));
	int rc;

	if (!id)
		return err_set(err, -ENOMEM, "%s: no memory to identify it", path);
	memset(facts, 0, sizeof(*facts));
	rc = identify(fd, path, id, facts, err);
	if (rc < 0)
		goto free_buffers;
	read_format(&id->ns, facts);
	read_cache(fd, &id->ctrl, facts);
	read_commands(fd, id, facts);
	facts->transfer_max_bytes = pages_bytes(id->ctrl.mdts);
	facts->atomic_bytes = read_atomics(id, facts->block_bytes);
	copy_text(facts->model, sizeof(facts->model), id->ctrl.mn, sizeof(id->ctrl.mn));
	facts->ignores_fua = ignores_fua(facts);
	copy_text(facts->serial, sizeof(facts->serial), id->ctrl.sn, sizeof(id->ctrl.sn));

free_buffers:
	free(id);
	return rc;
}
