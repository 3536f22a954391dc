/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Errors of the control path: a negative errno plus a sentence for the operator that
 * says what happened and what to do.  The data path uses enum ls_status instead.
 */
#ifndef LS_BASE_ERR_H
#define LS_BASE_ERR_H

#include "engine/base/defs.h"

struct err {
	int code; /* 0 or a negative errno */
	char text[400];
};

/* Fills @e (which may be NULL) and returns @code, so that `return err_set(...)` reads well. */
int err_set(struct err *e, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
