/* SPDX-License-Identifier: BSD-3-Clause */
/* The journal's own fields for file and line are of no use to an administrator. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include "engine/daemon/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 1024
#define FIELD_BYTES 128
#define FIELDS_MAX 12

static int log_max = LOG_LEVEL_INFO;
static bool log_journal;

/* $JOURNAL_STREAM is inherited by whoever is started by a service: it must be this very stream. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       !fstat(STDERR_FILENO, &st) && st.st_dev == device && st.st_ino == inode;
}

void log_init(int level)
{
	log_max = level;
	log_journal = stderr_is_journal();
}

struct entry {
	struct iovec parts[FIELDS_MAX];
	char fields[FIELDS_MAX][FIELD_BYTES];
	int count;
};

static void add_field(struct entry *e, const char *name, const char *value)
{
	char *field = e->fields[e->count];

	if (!value || !value[0])
		return;
	snprintf(field, FIELD_BYTES, "%s=%s", name, value);
	e->parts[e->count++] = (struct iovec){field, strlen(field)};
}

/* False: it did not take it. */
static bool to_journal(int level, const struct log_fields *f, const char *text)
{
	char message[LINE_BYTES + 16], priority[8];
	struct entry e = {0};

	snprintf(message, sizeof(message), "MESSAGE=%s", text);
	snprintf(priority, sizeof(priority), "%d", level);
	e.parts[e.count++] = (struct iovec){message, strlen(message)};
	add_field(&e, "PRIORITY", priority);
	add_field(&e, "SYSLOG_IDENTIFIER", "lockstepd");
	if (f) {
		add_field(&e, "MESSAGE_ID", f->message_id);
		add_field(&e, "EVENT", f->event);
		add_field(&e, "VOLUME", f->volume);
		add_field(&e, "POOL", f->pool);
		add_field(&e, "PEER", f->peer);
		add_field(&e, "CLIENT", f->client);
		add_field(&e, "FROM", f->from);
		add_field(&e, "TO", f->to);
	}
	return sd_journal_sendv(e.parts, e.count) >= 0;
}

static int prefix(char *line, size_t bytes, int level)
{
	struct timespec now;
	struct tm tm;

	if (log_journal)
		return snprintf(line, bytes, "<%d>", level);
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	return snprintf(line, bytes, "%02d:%02d:%02d.%03d %s ", tm.tm_hour, tm.tm_min, tm.tm_sec,
			(int)(now.tv_nsec / 1000000),
			level <= LOG_LEVEL_ERROR     ? "error  "
			: level == LOG_LEVEL_WARNING ? "warning"
			: level == LOG_LEVEL_INFO    ? "info   "
						     : "debug  ");
}

void log_with(int level, const struct log_fields *fields, const char *text)
{
	char line[LINE_BYTES + 32], clean[LINE_BYTES];
	size_t used;

	if (level > log_max)
		return;
	snprintf(clean, sizeof(clean), "%s", text);
	/* A client's or peer's text must not forge a second line. */
	for (size_t i = 0; clean[i]; i++)
		if ((unsigned char)clean[i] < ' ')
			clean[i] = ' ';
	if (log_journal && to_journal(level, fields, clean))
		return;
	used = (size_t)prefix(line, sizeof(line), level);
	used += (size_t)snprintf(line + used, sizeof(line) - used, "%s\n", clean);
	/* One write, so that lines of several threads stay whole. */
	if (write(STDERR_FILENO, line, used) < 0)
		return;
}

void log_line(int level, const char *fmt, ...)
{
	char text[LINE_BYTES];
	va_list ap;

	if (level > log_max)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_with(level, NULL, text);
}
