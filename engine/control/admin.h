/* SPDX-License-Identifier: BSD-3-Clause */
/* What control/ shares of the administration of volumes. */
#ifndef LS_CONTROL_ADMIN_H
#define LS_CONTROL_ADMIN_H

#include <stdbool.h>

struct engine;
struct job;
struct volume;

/* True: nobody uses @volume, and no peer counts on it.  False: @job has ended and says why. */
bool volume_may_go(const struct engine *engine, struct job *job, const struct volume *volume);

/* Of each tick: has volumes whose delete failed listed again. */
void volumes_undelete(struct engine *engine);

#endif
