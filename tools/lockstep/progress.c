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

/* "copying: 1 GiB of 4 GiB (25 %), 512.0 MB/s, 6 s left" */
static void print_part(const char *word, struct json_object *v, const char *done_key,
		       const char *total_key, const char *ns_key)
{
	uint64_t done = json_get_u64(v, done_key, 0), total = json_get_u64(v, total_key, 0);
	double seconds = (double)json_get_u64(v, ns_key, 0) / 1e9;
	double rate = seconds > 0 ? (double)done / seconds : 0;
	char a[32], b[32];

	printf("%s: %s of %s (%.0f %%), %.1f MB/s, %.0f s left", word,
	       human_bytes(done, a, sizeof(a)), human_bytes(total, b, sizeof(b)),
	       100.0 * (double)done / (double)total, rate / 1e6,
	       rate > 0 ? (double)(total - done) / rate : 0);
}

static void show_progress(void *ctx, struct json_object *v)
{
	const char *mirror = json_get_text(v, "mirror", "?");
	struct progress *p = ctx;
	char a[32];

	if (p->json)
		return;
	p->shown = true;
	if (p->tty)
		fputs("\r\033[K", stdout);
	if (json_get_u64(v, "verify_total_bytes", 0)) {
		print_part("comparing", v, "verify_done_bytes", "verify_total_bytes", "verify_ns");
		if (json_get_u64(v, "verify_different_bytes", 0))
			printf("; %s differ so far",
			       human_bytes(json_get_u64(v, "verify_different_bytes", 0), a,
					   sizeof(a)));
	} else if (!strcmp(mirror, "copying") && json_get_u64(v, "copy_total_bytes", 0)) {
		print_part("copying", v, "copy_done_bytes", "copy_total_bytes", "copy_ns");
	} else if (!strcmp(mirror, "copying")) {
		printf("copying: the peer is the source, and knows how far it is");
	} else if (json_get_u64(v, "growing_bytes", 0)) {
		printf("growing to %s",
		       human_bytes(json_get_u64(v, "growing_bytes", 0), a, sizeof(a)));
	} else {
		printf("waiting for the peer (%s)", mirror);
	}
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

int long_call(const struct cli *cli, struct json_object *request, bool no_wait,
	      struct json_object **answer)
{
	struct progress progress = {.tty = isatty(STDOUT_FILENO), .json = cli->json};
	int rc;

	json_set_bool(request, "wait", !no_wait);
	rc = control_call(cli, request, show_progress, &progress, answer);
	if (progress.shown && progress.tty)
		fputs("\r\033[K", stdout);
	fflush(stdout);
	return rc;
}

int long_job(const struct cli *cli, struct json_object *request, bool no_wait, const char *running)
{
	struct json_object *answer;
	int rc = long_call(cli, request, no_wait, &answer);

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
