/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a configuration file sets what it says and nothing else, the command line wins over it, and
 * each mistake is told with its line.
 */
#include "engine/config/config_file.h"
#include "tests/support/t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/ls-config.XXXXXX";

static void write_file(const void *text, size_t bytes)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, bytes, f), bytes);
	assert_int_equal(fclose(f), 0);
}

static struct config_file read_text(const char *text, struct options *options)
{
	struct config_file file;

	write_file(text, strlen(text));
	config_file_read(&file, path, true, options);
	return file;
}

static void one_mistake(const char *text, unsigned line, const char *sentence)
{
	struct options options, before;
	struct config_file file;

	options_default(&options);
	before = options;
	file = read_text(text, &options);
	if (file.count != 1 || file.mistakes[0].line != line ||
	    strcmp(file.mistakes[0].text, sentence) != 0)
		fail_msg("'%s': %u mistakes, line %u: '%s'", text, file.count,
			 file.mistakes[0].line, file.mistakes[0].text);
	assert_memory_equal(&options, &before, sizeof(options));
}

static void sets_what_it_says(void **state)
{
	struct options options, expected;
	struct config_file file;

	(void)state;
	options_default(&options);
	expected = options;
	file = read_text("\xef\xbb\xbf# not a byte order mark\n", &options);
	assert_int_equal(file.count, 1);
	file = read_text("\n# nothing\n\t # nothing\r\n", &options);
	assert_int_equal(file.count, 0);
	assert_true(file.present);
	assert_memory_equal(&options, &expected, sizeof(options));

	file = read_text("node = alpha # mine\r\n"
			 "listen=tcp://[::1]:0\n"
			 "  state\t=  /srv/a#b  \n"
			 "core = none\n"
			 "polling = busy\nslots = 3\nslot-bytes = 516096\n"
			 "payload-crc = off\nlog-level = debug\npeer-timeout-ms = 500\n"
			 "map-keep-mib = 4294967295",
			 &options);
	assert_int_equal(file.count, 0);
	assert_string_equal(options.node_name, "alpha");
	assert_string_equal(options.listen, "tcp://[::1]:0");
	assert_string_equal(options.state_dir, "/srv/a#b");
	assert_string_equal(options.run_dir, "/run/lockstep");
	assert_int_equal(options.core, CORE_NONE);
	assert_int_equal(options.polling, POLLING_BUSY);
	assert_int_equal(options.slot_count, 3);
	assert_int_equal(options.slot_bytes, SLOT_BYTES_MAX);
	assert_false(options.payload_crc);
	assert_int_equal(options.log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(options.peer_timeout_ms, 500);
	assert_int_equal(options.map_keep_mib, UINT32_MAX);
	assert_int_equal(options.given[OPTION_STATE].source, OPTION_FILE);
	assert_int_equal(options.given[OPTION_STATE].line, 3);
	assert_int_equal(options.given[OPTION_PEER_TIMEOUT_MS].line, 10);
	assert_int_equal(options.given[OPTION_RUN].source, OPTION_DEFAULT);
}

static void command_line_wins(void **state)
{
	struct options options;
	struct config_file file;

	(void)state;
	options_default(&options);
	assert_int_equal(options_set(&options, OPTION_SLOTS, "7", OPTION_COMMAND_LINE, 0, NULL), 0);
	file = read_text("slots = 9\nspin-us = 9\n", &options);
	assert_int_equal(file.count, 0);
	assert_int_equal(options.slot_count, 7);
	assert_int_equal(options.given[OPTION_SLOTS].source, OPTION_COMMAND_LINE);
	assert_int_equal(options.spin_us, 9);
	/* What it overrides must make sense nevertheless. */
	file = read_text("slots = nine\n", &options);
	assert_int_equal(file.count, 1);
	assert_int_equal(options.slot_count, 7);
}

static void mistakes_are_told(void **state)
{
	(void)state;
	one_mistake("slot = 4\n", 1, "there is no option 'slot'; is 'slots' meant?");
	one_mistake("\nlog_level = info", 2,
		    "there is no option 'log_level'; is 'log-level' meant?");
	one_mistake("config = /x", 1,
		    "there is no option 'config' (lockstepd.conf(5) lists all of them)");
	one_mistake("Slots = 4x", 1, "there is no option 'Slots'; is 'slots' meant?");
	one_mistake("# a\n\nslots = 4x", 3, "slots: '4x' is not a number from 3 to 1024");
	one_mistake("slots = 2", 1, "slots: '2' is not a number from 3 to 1024");
	one_mistake("slots = 1025", 1, "slots: '1025' is not a number from 3 to 1024");
	one_mistake("slots = -4", 1, "slots: '-4' is not a number from 3 to 1024");
	one_mistake("slots = 18446744073709551620", 1,
		    "slots: '18446744073709551620' is not a number from 3 to 1024");
	one_mistake("slot-bytes = 131073", 1, "slot-bytes: '131073' is not a multiple of 4096");
	one_mistake("slots", 1, "'slots' is not of the form: option = value");
	one_mistake("= 4", 1, "'= 4' is not of the form: option = value");
	one_mistake("[daemon]", 1, "'[daemon]' is not of the form: option = value");
	one_mistake("slots = # many", 1, "slots: the value is missing");
	one_mistake("slots =# many", 1, "slots: the value is missing");
	one_mistake("state = a/b", 1, "state: 'a/b' is not an absolute path");
	one_mistake("run =", 1, "run: the value is missing");
	one_mistake("core = left", 1,
		    "core: 'left' is neither auto, none nor a CPU from 0 to 4095");
	one_mistake("payload-crc = no", 1, "payload-crc: 'no' is neither on nor off");
	one_mistake("polling = never", 1,
		    "polling: 'never' is none of auto, busy, adaptive, event");
	one_mistake("log-level = 7", 1, "log-level: '7' is none of error, warning, info, debug");
	one_mistake("node = 0123456789012345678901234567890123", 1,
		    "node: a node name has 1 to 31 characters");
	one_mistake("listen = 10.0.0.1:7610", 1,
		    "listen: '10.0.0.1:7610': expected rdma://ADDRESS:PORT or tcp://ADDRESS:PORT");
	one_mistake("listen = tcp://a:70000", 1,
		    "listen: 'a:70000' is not an address: expected HOST:PORT, 10.0.0.1:7610 or "
		    "[fe80::1]:7610");
	one_mistake("a\033b = 1", 1, "there is a byte that is not text (0x1b)");
}

static void all_mistakes_at_once(void **state)
{
	struct options options;
	struct config_file file;
	char text[CONFIG_MISTAKES_MAX * 3 + 64], *at = text;

	(void)state;
	options_default(&options);
	file = read_text("slots = 1\nslots = 2\nspin-us = 60\nx = 1\n", &options);
	assert_int_equal(file.count, 3);
	assert_int_equal(file.mistakes[0].line, 1);
	assert_string_equal(file.mistakes[1].text, "slots: is set in line 1 already");
	assert_int_equal(file.mistakes[2].line, 4);
	config_mistake_text("/x.conf", &file.mistakes[1], text, sizeof(text));
	assert_string_equal(text, "/x.conf:2: slots: is set in line 1 already");
	/* Bounded. */
	for (unsigned i = 0; i < CONFIG_MISTAKES_MAX + 8; i++, at += 2)
		memcpy(at, "x\n", 3);
	file = read_text(text, &options);
	assert_int_equal(file.count, CONFIG_MISTAKES_MAX);
}

static void files_that_are_none(void **state)
{
	static char big[CONFIG_FILE_BYTES_MAX + 1];
	struct options options;
	struct config_file file;

	(void)state;
	options_default(&options);
	write_file("slots = 4\0\n", 11);
	config_file_read(&file, path, true, &options);
	assert_int_equal(file.count, 1);
	assert_string_equal(file.mistakes[0].text,
			    "has bytes of value 0: this is no configuration file");
	memset(big, '\n', sizeof(big));
	write_file(big, sizeof(big) - 1);
	config_file_read(&file, path, true, &options);
	assert_int_equal(file.count, 0);
	write_file(big, sizeof(big));
	config_file_read(&file, path, true, &options);
	assert_int_equal(file.count, 1);
	assert_string_equal(file.mistakes[0].text,
			    "is longer than 64 KiB: this is no configuration file");
	config_file_read(&file, "/", false, &options);
	assert_int_equal(file.count, 1);
	assert_string_equal(file.mistakes[0].text, "cannot be read: Is a directory");
	assert_int_equal(file.mistakes[0].line, 0);
	config_file_read(&file, "/nowhere/x", false, &options);
	assert_int_equal(file.count, 0);
	assert_false(file.present);
	config_file_read(&file, "/nowhere/x", true, &options);
	assert_int_equal(file.count, 1);
	assert_string_equal(file.mistakes[0].text, "cannot be read: No such file or directory");
}

/* The file that is installed says what is so without it, option for option. */
static void sample_is_the_defaults(void **state)
{
	FILE *sample = fopen(LS_SAMPLE, "re"), *f = fopen(path, "we");
	struct options options, standard;
	struct config_file file;
	char line[256];

	(void)state;
	assert_non_null(sample);
	assert_non_null(f);
	while (fgets(line, sizeof(line), sample))
		fputs(line[0] == '#' && line[1] != ' ' ? line + 1 : line, f);
	fclose(sample);
	assert_int_equal(fclose(f), 0);
	options_default(&standard);
	options_default(&options);
	config_file_read(&file, path, true, &options);
	assert_int_equal(file.count, 0);
	for (unsigned i = 0; i < OPTIONS; i++) {
		if (options.given[i].source != OPTION_FILE)
			fail_msg("option '%s' is not in the sample", option_table[i].name);
		if (option_table[i].standard)
			assert_string_equal(options.given[i].text, standard.given[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_what_it_says),   cmocka_unit_test(command_line_wins),
		cmocka_unit_test(mistakes_are_told),   cmocka_unit_test(all_mistakes_at_once),
		cmocka_unit_test(files_that_are_none), cmocka_unit_test(sample_is_the_defaults),
	};
	int fd = mkstemp(path), rc;

	if (fd < 0)
		return 1;
	close(fd);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return rc;
}
