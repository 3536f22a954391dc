/* SPDX-License-Identifier: BSD-3-Clause */
/* Included before everything in the simulator's own sources: their memory is no engine's. */
#ifndef LS_SIM_REAL_H
#define LS_SIM_REAL_H

#define malloc __real_malloc
#define calloc __real_calloc
#define aligned_alloc __real_aligned_alloc
#define free __real_free

#endif
