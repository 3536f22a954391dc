/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/daemon/watch.h"

_Thread_local struct watch watch;
