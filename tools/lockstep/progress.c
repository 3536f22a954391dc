/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/lockstep/progress.h"

#include "tools/lockstep/control.h"
#include "tools/lockstep/print.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct progress {
	bool tty, json;
	bool shown;
};

static void show_progress(void *ctx, struct json_object *v)
{
	uint64_t done = json_get_u64(v, "copy_done_bytes", 0);
	uint64_t total = json_get_u64(v, "copy_total_bytes", 0);
	double seconds = (double)json_get_u64(v, "copy_ns", 0) / 1e9;
	double rate = seconds > 0 ? (double)done / seconds : 0;
	const char *mirror = json_get_text(v, "mirror", "?");
	struct progress *p = ctx;
	char a[32], b[32];

	if (p->json)
		return;
	p->shown = true;
	if (p->tty)
		fputs("\r\033[K", stdout);
	if (!strcmp(mirror, "copying") && total)
		printf("copying: %s of %s (%.0f %%), %.1f MB/s, %.0f s left",
		       human_bytes(done, a, sizeof(a)), human_bytes(total, b, sizeof(b)),
		       100.0 * (double)done / (double)total, rate / 1e6,
		       rate > 0 ? (double)(total - done) / rate : 0);
	else if (!strcmp(mirror, "copying"))
		printf("copying: the peer is the source, and knows how far it is");
	else if (json_get_u64(v, "growing_bytes", 0))
		printf("growing to %s",
		       human_bytes(json_get_u64(v, "growing_bytes", 0), a, sizeof(a)));
	else
		printf("waiting for the peer (%s)", mirror);
	if (!p->tty)
		fputc('\n', stdout);
	fflush(stdout);
}

static void say_end(const struct cli *cli, struct json_object *answer, const char *running)
{
	if (cli->json) {
		control_print(answer);
		return;
	}
	if (json_get_bool(answer, "running", false))
		puts(running);
	else
		puts(json_get_text(answer, "text", "done"));
	json_object_put(answer);
}

int long_job(const struct cli *cli, struct json_object *request, bool no_wait, const char *running)
{
	struct progress progress = {.tty = isatty(STDOUT_FILENO), .json = cli->json};
	struct json_object *answer;
	int rc;

	json_set_bool(request, "wait", !no_wait);
	rc = control_call(cli, request, show_progress, &progress, &answer);
	if (progress.shown && progress.tty)
		fputs("\r\033[K", stdout);
	fflush(stdout);
	if (!rc)
		say_end(cli, answer, running);
	return rc;
}

int short_job(const struct cli *cli, struct json_object *request)
{
	struct json_object *answer;
	int rc = control_call(cli, request, NULL, NULL, &answer);

	if (!rc)
		say_end(cli, answer, "");
	return rc;
}
