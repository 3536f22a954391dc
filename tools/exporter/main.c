/* SPDX-License-Identifier: BSD-3-Clause */
/* lockstep-exporter: the engine's status as metrics for Prometheus. */
#include "tools/exporter/http.h"

#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Found by libc by its name: it must be exported. */
__attribute__((visibility("default"))) const char *argp_program_version =
	"lockstep-exporter " LS_VERSION;

#define EXIT_FAILED 1
#define EXIT_USAGE 2
#define LISTEN_DEFAULT "127.0.0.1:7619"
#define TIMEOUT_DEFAULT_MS 5000u
#define TIMEOUT_MAX_S 60

struct exporter {
	char control[512];
	struct host_port listen;
	unsigned timeout_ms;
};

enum { KEY_TIMEOUT = 1000 };

static const struct argp_option rows[] = {
	{"listen", 'l', "ADDR:PORT", 0,
	 "Where to serve /metrics (default " LISTEN_DEFAULT "); nobody is asked for a password", 0},
	{"run", 'r', "DIR", 0, "The daemon's run directory ($LOCKSTEP_RUN, or /run/lockstep)", 0},
	{"socket", 's', "PATH", 0, "The daemon's control socket, instead of DIR/control.sock", 0},
	{"timeout", KEY_TIMEOUT, "SECONDS", 0, "How long the daemon may take to answer (5)", 0},
	{0},
};

static void set_run(struct exporter *e, const char *run)
{
	snprintf(e->control, sizeof(e->control), "%s/control.sock", run);
}

static unsigned seconds(struct argp_state *state, const char *arg)
{
	char *end;
	long value = strtol(arg, &end, 10);

	if (end == arg || *end || value < 1 || value > TIMEOUT_MAX_S)
		argp_error(state, "--timeout: '%s' is not a number from 1 to %d", arg,
			   TIMEOUT_MAX_S);
	return (unsigned)value;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct exporter *e = state->input;
	struct err err;

	switch (key) {
	case 'l':
		if (!strchr(arg, ':') || host_port_parse(arg, &e->listen, &err))
			argp_error(state, "--listen: '%s' is not ADDR:PORT", arg);
		return 0;
	case 'r':
		set_run(e, arg);
		return 0;
	case 's':
		snprintf(e->control, sizeof(e->control), "%s", arg);
		return 0;
	case KEY_TIMEOUT:
		e->timeout_ms = 1000 * seconds(state, arg);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "'%s' is not expected here", arg);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Until SIGTERM or SIGINT. */
static void await_end(const sigset_t *signals)
{
	int signal;

	while (sigwait(signals, &signal))
		;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = rows,
		.parser = parse,
		.doc = "Serves the state of this node's Lockstep engine as metrics for Prometheus.",
	};
	const char *run = getenv("LOCKSTEP_RUN");
	struct exporter e = {.timeout_ms = TIMEOUT_DEFAULT_MS};
	struct http_config config;
	struct http *http;
	char where[1200];
	sigset_t signals;
	struct err err;

	argp_err_exit_status = EXIT_USAGE;
	set_run(&e, run ? run : "/run/lockstep");
	if (host_port_parse(LISTEN_DEFAULT, &e.listen, &err))
		return EXIT_FAILED;
	argp_parse(&argp, argc, argv, 0, NULL, &e);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	/* Before there is a second thread, which then never gets them. */
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	config = (struct http_config){.control = e.control, .timeout_ms = e.timeout_ms};
	if (http_start(&config, &e.listen, &http, where, sizeof(where), &err)) {
		fprintf(stderr, "lockstep-exporter: %s\n", err.text);
		return EXIT_FAILED;
	}
	printf("ready %s\n", where);
	fflush(stdout);
	await_end(&signals);
	http_stop(http);
	return 0;
}
