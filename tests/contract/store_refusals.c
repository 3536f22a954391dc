/* SPDX-License-Identifier: BSD-3-Clause */
/* Goal: what cannot be opened or done is refused with a sentence that helps. */
#include "tests/contract/store_support.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Opens @path, which must fail with @code and a sentence that has @words and the path. */
static void assert_refused(struct env *e, const char *path, uint64_t size_bytes, int code,
			   const char *words)
{
	struct store *store = NULL;
	struct err err = {0};
	int rc = store_open(e->queue, path, size_bytes, &store, &err);

	if (rc != code || !strstr(err.text, words))
		fail_msg("%s: %d, '%s'; expected %d, '%s'", path, rc, err.text, code, words);
	assert_int_equal(err.code, code);
	assert_null(store);
}

void missing_path_is_refused(void **state)
{
	assert_refused(*state, "/dev/nvme77n9", 0, -ENOENT, "/dev/nvme77n9: no such device");
	assert_refused(*state, "/dev/ng77n9", 0, -ENOENT, "/dev/nvme77n9: no such device");
	assert_refused(*state, "/dev/sd-none", 0, -ENOENT, "/dev/sd-none: no such device");
	assert_refused(*state, "file:/none/such", 0, -ENOENT, "/none/such: no such file");
	assert_refused(*state, "/none/such", 4096, -ENOENT, "no such directory");
	assert_refused(*state, "/", 0, -EINVAL, "neither a file nor a block device");
	assert_refused(*state, "file:", 0, -EINVAL, "path");
}

void second_open_is_refused(void **state)
{
	struct env *e = *state;
	struct err err;

	assert_refused(e, target.uri, 0, -EBUSY, "in use");
	/* And free again when it is closed. */
	store_close(e->store);
	assert_int_equal(target_open(e->queue, &e->store, &err), 0);
}

void too_small_is_refused(void **state)
{
	struct env *e = *state;
	uint64_t size_bytes = e->store->geometry.size_bytes;
	struct err err;

	store_close(e->store);
	assert_refused(e, target.uri, size_bytes + 4096, -ENOSPC, "too small");
	assert_int_equal(target_open(e->queue, &e->store, &err), 0);
}

void odd_size_is_refused(void **state)
{
	struct env *e = *state;
	char path[300];

	if (!target_is_file()) {
		skip();
		return;
	}
	snprintf(path, sizeof(path), "%s/other", target.folder);
	(void)unlink(path);
	assert_refused(e, path, 4096 + 512, -EINVAL, "not a multiple");
	(void)unlink(path);
	assert_int_equal(close(creat(path, 0600)), 0);
	assert_refused(e, path, 0, -ENOSPC, "too small");
	assert_int_equal(truncate(path, 5000), 0);
	assert_refused(e, path, 0, -EINVAL, "not a multiple");
	(void)unlink(path);
}

void unknown_option_is_refused(void **state)
{
	assert_refused(*state, "file:/tmp/x?colour=red", 0, -EINVAL, "colour=red");
	assert_refused(*state, "file:/tmp/x?block=513", 0, -EINVAL, "block=513");
}

void partition_and_controller_are_refused(void **state)
{
	assert_refused(*state, "/dev/nvme0n1p2", 0, -EINVAL, "is a partition");
	assert_refused(*state, "/dev/nvme77", 0, -EINVAL, "is a controller");
}

void zero_depth_is_refused(void **state)
{
	struct store_queue *queue = NULL;
	struct err err;

	(void)state;
	assert_int_equal(store_queue_create(0, &queue, &err), -EINVAL);
	assert_int_equal(store_queue_create(QUEUE_DEPTH_MAX + 1, &queue, &err), -EINVAL);
	assert_null(queue);
}

/* A swap signature, by way of the store itself: what it wrote must be seen at once. */
void foreign_data_is_named(void **state)
{
	struct env *e = *state;
	char *buf = buffer_new(65536, 0);
	char what[64] = "";
	const uint32_t version_and_last_page[2] = {1, 100};

	memset(buf, 0, 65536);
	assert_int_equal(run(e, STORE_WRITE_ZEROES, 0,
			     min_u64(e->store->geometry.zeroes_max_bytes, MIB(1)), NULL),
			 LS_OK);
	assert_int_equal(store_probe_foreign(target.uri, what, sizeof(what)), 0);
	memcpy(buf + 1024, version_and_last_page, sizeof(version_and_last_page));
	memcpy(buf + 4086, "SWAPSPACE2", 10);
	assert_int_equal(run(e, STORE_WRITE, 0, 65536, buf), LS_OK);
	assert_int_equal(run(e, STORE_FLUSH, 0, 0, NULL), LS_OK);
	assert_int_equal(store_probe_foreign(target.uri, what, sizeof(what)), 1);
	assert_string_equal(what, "swap space");
	memset(buf, 0, 65536);
	assert_int_equal(run(e, STORE_WRITE, 0, 65536, buf), LS_OK);
	assert_int_equal(store_probe_foreign("/none/such", what, sizeof(what)), 0);
	free(buf);
}

