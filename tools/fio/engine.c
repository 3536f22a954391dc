/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An engine for fio: ioengine=external:.../liblockstep_fio.so, volume=NAME.
 *
 * Each job has a connection of its own, made in the job's process; its buffers are in the arena,
 * so nothing is copied.  Asynchronous: queue() puts a request in the ring, commit() shows all of
 * them to the lockstep daemon, getevents() takes what is done.
 */
#include <fio.h>
#include <optgroup.h>

#include "engine/include/lockstep.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_AT_ONCE 64
#define DEPTH_MAX 4096u
#define PAGE_BYTES 4096u
#define MESSAGE_BYTES 400

struct job {
	struct ls_connection *connection;
	int volume;
	unsigned depth;
	struct io_u **events; /* @depth places: what getevents() found */
	struct io_u **in_flight; /* by the index of the unit, as many */
	void *buffers;
};

/* fio wants nothing at offset 0. */
struct job_options {
	void *unused;
	char *volume;
	char *socket;
	unsigned int fua;
	unsigned int spin_us;
	unsigned int reconnect_s;
};

static struct fio_option job_option_rows[] = {
	{
		.name = "volume",
		.lname = "Lockstep volume",
		.type = FIO_OPT_STR_STORE,
		.off1 = offsetof(struct job_options, volume),
		.help = "Name of the volume",
		.category = FIO_OPT_C_ENGINE,
		.group = FIO_OPT_G_INVALID,
	},
	{
		.name = "lockstep_socket",
		.lname = "Lockstep client socket",
		.type = FIO_OPT_STR_STORE,
		.off1 = offsetof(struct job_options, socket),
		.help = "Client socket of the daemon (default: $LOCKSTEP_SOCKET or "
			"/run/lockstep/client.sock)",
		.category = FIO_OPT_C_ENGINE,
		.group = FIO_OPT_G_INVALID,
	},
	{
		.name = "fua",
		.lname = "Force unit access",
		.type = FIO_OPT_BOOL,
		.off1 = offsetof(struct job_options, fua),
		.def = "0",
		.help = "Each write is durable on both nodes when it is done",
		.category = FIO_OPT_C_ENGINE,
		.group = FIO_OPT_G_INVALID,
	},
	{
		.name = "spin",
		.lname = "Spin before sleeping",
		.type = FIO_OPT_INT,
		.off1 = offsetof(struct job_options, spin_us),
		.def = "0",
		.help = "Microseconds to look for completions before sleeping",
		.category = FIO_OPT_C_ENGINE,
		.group = FIO_OPT_G_INVALID,
	},
	{
		.name = "reconnect",
		.lname = "Reconnect for",
		.type = FIO_OPT_INT,
		.off1 = offsetof(struct job_options, reconnect_s),
		.def = "60",
		.help = "Seconds to wait for a daemon that went away; 0 = not at all",
		.category = FIO_OPT_C_ENGINE,
		.group = FIO_OPT_G_INVALID,
	},
	{.name = NULL},
};

/* What fio shows of a failure. */
static int errno_of(uint32_t status)
{
	switch (status) {
	case LS_OK:
		return 0;
	case LS_INVALID:
	case LS_UNALIGNED:
	case LS_OUT_OF_RANGE:
	case LS_TOO_LARGE:
	case LS_BAD_BUFFER:
		return EINVAL;
	case LS_NO_VOLUME:
		return ENODEV;
	case LS_NOT_PRIMARY:
		return EROFS;
	case LS_BUSY:
		return EBUSY;
	case LS_NO_SPACE:
		return ENOSPC;
	case LS_SHUTDOWN:
		return ESHUTDOWN;
	default:
		return EIO;
	}
}

extern struct ioengine_ops ioengine;

/* fio's headers do not say which program they are for; what they say must fit. */
static int headers_fit(const struct thread_data *td)
{
	if (td->io_ops == &ioengine && td->eo && td->o.iodepth >= 1 && td->files)
		return 1;
	log_err("lockstep: this engine was built for another fio than the one that runs it\n");
	return 0;
}

static unsigned power_of_two(unsigned n)
{
	unsigned p = 1;

	while (p < n)
		p <<= 1;
	return p;
}

static int moves_data(const struct thread_data *td)
{
	return td_read(td) || td_write(td);
}

static unsigned long long largest_block(const struct thread_data *td)
{
	unsigned long long read = td->o.max_bs[DDIR_READ], write = td->o.max_bs[DDIR_WRITE];

	return read > write ? read : write;
}

