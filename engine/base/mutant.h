/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Planted bugs.  Where the code keeps a promise, MUTANT(NAME) breaks it on purpose, to show that
 * a test notices; tests/mutants/list says what each breaks and who must find it.
 *
 * Only the build of tests/mutants defines LS_MUTANTS (the names, MUTANT_ in front of each), and
 * chooses one when it runs.  In what ships MUTANT() is the constant false: it costs nothing.
 */
#ifndef LS_BASE_MUTANT_H
#define LS_BASE_MUTANT_H

#include <stdbool.h>

#ifdef LS_MUTANTS
enum mutant { MUTANT_NONE, LS_MUTANTS };
extern enum mutant ls_mutant;
#define MUTANT(name) (ls_mutant == MUTANT_##name)
#else
#define MUTANT(name) false
#endif

#endif
