/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of lockstepd, and with it the configuration file. */
#ifndef LS_DAEMON_COMMAND_LINE_H
#define LS_DAEMON_COMMAND_LINE_H

#include "engine/config/config_file.h"

/*
 * Exits with a sentence (status 2) when the command line or the file makes no sense: starting
 * again would not help.  @file has the path that was read, or "" when there is none.
 */
void command_line_parse(struct options *options, int argc, char **argv,
			char file[OPTION_TEXT_MAX + 1]);

#endif
