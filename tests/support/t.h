/* SPDX-License-Identifier: BSD-3-Clause */
/* cmocka's headers in the order that they need. */
#ifndef LS_TESTS_SUPPORT_T_H
#define LS_TESTS_SUPPORT_T_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
