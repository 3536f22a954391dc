/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LS_DAEMON_WAKE_COST_H
#define LS_DAEMON_WAKE_COST_H

#include <stdint.h>

/*
 * What a sleep and its wake-up by another thread cost on this machine, in nanoseconds: a few
 * microseconds on bare metal, a hundred and more where a hypervisor has to wake a virtual CPU.
 * Measured for at most some 20 ms, with a thread of its own.  0: could not be measured.
 */
uint64_t wake_cost_ns(void);

#endif
