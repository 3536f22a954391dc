/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nbdkit-lockstep-plugin: a Lockstep volume for every program that speaks NBD.
 *
 *   nbdkit lockstep VOLUME
 *
 * One connection of NBD is one connection to the engine; nbdkit's threads share it (shared.h).
 * A payload is copied once, between nbdkit's buffer and the arena that NIC and device know.
 */
#include "tools/nbdkit/shared.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL
#define DEFAULT_SLOTS 64u
#define DEFAULT_RECONNECT_S 90u
/* What clients do best with: the page, and the block of most databases. */
#define PREFERRED_BYTES 4096u
/* The longest request that a client should send; cut into chunks here. */
#define MAXIMUM_BYTES (32u << 20)

static struct shared_options settings = {.slots = DEFAULT_SLOTS};
static unsigned reconnect_s = DEFAULT_RECONNECT_S;

/* --- parameters --- */

static int set_text(const char **text, const char *key, const char *value)
{
	if (*text) {
		nbdkit_error("%s is given twice", key);
		return -1;
	}
	*text = value; /* nbdkit keeps it */
	return 0;
}

static int lockstep_config(const char *key, const char *value)
{
	if (strcmp(key, "volume") == 0)
		return set_text(&settings.volume, key, value);
	if (strcmp(key, "socket") == 0)
		return set_text(&settings.socket, key, value);
	if (strcmp(key, "depth") == 0)
		return nbdkit_parse_unsigned(key, value, &settings.slots);
	if (strcmp(key, "reconnect") == 0)
		return nbdkit_parse_unsigned(key, value, &reconnect_s);
	if (strcmp(key, "spin") == 0)
		return nbdkit_parse_uint32_t(key, value, &settings.spin_us);
	nbdkit_error("unknown parameter '%s'; there are volume, socket, depth, reconnect and spin",
		     key);
	return -1;
}

static int lockstep_config_complete(void)
{
	if (!settings.volume) {
		nbdkit_error("which volume?  nbdkit lockstep VOLUME");
		return -1;
	}
	if (settings.slots < 1 || settings.slots > 1024 || settings.slots & (settings.slots - 1)) {
		nbdkit_error("depth is a power of two from 1 to 1024, not %u", settings.slots);
		return -1;
	}
	if (reconnect_s > UINT32_MAX / 1000 - 1) {
		nbdkit_error("reconnect is in seconds; %u are too many", reconnect_s);
		return -1;
	}
	settings.reconnect_ms = reconnect_s ? reconnect_s * 1000 : LS_RECONNECT_NEVER;
	return 0;
}

#define lockstep_config_help                                                                       \
	"[volume=]VOLUME    (required) the Lockstep volume; it must be primary on this node\n"     \
	"socket=PATH        the engine's client socket (default: $LOCKSTEP_SOCKET, or\n"           \
	"                   /run/lockstep/client.sock)\n"                                          \
	"depth=N            requests in flight for each connection, 256 KiB of memory each (64)\n" \
	"reconnect=SECONDS  how long requests wait for an engine that went away (90; 0: not)\n"    \
	"spin=MICROSECONDS  look for completions for so long before sleeping (0)"

/* --- connections --- */

static void *lockstep_open(int readonly)
{
	char message[SHARED_MESSAGE_BYTES];
	struct shared *s = shared_open(&settings, message);

	(void)readonly;
	if (!s) {
		nbdkit_error("%s", message);
		return NULL;
	}
	/* Reading would be refused as well: what is there may be older than the primary's. */
	if (!shared_info(s)->primary) {
		nbdkit_error("volume '%s' is secondary on this node: attach it on its primary, or "
			     "`lockstep promote` it here",
			     settings.volume);
		shared_close(s);
		return NULL;
	}
	return s;
}

static void lockstep_close(void *handle)
{
	shared_close(handle);
}

static int64_t lockstep_get_size(void *handle)
{
	return (int64_t)shared_info(handle)->size_bytes;
}

static int lockstep_block_size(void *handle, uint32_t *minimum, uint32_t *preferred,
			       uint32_t *maximum)
{
	*minimum = shared_info(handle)->block_bytes;
	*preferred = PREFERRED_BYTES;
	*maximum = MAXIMUM_BYTES;
	return 0;
}

static int yes(void *handle)
{
	(void)handle;
	return 1;
}

