/* SPDX-License-Identifier: BSD-3-Clause */
/* top: asks for the status again and again; the screen (ncurses), and the same as text. */
#include "tools/lockstep/control.h"
#include "tools/lockstep/top.h"

#include <curses.h>
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Answers that are kept: percentiles are of the time since the oldest one. */
#define HISTORY 11u
#define INTERVAL_MIN_S 0.1
#define INTERVAL_MAX_S 60.0

struct top {
	struct cli *cli;
	const char *volume;
	double interval_s;
	bool once;
	struct json_object *history[HISTORY]; /* the oldest one first */
	unsigned count;
};

static error_t parse_top(int key, char *arg, struct argp_state *state)
{
	struct top *t = state->input;
	char *end;

	switch (key) {
	case 'd':
		t->interval_s = strtod(arg, &end);
		if (end == arg || *end || !(t->interval_s >= INTERVAL_MIN_S) ||
		    t->interval_s > INTERVAL_MAX_S)
			argp_error(state, "--interval: '%s' is not a number from %.1f to %.0f", arg,
				   INTERVAL_MIN_S, INTERVAL_MAX_S);
		return 0;
	case '1':
		t->once = true;
		return 0;
	case ARGP_KEY_ARG:
		arg_volume(state, &t->volume, arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* --- the engine --- */

static void forget(struct top *t, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		json_object_put(t->history[i]);
	t->count -= count;
	memmove(t->history, t->history + count, t->count * sizeof(t->history[0]));
}

static int ask(struct top *t)
{
	struct json_object *request = control_request("status"), *answer;
	int rc;

	if (t->volume)
		json_set_text(request, "volume", t->volume);
	rc = control_call(t->cli, request, NULL, NULL, &answer);
	if (rc)
		return rc;
	if (t->count == HISTORY)
		forget(t, 1);
	t->history[t->count++] = answer;
	return 0;
}

/* NULL: there is nothing to compare with yet. */
static struct json_object *rates(struct top *t)
{
	struct json_object *r;

	if (t->count < 2)
		return NULL;
	r = top_rates(t->history[0], t->history[t->count - 2], t->history[t->count - 1]);
	if (!r)
		forget(t, t->count - 1);
	return r;
}

static void pause_for(double seconds)
{
	struct timespec t = {.tv_sec = (time_t)seconds};

	t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
	nanosleep(&t, NULL);
}

/* --- as text, one below the other --- */

static int run_text(struct top *t)
{
	int rc = ask(t);
	bool shown = false;

	while (!rc && !(t->once && shown)) {
		struct json_object *r;

		pause_for(t->interval_s);
		rc = ask(t);
		r = rc ? NULL : rates(t);
		if (!r)
			continue;
		if (t->cli->json) {
			control_print(r);
		} else {
			if (shown)
				putchar('\n');
			top_text(stdout, r);
			json_object_put(r);
		}
		fflush(stdout);
		shown = true;
	}
	return rc;
}

/* --- on a screen --- */

struct screen {
	char *text; /* what is shown, lines; NULL = nothing yet */
	size_t bytes;
	int from; /* first line that is shown */
	char said[400]; /* why the engine does not answer */
};

static bool is_head(const char *line)
{
	static const char *const heads[] = {"VOLUME ", "HOP ", "PEER "};

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
		if (!strncmp(line, heads[i], strlen(heads[i])))
			return true;
	return false;
}

static int line_count(const char *text)
{
	int n = 0;

	for (; text && *text; text++)
		n += *text == '\n';
	return n;
}

/* As many of the lines as there is room for, above the last one, which is ours. */
static void paint(struct screen *s)
{
	const char *line = s->text;
	int room = LINES - 1, at = -s->from;

	werase(stdscr);
	for (; line && *line && at < room; at++) {
		size_t length = strcspn(line, "\n");

		if (at >= 0) {
			wattrset(stdscr, is_head(line) ? A_REVERSE : A_NORMAL);
			mvwaddnstr(stdscr, at, 0, line, (int)min_u64(length, (uint64_t)COLS));
		}
		line += length + (line[length] == '\n');
	}
	wattrset(stdscr, A_BOLD);
	if (s->said[0])
		mvwaddnstr(stdscr, LINES - 1, 0, s->said, COLS);
	else
		mvwaddnstr(stdscr, LINES - 1, 0, "q: end   arrows: scroll   space: now", COLS);
	wattrset(stdscr, A_NORMAL);
	wrefresh(stdscr);
}

static void refresh_text(struct top *t, struct screen *s)
{
	struct json_object *r;
	FILE *out;

	fail_into(s->said, sizeof(s->said));
	if (!ask(t))
		s->said[0] = '\0';
	fail_into(NULL, 0);
	r = s->said[0] ? NULL : rates(t);
	if (!r)
		return;
	free(s->text);
	s->text = NULL;
	out = open_memstream(&s->text, &s->bytes);
	if (out) {
		top_text(out, r);
		fclose(out);
	}
	json_object_put(r);
}

static void scroll_by(struct screen *s, int lines)
{
	int most = line_count(s->text) - (LINES - 1);

	s->from += lines;
	if (s->from > most)
		s->from = most;
	if (s->from < 0)
		s->from = 0;
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Waits for a key until @until_s; false: end. */
static bool keys(struct screen *s, double until_s, bool *now)
{
	double left_ms = (until_s - now_s()) * 1000;

	wtimeout(stdscr, left_ms < 1 ? 1 : (int)left_ms);
	switch (wgetch(stdscr)) {
	case 'q':
	case 'Q':
		return false;
	case ' ':
		*now = true;
		break;
	case KEY_UP:
		scroll_by(s, -1);
		break;
	case KEY_DOWN:
		scroll_by(s, 1);
		break;
	case KEY_PPAGE:
		scroll_by(s, -(LINES - 2));
		break;
	case KEY_NPAGE:
		scroll_by(s, LINES - 2);
		break;
	default: /* KEY_RESIZE, or none in time */
		break;
	}
	return true;
}

static int run_screen(struct top *t)
{
	struct screen s = {0};
	SCREEN *terminal;
	bool going = true;

	/* Before there is a screen: what is wrong with the command is said as always. */
	if (ask(t))
		return EXIT_FAILED;
	setlocale(LC_CTYPE, "");
	terminal = newterm(NULL, stdout, stdin);
	if (!terminal)
		return fail("the terminal '%s' is not known here: set TERM, or use --once",
			    getenv("TERM") ? getenv("TERM") : "");
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	curs_set(0);
	snprintf(s.said, sizeof(s.said), "measuring");
	paint(&s);
	while (going) {
		double until_s = now_s() + t->interval_s;
		bool now = false;

		while (going && !now && now_s() < until_s) {
			going = keys(&s, until_s, &now);
			paint(&s);
		}
		if (!going)
			break;
		refresh_text(t, &s);
		scroll_by(&s, 0);
		paint(&s);
	}
	endwin();
	delscreen(terminal);
	free(s.text);
	return 0;
}

int cmd_top(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option rows[] = {
		{"interval", 'd', "SECONDS", 0, "Time between two looks, 0.1 to 60 (1)", 0},
		{"once", '1', NULL, 0, "One look as text, and end", 0},
		{0},
	};
	static const struct cli_args args = {
		rows, parse_top, "[VOLUME]",
		"Shows what the node does now: rates of its volumes and links, where the time of "
		"requests goes, and how far resyncs are.  On a terminal it is a screen that "
		"renews itself; else, and with --json, text again and again."};
	struct top t = {.cli = cli, .interval_s = 1};
	int rc;

	cli_parse(cli, argc, argv, &args, &t);
	if (t.once || cli->json || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
		rc = run_text(&t);
	else
		rc = run_screen(&t);
	forget(&t, t.count);
	return rc;
}
