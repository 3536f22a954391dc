/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Asks the engine for its status, over control.sock (engine/doc/control.md).  Each question is a
 * connection of its own: an engine that was restarted is not noticed.  Blocks for as long as
 * it is told to, and no longer.  Any thread.
 */
#ifndef LS_EXPORTER_ASK_H
#define LS_EXPORTER_ASK_H

#include "engine/base/err.h"

struct json_object;

/* The longest answer that is read; a thousand volumes take less than 4 MiB. */
#define ASK_ANSWER_MAX MIB(64)

/* *@status is the caller's.  Negative errno and a sentence when there is none in time. */
int ask_status(const char *socket_path, unsigned timeout_ms, struct json_object **status,
	       struct err *err) MUST_CHECK;

#endif