/* A flush is of both replicas, whichever connection the writes came on. */
#define lockstep_can_multi_conn yes
#define lockstep_can_flush yes
#define lockstep_can_trim yes
#define lockstep_can_zero yes
/* The flag is known: such a request fails at once, because nobody can promise that it is fast. */
#define lockstep_can_fast_zero yes

static int lockstep_can_fua(void *handle)
{
	(void)handle;
	return NBDKIT_FUA_NATIVE;
}

/* --- requests --- */

static int errno_of(enum ls_status status)
{
	switch (status) {
	case LS_INVALID:
	case LS_UNALIGNED:
	case LS_TOO_LARGE:
		return EINVAL;
	case LS_OUT_OF_RANGE:
	case LS_NO_SPACE:
		return ENOSPC;
	case LS_NOT_PRIMARY:
		return EPERM;
	case LS_NO_VOLUME:
	case LS_SHUTDOWN:
		return ESHUTDOWN;
	default:
		return EIO;
	}
}

static int run(void *handle, const char *what, const struct shared_request *request)
{
	enum ls_status status = shared_do(handle, request);
	const char *gone;

	if (status == LS_OK)
		return 0;
	gone = shared_gone(handle);
	nbdkit_error("%s of %llu bytes at %llu: %s", what, (unsigned long long)request->length,
		     (unsigned long long)request->offset, gone ? gone : ls_status_text(status));
	nbdkit_set_error(errno_of(status));
	return -1;
}

static uint32_t fua(uint32_t flags)
{
	return flags & NBDKIT_FLAG_FUA ? LS_FUA : 0;
}

static int lockstep_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	(void)flags;
	return run(handle, "a read",
		   &(struct shared_request){
			   .op = SHARED_READ, .data = buf, .offset = offset, .length = count});
}

static int lockstep_pwrite(void *handle, const void *buf, uint32_t count, uint64_t offset,
			   uint32_t flags)
{
	return run(handle, "a write",
		   &(struct shared_request){.op = SHARED_WRITE,
					    .data = (void *)(uintptr_t)buf,
					    .offset = offset,
					    .length = count,
					    .flags = fua(flags)});
}

static int lockstep_flush(void *handle, uint32_t flags)
{
	(void)flags;
	return run(handle, "a flush", &(struct shared_request){.op = SHARED_FLUSH});
}

static int lockstep_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	/* A discard makes zeroes; with FUA it is a write of zeroes with FUA. */
	return run(handle, "a trim",
		   &(struct shared_request){.op = flags & NBDKIT_FLAG_FUA ? SHARED_ZERO
									  : SHARED_DISCARD,
					    .offset = offset,
					    .length = count,
					    .flags = fua(flags)});
}

static int lockstep_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	if (flags & NBDKIT_FLAG_FAST_ZERO) {
		nbdkit_set_error(EOPNOTSUPP);
		return -1;
	}
	return run(
		handle, "zeroing",
		&(struct shared_request){
			.op = SHARED_ZERO, .offset = offset, .length = count, .flags = fua(flags)});
}

/* There is nothing between the client and the devices that could be filled. */
static int lockstep_cache(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	(void)handle;
	(void)count;
	(void)offset;
	(void)flags;
	return 0;
}

static struct nbdkit_plugin plugin = {
	.name = "lockstep",
	.longname = "Lockstep volumes",
	.version = LS_VERSION,
	.description = "a volume that is mirrored to another node",
	.config = lockstep_config,
	.config_complete = lockstep_config_complete,
	.config_help = lockstep_config_help,
	.magic_config_key = "volume",
	.open = lockstep_open,
	.close = lockstep_close,
	.get_size = lockstep_get_size,
	.block_size = lockstep_block_size,
	.can_multi_conn = lockstep_can_multi_conn,
	.can_flush = lockstep_can_flush,
	.can_trim = lockstep_can_trim,
	.can_zero = lockstep_can_zero,
	.can_fast_zero = lockstep_can_fast_zero,
	.can_fua = lockstep_can_fua,
	.pread = lockstep_pread,
	.pwrite = lockstep_pwrite,
	.flush = lockstep_flush,
	.trim = lockstep_trim,
	.zero = lockstep_zero,
	.cache = lockstep_cache,
};

/* nbdkit's macro has none, and clang asks for it. */
NBDKIT_DLL_PUBLIC struct nbdkit_plugin *plugin_init(void);

NBDKIT_REGISTER_PLUGIN(plugin)
