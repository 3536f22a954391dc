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

const char *verify_progress(struct json_object *v, char *out, size_t room)
{
	uint64_t done = json_get_u64(v, "verify_done_bytes", 0);
	uint64_t total = json_get_u64(v, "verify_total_bytes", 0);
	double seconds = (double)json_get_u64(v, "verify_ns", 0) / 1e9;
	double rate = seconds > 0 ? (double)done / seconds : 0;
	char a[32], b[32], left[32] = "";

	if (rate > 0)
		snprintf(left, sizeof(left), ", %.0f s left", (double)(total - done) / rate);
	snprintf(out, room, "comparing: %s of %s (%.0f %%), %.1f MB/s%s",
		 human_bytes(done, a, sizeof(a)), human_bytes(total, b, sizeof(b)),
		 100.0 * (double)done / (double)total, rate / 1e6, left);
	return out;
}

/* What "copy_bound" says, in words. */
static const char *bound_text(const char *bound)
{
	static const struct {
		const char *bound, *text;
	} all[] = {
		{"clients", "; clients come first"},
		{"limit", "; as fast as --resync-rate lets it"},
		{"device", "; as fast as this node's devices"},
		{"peer", "; as fast as the wire and the peer"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (!strcmp(bound, all[i].bound))
			return all[i].text;
	return "";
}

const char *copy_progress(struct json_object *v, char *out, size_t room)
{
	uint64_t done = json_get_u64(v, "copy_done_bytes", 0);
	uint64_t total = json_get_u64(v, "copy_total_bytes", 0);
	double rate = (double)json_get_u64(v, "copy_rate_bytes", 0);
	const char *bound = json_get_text(v, "copy_bound", "");
	char a[32], b[32], left[32] = "";

	if (!total) {
		snprintf(out, room, "copying: the peer is the source, and knows how far it is");
		return out;
	}
	human_bytes(total, b, sizeof(b));
	if (!strcmp(bound, "turn")) {
		snprintf(out, room, "copying: %s, when the resync of another volume has ended", b);
		return out;
	}
	if (rate > 0)
		snprintf(left, sizeof(left), ", %.0f s left", (double)(total - done) / rate);
	snprintf(out, room, "copying: %s of %s (%.0f %%), %.1f MB/s%s%s",
		 human_bytes(done, a, sizeof(a)), b, 100.0 * (double)done / (double)total,
		 rate / 1e6, left, bound_text(bound));
	return out;
}

static void show_progress(void *ctx, struct json_object *v)
{
	const char *mirror = json_get_text(v, "mirror", "?");
	struct progress *p = ctx;
	char text[PROGRESS_BYTES], a[32];

	if (p->json)
		return;
	p->shown = true;
	if (p->tty)
		fputs("\r\033[K", stdout);
	if (json_get_u64(v, "verify_total_bytes", 0)) {
		fputs(verify_progress(v, text, sizeof(text)), stdout);
		if (json_get_u64(v, "verify_different_bytes", 0))
			printf("; %s differ so far",
			       human_bytes(json_get_u64(v, "verify_different_bytes", 0), a,
					   sizeof(a)));
	} else if (!strcmp(mirror, "copying")) {
		fputs(copy_progress(v, text, sizeof(text)), stdout);
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
