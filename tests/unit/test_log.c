/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: where standard error is the journal, an event is an entry with its fields; elsewhere, and
 * when the journal does not take it, it is one line of text, whatever a client's text has in it.
 */
#include "engine/daemon/daemon.h"
#include "engine/daemon/log.h"
#include "tests/support/t.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* The entry that was sent, each field with a newline in front and one behind. */
static char sent[4096];
static int journal_answer;

int __wrap_sd_journal_sendv(const struct iovec *parts, int count);
int __wrap_sd_journal_sendv(const struct iovec *parts, int count)
{
	size_t used = 1;

	if (journal_answer < 0)
		return journal_answer;
	sent[0] = '\n';
	for (int i = 0; i < count; i++) {
		assert_true(used + parts[i].iov_len + 2 < sizeof(sent));
		memcpy(sent + used, parts[i].iov_base, parts[i].iov_len);
		used += parts[i].iov_len;
		sent[used++] = '\n';
	}
	sent[used] = '\0';
	return 0;
}

/* main.c has it. */
void daemon_stop(struct daemon *d, const char *why)
{
	(void)d;
	(void)why;
}

static int saved, text_fd;

/* Standard error is a file; @journal: and $JOURNAL_STREAM says that it is the journal. */
static void begin(bool journal)
{
	char name[] = "/tmp/ls-log.XXXXXX", stream[64];
	struct stat st;

	sent[0] = '\0';
	journal_answer = 0;
	text_fd = mkstemp(name);
	assert_true(text_fd >= 0);
	unlink(name);
	saved = dup(STDERR_FILENO);
	assert_int_equal(dup2(text_fd, STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(fstat(text_fd, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino + !journal);
	setenv("JOURNAL_STREAM", stream, 1);
	log_init(LOG_LEVEL_INFO);
}

/* What was written as text. */
static const char *end(void)
{
	static char text[4096];
	ssize_t n = pread(text_fd, text, sizeof(text) - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(text_fd);
	unsetenv("JOURNAL_STREAM");
	return text;
}

static void has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' has no '%s'", text, part);
}

static const struct engine_event lost = {
	.kind = EVENT_MIRROR,
	.level = LOG_LEVEL_WARNING,
	.volume = "db",
	.peer = "beta",
	.from = "synced",
	.to = "waiting",
	.reason = "the peer was silent for 10000 ms",
};

static void entry_has_fields(void **state)
{
	struct event_log *log = events_create();

	(void)state;
	begin(true);
	events_tell(log, &lost);
	assert_string_equal(end(), "");
	has(sent, "\nMESSAGE=volume 'db': synced -> waiting: the peer was silent for 10000 ms\n");
	has(sent, "\nPRIORITY=4\n");
	has(sent, "\nSYSLOG_IDENTIFIER=lockstepd\n");
	has(sent, "\nMESSAGE_ID=c500c027857546e194387f6b01ffcc7e\n");
	has(sent, "\nEVENT=mirror\n");
	has(sent, "\nVOLUME=db\n");
	has(sent, "\nPEER=beta\n");
	has(sent, "\nFROM=synced\n");
	has(sent, "\nTO=waiting\n");
	assert_null(strstr(sent, "POOL="));
	assert_null(strstr(sent, "CLIENT="));
	events_destroy(log);
}

static void plain_line_elsewhere(void **state)
{
	struct event_log *log = events_create();
	const char *text;

	(void)state;
	/* A service's child with an other standard error. */
	begin(false);
	events_tell(log, &lost);
	log_line(LOG_LEVEL_DEBUG, "not this");
	text = end();
	assert_string_equal(sent, "");
	has(text, " warning volume 'db': synced -> waiting: the peer was silent for 10000 ms\n");
	assert_null(strstr(text, "not this"));
	events_destroy(log);
}

static void one_line_only(void **state)
{
	(void)state;
	begin(true);
	log_line(LOG_LEVEL_INFO, "%s", "a\nPRIORITY=0\nb");
	assert_string_equal(end(), "");
	has(sent, "\nMESSAGE=a PRIORITY=0 b\n");
	begin(false);
	log_line(LOG_LEVEL_INFO, "%s", "a\nb\033");
	has(end(), " info    a b \n");
}

static void journal_that_is_away(void **state)
{
	(void)state;
	begin(true);
	journal_answer = -ENOENT;
	log_line(LOG_LEVEL_ERROR, "what happened");
	assert_string_equal(end(), "<3>what happened\n");
}

/* Each kind has one explanation, and no identifier stands for two. */
static void catalog_is_whole(void **state)
{
	static char catalog[32768];
	struct event_log *log = events_create();
	FILE *f = fopen(LS_CATALOG, "re");
	char seen[EVENT_KINDS][80] = {{0}};

	(void)state;
	assert_non_null(f);
	assert_true(fread(catalog, 1, sizeof(catalog) - 1, f) < sizeof(catalog) - 1);
	fclose(f);
	begin(true);
	for (unsigned kind = 0; kind < EVENT_KINDS; kind++) {
		const char *id;

		events_tell(log, &(struct engine_event){.kind = (enum event_kind)kind,
							.level = LOG_LEVEL_INFO});
		id = strstr(sent, "\nMESSAGE_ID=");
		assert_non_null(id);
		snprintf(seen[kind], sizeof(seen[kind]), "\n-- %.32s\n", id + 12);
		for (unsigned i = 0; i < kind; i++)
			assert_string_not_equal(seen[i], seen[kind]);
	}
	end();
	for (unsigned kind = 0; kind < EVENT_KINDS; kind++)
		has(catalog, seen[kind]);
	events_destroy(log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entry_has_fields), cmocka_unit_test(plain_line_elsewhere),
		cmocka_unit_test(one_line_only),    cmocka_unit_test(journal_that_is_away),
		cmocka_unit_test(catalog_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
