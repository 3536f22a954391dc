/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: no bytes make the reader of configuration files misbehave; what it takes, written down
 * anew, it takes again the same; mistakes are told with a line that is there.
 */
#include "engine/config/config_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config_file read_bytes(const void *bytes, size_t size, struct options *options)
{
	struct config_file file;
	char path[64];
	int fd = memfd_create("config", MFD_CLOEXEC);

	if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	options_default(options);
	config_file_read(&file, path, true, options);
	close(fd);
	return file;
}

static unsigned lines(const uint8_t *data, size_t size)
{
	unsigned count = 1;

	for (size_t i = 0; i < size; i++)
		count += data[i] == '\n';
	return count;
}

static void check_mistakes(const struct config_file *file, unsigned line_count)
{
	char text[1024];

	if (file->count > CONFIG_MISTAKES_MAX)
		abort();
	for (unsigned i = 0; i < file->count; i++) {
		if (file->mistakes[i].line > line_count || !file->mistakes[i].text[0])
			abort();
		config_mistake_text("x", &file->mistakes[i], text, sizeof(text));
		if (strchr(text, '\n'))
			abort();
	}
}

static bool same(const struct options *a, const struct options *b)
{
	return !strcmp(a->node_name, b->node_name) && !strcmp(a->state_dir, b->state_dir) &&
	       !strcmp(a->run_dir, b->run_dir) && !strcmp(a->listen, b->listen) &&
	       a->polling == b->polling && a->spin_us == b->spin_us && a->core == b->core &&
	       a->slot_count == b->slot_count && a->slot_bytes == b->slot_bytes &&
	       a->peer_timeout_ms == b->peer_timeout_ms && a->map_keep_mib == b->map_keep_mib &&
	       a->payload_crc == b->payload_crc && a->log_level == b->log_level;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char again[OPTIONS * (OPTION_TEXT_MAX + 64)];
	struct options options, second;
	struct config_file file;
	size_t used = 0;

	file = read_bytes(data, size, &options);
	check_mistakes(&file, lines(data, size));
	for (unsigned i = 0; i < OPTIONS; i++)
		if (options.given[i].source == OPTION_FILE)
			used += (size_t)snprintf(again + used, sizeof(again) - used, "%s = %s\n",
						 option_table[i].name, options.given[i].text);
	file = read_bytes(again, used, &second);
	if (file.count || !same(&options, &second))
		abort();
	return 0;
}