/* As fio sizes its buffers, and a little for aligning them. */
static uint64_t arena_bytes(struct thread_data *td)
{
	uint64_t bytes = 1 << 20;

	if (!moves_data(td))
		return bytes;
	bytes += td_max_bs(td) * td->o.iodepth + 2ull * td->o.mem_align;
	return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

static int attach(struct thread_data *td, struct job *job, struct ls_volume_info *info)
{
	struct job_options *o = td->eo;
	struct ls_options options = {
		.size = sizeof(options),
		.queue_depth = power_of_two(td->o.iodepth),
		.arena_bytes = arena_bytes(td),
		.socket = o->socket,
		.spin_us = o->spin_us,
		.reconnect_ms = o->reconnect_s ? o->reconnect_s * 1000 : LS_RECONNECT_NEVER,
	};
	char message[MESSAGE_BYTES] = "";

	if (!o->volume) {
		log_err("lockstep: which volume? volume=NAME\n");
		return 1;
	}
	if (td->o.iodepth > DEPTH_MAX) {
		log_err("lockstep: an iodepth of %u is more than %u\n", td->o.iodepth, DEPTH_MAX);
		return 1;
	}
	if (ls_connect(&options, &job->connection, message, sizeof(message))) {
		log_err("lockstep: %s\n", message);
		return 1;
	}
	job->volume = ls_volume_open(job->connection, o->volume, info);
	if (job->volume >= 0)
		return 0;
	log_err("lockstep: %s\n", ls_error(job->connection));
	return 1;
}

static int sizes_fit(struct thread_data *td, const struct ls_volume_info *info)
{
	unsigned long long block = largest_block(td);

	if (!moves_data(td))
		return 1;
	if (block > info->request_max_bytes) {
		log_err("lockstep: a block of %llu bytes is more than the volume takes at once, "
			"%u\n",
			block, info->request_max_bytes);
		return 0;
	}
	/* Each buffer begins where the one before it ends. */
	if (td_max_bs(td) % info->block_bytes) {
		log_err("lockstep: a block of %llu bytes is no multiple of the volume's %u\n",
			td_max_bs(td), info->block_bytes);
		return 0;
	}
	return 1;
}

/* In fio's first process: how large is it?  A connection does not outlive a fork. */
static int job_setup(struct thread_data *td)
{
	struct ls_volume_info info;
	struct job job = {0};
	int failed;

	if (td->files_index && td->o.filename) {
		log_err("lockstep: volume=, not filename=\n");
		return 1;
	}
	if (!td->files_index) {
		add_file(td, "lockstep", 0, 0);
		td->o.nr_files = td->o.nr_files ? td->o.nr_files : 1;
		td->o.open_files++;
	}
	if (!headers_fit(td))
		return 1;
	failed = attach(td, &job, &info) || !sizes_fit(td, &info);
	if (!failed && !info.primary && (td_write(td) || td_trim(td))) {
		log_err("lockstep: the volume is secondary on this node\n");
		failed = 1;
	}
	if (job.connection)
		ls_disconnect(job.connection);
	if (failed)
		return 1;
	td->files[0]->real_file_size = info.size_bytes;
	fio_file_set_size_known(td->files[0]);
	return 0;
}

static void job_cleanup(struct thread_data *td)
{
	struct job *job = td->io_ops_data;

	td->io_ops_data = NULL;
	if (!job)
		return;
	if (job->connection)
		ls_disconnect(job->connection);
	free(job->events);
	free(job->in_flight);
	free(job);
}

static int job_init(struct thread_data *td)
{
	struct job *job = calloc(1, sizeof(*job));
	struct ls_volume_info info;

	if (!job) {
		td_verror(td, ENOMEM, "calloc");
		return 1;
	}
	td->io_ops_data = job;
	job->depth = td->o.iodepth;
	job->events = calloc(job->depth, sizeof(job->events[0]));
	job->in_flight = calloc(job->depth, sizeof(job->in_flight[0]));
	if (!job->events || !job->in_flight) {
		td_verror(td, ENOMEM, "calloc");
		return 1;
	}
	/* fio calls job_cleanup() behind a failure. */
	return attach(td, job, &info) || !sizes_fit(td, &info);
}

static int job_iomem_alloc(struct thread_data *td, size_t bytes)
{
	struct job *job = td->io_ops_data;

	job->buffers = ls_buf_alloc(job->connection, bytes);
	if (!job->buffers) {
		log_err("lockstep: no room for %zu bytes of buffers in the arena\n", bytes);
		return 1;
	}
	td->orig_buffer = job->buffers;
	return 0;
}

static void job_iomem_free(struct thread_data *td)
{
	struct job *job = td->io_ops_data;

	/* It may be gone with the connection. */
	if (job && job->buffers)
		ls_buf_free(job->connection, job->buffers);
	if (job)
		job->buffers = NULL;
	td->orig_buffer = NULL;
}

static int put(struct thread_data *td, struct job *job, struct io_u *unit)
{
	const struct job_options *o = td->eo;
	uint64_t tag = unit->index;

	switch (unit->ddir) {
	case DDIR_READ:
		return ls_read(job->connection, job->volume, unit->xfer_buf, unit->offset,
			       (uint32_t)unit->xfer_buflen, tag);
	case DDIR_WRITE:
		return ls_write(job->connection, job->volume, unit->xfer_buf, unit->offset,
				(uint32_t)unit->xfer_buflen, o->fua ? LS_FUA : 0, tag);
	case DDIR_TRIM:
		return ls_discard(job->connection, job->volume, unit->offset, unit->xfer_buflen,
				  tag);
	case DDIR_SYNC:
	case DDIR_DATASYNC:
		return ls_flush(job->connection, job->volume, tag);
	default:
		return -EINVAL;
	}
}

static enum fio_q_status job_queue(struct thread_data *td, struct io_u *unit)
{
	struct job *job = td->io_ops_data;
	int rc;

	fio_ro_check(td, unit);
	rc = unit->index < job->depth ? put(td, job, unit) : -EINVAL;
	if (rc == -EAGAIN)
		return FIO_Q_BUSY;
	if (rc < 0) {
		unit->error = -rc;
		td_verror(td, unit->error, "lockstep");
		return FIO_Q_COMPLETED;
	}
	unit->error = 0;
	job->in_flight[unit->index] = unit;
	return FIO_Q_QUEUED;
}

static int job_commit(struct thread_data *td)
{
	struct job *job = td->io_ops_data;
	int rc = ls_submit(job->connection);

	if (rc >= 0)
		return 0;
	log_err("lockstep: %s\n", ls_error(job->connection));
	return rc;
}

/* The unit that @c is about; NULL: none is, which the daemon must not do. */
static struct io_u *take(struct job *job, const struct ls_completion *c)
{
	struct io_u *unit = c->tag < job->depth ? job->in_flight[c->tag] : NULL;

	if (!unit)
		return NULL;
	job->in_flight[c->tag] = NULL;
	unit->error = (unsigned)errno_of(c->status);
	unit->resid = unit->error ? unit->xfer_buflen : 0;
	return unit;
}

static int timeout_ms(const struct timespec *t)
{
	return t ? (int)(t->tv_sec * 1000 + t->tv_nsec / 1000000) : -1;
}

static int job_getevents(struct thread_data *td, unsigned int min, unsigned int max,
			 const struct timespec *t)
{
	struct ls_completion completions[EVENTS_AT_ONCE];
	struct job *job = td->io_ops_data;
	unsigned found = 0;

	if (max > job->depth)
		max = job->depth;
	do {
		int room = max - found < EVENTS_AT_ONCE ? (int)(max - found) : EVENTS_AT_ONCE;
		int got = found < min ? ls_wait(job->connection, completions, room, timeout_ms(t))
				      : ls_poll(job->connection, completions, room);

		if (got < 0) {
			log_err("lockstep: %s\n", ls_error(job->connection));
			return got;
		}
		for (int i = 0; i < got; i++) {
			struct io_u *unit = take(job, &completions[i]);

			if (!unit) {
				log_err("lockstep: a completion of nothing that is in flight\n");
				return -EPROTO;
			}
			job->events[found++] = unit;
		}
		if (!got)
			break;
	} while (found < min && found < max);
	return (int)found;
}

static struct io_u *job_event(struct thread_data *td, int event)
{
	const struct job *job = td->io_ops_data;

	return job->events[event];
}

static int job_open_file(struct thread_data *td, struct fio_file *f)
{
	(void)td;
	(void)f;
	return 0;
}

static int job_close_file(struct thread_data *td, struct fio_file *f)
{
	(void)td;
	(void)f;
	return 0;
}

/* No cache of this host is between fio and the devices. */
static int job_invalidate(struct thread_data *td, struct fio_file *f)
{
	(void)td;
	(void)f;
	return 0;
}

/* fio looks for this name. */
__attribute__((visibility("default"))) struct ioengine_ops ioengine = {
	.name = "lockstep",
	.version = FIO_IOOPS_VERSION,
	.flags = FIO_DISKLESSIO | FIO_NOEXTEND | FIO_NODISKUTIL | FIO_RAWIO,
	.setup = job_setup,
	.init = job_init,
	.cleanup = job_cleanup,
	.iomem_alloc = job_iomem_alloc,
	.iomem_free = job_iomem_free,
	.queue = job_queue,
	.commit = job_commit,
	.getevents = job_getevents,
	.event = job_event,
	.open_file = job_open_file,
	.close_file = job_close_file,
	.invalidate = job_invalidate,
	.option_struct_size = sizeof(struct job_options),
	.options = job_option_rows,
};
