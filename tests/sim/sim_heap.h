/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory of the engines, kept apart for each node: a crash takes all of it at once.  The
 * simulator is linked with --wrap for malloc and its kin, so that what an engine allocates
 * is counted for the node that runs; the simulator's own sources go past the wrappers.
 */
#ifndef LS_SIM_HEAP_H
#define LS_SIM_HEAP_H

#include "engine/base/list.h"

/* What the engine allocates from now on belongs to @heap (initialised by its owner). */
void sim_heap_enter(struct list *heap);
/* The engine is gone: frees all that it has not freed. */
void sim_heap_drop(struct list *heap);

#endif
