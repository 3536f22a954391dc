/* SPDX-License-Identifier: BSD-3-Clause */
/* Compiles as C99 without extensions: nothing else is asked of it. */
#include <lockstep.h>

int client_header_c99(struct ls_connection *c);

int client_header_c99(struct ls_connection *c)
{
	struct ls_completion done;

	return ls_flush(c, 0, 1) ? -1 : ls_wait(c, &done, 1, -1);
}
