/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/daemon/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int log_max = LOG_LEVEL_INFO;
static bool log_journal;

void log_init(int level)
{
	log_max = level;
	log_journal = getenv("JOURNAL_STREAM") && !isatty(STDERR_FILENO);
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

void log_line(int level, const char *fmt, ...)
{
	char line[1024];
	size_t used;
	va_list ap;

	if (level > log_max)
		return;
	used = (size_t)prefix(line, sizeof(line), level);
	va_start(ap, fmt);
	vsnprintf(line + used, sizeof(line) - used - 1, fmt, ap);
	va_end(ap);
	used = strlen(line);
	/* A client's or peer's text must not forge a second line. */
	for (size_t i = 0; i < used; i++)
		if ((unsigned char)line[i] < ' ')
			line[i] = ' ';
	line[used++] = '\n';
	/* One write, so that lines of several threads stay whole. */
	if (write(STDERR_FILENO, line, used) < 0)
		return;
}