void cut_file_is_local_io(void **state)
{
	struct env *e = *state;
	uint64_t size_bytes = e->store->geometry.size_bytes;
	const char *path = e->store->geometry.path;
	void *buf = buffer_new(65536, 0);

	if (!target_is_file()) {
		free(buf);
		skip();
		return;
	}
	assert_int_equal(truncate(path, (off_t)(size_bytes - 32768)), 0);
	/* Half of it is there: a short read, and then nothing. */
	assert_int_equal(run(e, STORE_READ, size_bytes - 65536, 65536, buf), LS_LOCAL_IO);
	assert_int_equal(run(e, STORE_READ, size_bytes - 4096, 4096, buf), LS_LOCAL_IO);
	assert_int_equal(truncate(path, (off_t)size_bytes), 0);
	assert_int_equal(run(e, STORE_READ, size_bytes - 65536, 65536, buf), LS_OK);
	free(buf);
}

/* Runs @body in a child process; false when it says (77) that it cannot. */
static bool in_child(int (*body)(void))
{
	pid_t child;
	int status;

	fflush(stdout);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		int rc = body();

		fflush(stdout);
		_exit(rc);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		return false;
	assert_int_equal(WEXITSTATUS(status), 0);
	return true;
}

static void count_done(struct store_op *op)
{
	*(int *)op->buf += 1;
}

/* Writes until it is done, without cmocka; returns the status. */
static enum ls_status plain_write(struct store_queue *queue, struct store *store, void *buf,
				  uint64_t bytes, const struct region *region)
{
	struct store_op op = {.code = STORE_WRITE,
			      .length = bytes,
			      .buf = buf,
			      .region = region,
			      .done = count_done};

	store_submit(store, &op);
	store_queue_flush(queue);
	while (store->in_flight > 0)
		(void)store_queue_poll(queue, 8);
	return op.status;
}

static int fill_small_file_system(void)
{
	struct store_queue *queue;
	struct store *store;
	struct err err;
	void *buf = aligned_alloc(4096, MIB(2));
	enum ls_status first, second;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("small", target.folder, "tmpfs", 0, "size=1m") < 0)
		return 77;
	(void)chdir("/");
	if (queue_create_at(target.rung, 4, &queue, &err) < 0 ||
	    target_open(queue, &store, &err) < 0) {
		printf("%s\n", err.text);
		return 2;
	}
	memset(buf, 1, MIB(2));
	first = plain_write(queue, store, buf, 65536, NULL);
	second = plain_write(queue, store, buf, MIB(2), NULL);
	store_close(store);
	store_queue_destroy(queue);
	free(buf);
	return first == LS_OK && second == LS_NO_SPACE ? 0 : 3;
}

void full_file_system_is_no_space(void **state)
{
	(void)state;
	if (!target_is_file() || !in_child(fill_small_file_system))
		skip();
}

/* Locked memory counts against the limit where CAP_IPC_LOCK was missing at the ring's making. */
static bool limit_locked_memory(void)
{
	const struct rlimit limit = {65536, 65536};
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, caps) < 0)
		return false;
	caps[0].effective &= ~(1u << CAP_IPC_LOCK);
	return syscall(SYS_capset, &header, caps) == 0 && setrlimit(RLIMIT_MEMLOCK, &limit) == 0;
}

static int register_beyond_limit(void)
{
	struct region region = {.length_bytes = MIB(1)};
	struct store_queue *queue;
	struct store *store;
	struct err err;
	void *buf = aligned_alloc(4096, MIB(1));
	enum ls_status status;
	char text[200];
	bool told;

	memset(buf, 0, MIB(1));
	region.base = buf;
	if (!limit_locked_memory())
		return 77;
	if (queue_create_at(target.rung, 4, &queue, &err) < 0 ||
	    target_open(queue, &store, &err) < 0) {
		printf("%s\n", err.text);
		return 2;
	}
	store_queue_region_add(queue, &region, 65536);
	told = strstr(store_queue_describe(queue), target.rung == QUEUE_PLAIN ? "" : "refused") &&
	       region.buffer_first == REGION_NO_BUFFERS;
	snprintf(text, sizeof(text), "%s", store_queue_describe(queue));
	status = plain_write(queue, store, buf, 65536, &region);
	store_queue_region_remove(queue, &region);
	store_close(store);
	store_queue_destroy(queue);
	free(buf);
	if (!told || status != LS_OK)
		printf("status %d, %s\n", status, text);
	return told && status == LS_OK ? 0 : 3;
}

void locked_memory_limit_leaves_region_unregistered(void **state)
{
	(void)state;
	if (!target_is_file() || !in_child(register_beyond_limit))
		skip();
}

static unsigned flushes_failed;

static void count_flush(struct store *store)
{
	(void)store;
	flushes_failed++;
}

/* Or all volumes there would have to hear of each bad block. */
void write_that_fails_by_itself_is_no_flush(void **state)
{
	struct env *e = *state;
	const uint32_t block = e->store->geometry.block_bytes;
	void *buf = buffer_new(block, 7);
	struct probe p = probe_make(STORE_WRITE, MIB(1), block, buf);
	struct rlimit before, limit;

	if (!target_is_file())
		skip();
	p.op.flags = STORE_FUA;
	e->store->flush_failed = count_flush;
	flushes_failed = 0;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = (struct rlimit){.rlim_cur = 4096, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(run_probe(e, e->store, &p), LS_LOCAL_IO);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(flushes_failed, 0);
	assert_int_equal(e->store->flushes_open, 0);
	p = probe_make(STORE_WRITE, MIB(1), block, buf);
	p.op.flags = STORE_FUA;
	assert_int_equal(run_probe(e, e->store, &p), LS_OK);
	free(buf);
}
