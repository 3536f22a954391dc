/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/config/config_file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reading {
	struct config_file *file;
	struct options *options;
	/* What is checked against is not what is used: the command line has the last word. */
	struct options tried;
	unsigned seen[OPTIONS]; /* line, 0 = not yet */
};

PRINTF_LIKE(3, 4)
static void mistake(struct config_file *file, unsigned line, const char *fmt, ...)
{
	struct config_mistake *m = &file->mistakes[file->count];
	va_list ap;

	if (file->count == CONFIG_MISTAKES_MAX)
		return;
	m->line = line;
	va_start(ap, fmt);
	vsnprintf(m->text, sizeof(m->text), fmt, ap);
	va_end(ap);
	file->count++;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Without blanks at both ends; changes @text. */
static char *trim(char *text)
{
	size_t length;

	while (blank(text[0]))
		text++;
	length = strlen(text);
	while (length && blank(text[length - 1]))
		text[--length] = '\0';
	return text;
}

/* A '#' inside of a word belongs to it; right behind the name's '=' it does not. */
static void cut_comment(char *line)
{
	const char *equals = strchr(line, '=');

	for (size_t i = 0; line[i]; i++) {
		if (line[i] == '#' && (i == 0 || blank(line[i - 1]) || equals == &line[i - 1])) {
			line[i] = '\0';
			return;
		}
	}
}

static void unknown(struct reading *r, unsigned number, const char *name)
{
	const char *like = option_like(name);

	if (like)
		mistake(r->file, number, "there is no option '%s'; is '%s' meant?", name, like);
	else
		mistake(r->file, number,
			"there is no option '%.60s' (lockstepd.conf(5) lists all of them)", name);
}

static void take_option(struct reading *r, unsigned number, const char *name, const char *text)
{
	enum option_id option = option_find(name);
	struct err err;

	if (option == OPTIONS) {
		unknown(r, number, name);
		return;
	}
	if (r->seen[option]) {
		mistake(r->file, number, "%s: is set in line %u already", name, r->seen[option]);
		return;
	}
	r->seen[option] = number;
	/* A daemon has no folder of its own that a name could start from. */
	if ((option == OPTION_STATE || option == OPTION_RUN) && text[0] && text[0] != '/') {
		mistake(r->file, number, "%s: '%.200s' is not an absolute path", name, text);
		return;
	}
	if (options_set(&r->tried, option, text, OPTION_FILE, number, &err)) {
		mistake(r->file, number, "%s: %s", name, err.text);
		return;
	}
	if (r->options->given[option].source != OPTION_COMMAND_LINE &&
	    options_set(r->options, option, text, OPTION_FILE, number, &err))
		mistake(r->file, number, "%s: %s", name, err.text);
}

static void take_line(struct reading *r, unsigned number, char *line)
{
	char *equals;

	for (size_t i = 0; line[i]; i++) {
		if ((unsigned char)line[i] < ' ' && !blank(line[i])) {
			mistake(r->file, number, "there is a byte that is not text (0x%02x)",
				(unsigned char)line[i]);
			return;
		}
	}
	cut_comment(line);
	line = trim(line);
	if (!line[0])
		return;
	equals = strchr(line, '=');
	if (!equals || equals == line) {
		mistake(r->file, number, "'%.60s' is not of the form: option = value", line);
		return;
	}
	*equals = '\0';
	take_option(r, number, trim(line), trim(equals + 1));
}

/* The text, with a 0 behind it; NULL with the mistake. */
static char *read_text(struct config_file *file, const char *path, bool must)
{
	char *text = malloc(CONFIG_FILE_BYTES_MAX + 2);
	FILE *f = fopen(path, "re");
	size_t bytes = 0;
	int rc = f ? 0 : errno;

	if (f && text)
		bytes = fread(text, 1, CONFIG_FILE_BYTES_MAX + 1, f);
	if (f && ferror(f))
		rc = errno;
	if (f)
		fclose(f);
	file->present = rc != ENOENT;
	if (!text)
		mistake(file, 0, "there is no memory to read it");
	else if (rc && (rc != ENOENT || must))
		mistake(file, 0, "cannot be read: %s", strerror(rc));
	else if (bytes > CONFIG_FILE_BYTES_MAX)
		mistake(file, 0, "is longer than %u KiB: this is no configuration file",
			CONFIG_FILE_BYTES_MAX >> 10);
	else if (!rc && memchr(text, 0, bytes))
		mistake(file, 0, "has bytes of value 0: this is no configuration file");
	if (rc || file->count) {
		free(text);
		return NULL;
	}
	text[bytes] = '\0';
	return text;
}

void config_file_read(struct config_file *file, const char *path, bool must,
		      struct options *options)
{
	struct reading r = {.file = file, .options = options};
	char *text, *line, *next;
	unsigned number = 1;

	*file = (struct config_file){0};
	text = read_text(file, path, must);
	if (!text)
		return;
	options_default(&r.tried);
	for (line = text; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		take_line(&r, number++, line);
	}
	free(text);
}

void config_mistake_text(const char *path, const struct config_mistake *m, char *out, size_t room)
{
	if (m->line)
		snprintf(out, room, "%s:%u: %s", path, m->line, m->text);
	else
		snprintf(out, room, "%s: %s", path, m->text);
}
