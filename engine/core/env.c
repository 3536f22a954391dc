/* SPDX-License-Identifier: BSD-3-Clause */
/* What the pure code says to its surroundings. */
#include "engine/core/core.h"

#include <stdarg.h>
#include <stdio.h>

void core_log(const struct core *core, int level, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	core->env.log(core->env.ctx, level, text);
}

void core_event(struct core *core, const struct engine_event *event)
{
	struct engine_event e = *event;
	char text[EVENT_TEXT_MAX];

	e.sequence = ++core->events;
	e.at_ns = core->now_ns;
	if (core->env.event) {
		core->env.event(core->env.ctx, &e);
		return;
	}
	event_text(&e, text);
	core->env.log(core->env.ctx, e.level, text);
}

void core_administer(const struct core *core, bool begin)
{
	if (core->env.administering)
		core->env.administering(core->env.ctx, begin);
}
