/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/load/clients.h"

#include "bench/load/volume.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What all of them see. */
struct team {
	pthread_barrier_t barrier;
	struct load_options options[CLIENTS_MAX];
	struct load loads[CLIENTS_MAX];
};

static struct team *team_create(unsigned count)
{
	struct team *team = mmap(NULL, sizeof(*team), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_barrierattr_t shared;

	if (team == MAP_FAILED)
		die("no memory");
	if (pthread_barrierattr_init(&shared) ||
	    pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED) ||
	    pthread_barrier_init(&team->barrier, &shared, count))
		die("no barrier between processes");
	return team;
}

/* @name with its '%' replaced. */
static void volume_name(const char *name, unsigned client, char *out, size_t room)
{
	const char *percent = strchr(name, '%');

	if (percent)
		snprintf(out, room, "%.*s%u%s", (int)(percent - name), name, client, percent + 1);
	else
		snprintf(out, room, "%s", name);
}

static void client(struct team *team, unsigned number, unsigned count, const char *socket,
		   const char *name)
{
	struct load *load = &team->loads[number];
	struct volume volume;

	volume_open(&volume, socket, name, team->options[number].span_bytes);
	for (unsigned job = 0; job < team->options[number].job_count; job++) {
		pthread_barrier_wait(&team->barrier);
		load_begin(load, &team->options[number], job);
		volume_job(load, &volume);
		pthread_barrier_wait(&team->barrier);
		if (number == 0)
			load_print_all(team->loads, count);
	}
	volume_close(&volume);
}

static pid_t client_start(struct team *team, unsigned number, unsigned count, const char *socket,
			  const char *name)
{
	pid_t parent = getpid(), pid = fork();
	char own[256];

	if (pid < 0)
		die("no process for client %u: %s", number, strerror(errno));
	if (pid)
		return pid;
	/* Nobody waits at a barrier for one that will not come. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	volume_name(name, number, own, sizeof(own));
	client(team, number, count, socket, own);
	exit(0);
}

/* Waits for one of them; its place is 0 afterwards.  False: it failed. */
static bool one_ended(pid_t *pids, unsigned count)
{
	int status;
	pid_t pid = wait(&status);

	if (pid < 0)
		die("cannot wait for the clients: %s", strerror(errno));
	for (unsigned i = 0; i < count; i++)
		if (pids[i] == pid)
			pids[i] = 0;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int clients_run(const struct load_options *options, unsigned count, const char *socket,
		const char *name)
{
	struct team *team = team_create(count);
	pid_t pids[CLIENTS_MAX];
	bool failed = false;

	ticks_of_us(1); /* the rate is found out once, for all */
	for (unsigned i = 0; i < count; i++) {
		team->options[i] = *options;
		team->options[i].sharers = strchr(name, '%') ? 1 : count;
		team->options[i].sharer = team->options[i].sharers == 1 ? 0 : i;
		pids[i] = client_start(team, i, count, socket, name);
	}
	for (unsigned left = count; left && !failed; left--)
		failed = !one_ended(pids, count);
	for (unsigned i = 0; failed && i < count; i++)
		if (pids[i])
			kill(pids[i], SIGKILL);
	return failed;
}
