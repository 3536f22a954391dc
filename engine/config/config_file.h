/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration file of lockstepd: lines "option = value", comments from '#' on.  All mistakes
 * of a file are found at once.  Used by the daemon and by `lockstep config check`.
 */
#ifndef LS_CONFIG_FILE_H
#define LS_CONFIG_FILE_H

#include "engine/config/options.h"

#define CONFIG_PATH_DEFAULT "/etc/lockstep/lockstepd.conf"
#define CONFIG_FILE_BYTES_MAX (64u << 10)
#define CONFIG_MISTAKES_MAX 32

struct config_mistake {
	unsigned line; /* 0 = the file as a whole */
	char text[500];
};

struct config_file {
	bool present; /* it is there; its absence is a mistake only where it was asked for */
	unsigned count; /* of mistakes[] */
	struct config_mistake mistakes[CONFIG_MISTAKES_MAX];
};

/*
 * Reads @path; sets each option that it has, but for those of the command line.  Those of a line
 * that is wrong stay as they are.  @must: without the file it is a mistake.
 */
void config_file_read(struct config_file *file, const char *path, bool must,
		      struct options *options);

/* "PATH:LINE: TEXT", a sentence for a person. */
void config_mistake_text(const char *path, const struct config_mistake *mistake, char *out,
			 size_t room);

#endif
