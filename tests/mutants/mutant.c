/* SPDX-License-Identifier: BSD-3-Clause */
/* Chooses the planted bug of this process: LS_MUTANT in the environment names it. */
#include "engine/base/mutant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_OF(...) #__VA_ARGS__
#define TEXT(...) TEXT_OF(__VA_ARGS__)

enum mutant ls_mutant;

/* The place of @name, as the list has it ("ack-one-leg"), among the names of the enum; 0 = none. */
static enum mutant find(const char *name)
{
	char names[] = TEXT(LS_MUTANTS), wanted[64], *state;
	unsigned at = 0;

	snprintf(wanted, sizeof(wanted), "MUTANT_%s", name);
	for (char *c = wanted + strlen("MUTANT_"); *c; c++)
		*c = *c == '-' ? '_' : (char)(*c - 'a' + 'A');
	for (char *word = strtok_r(names, ", ", &state); word;
	     word = strtok_r(NULL, ", ", &state)) {
		at++;
		if (!strcmp(word, wanted))
			return (enum mutant)at;
	}
	return MUTANT_NONE;
}

__attribute__((constructor)) static void choose(void)
{
	const char *name = getenv("LS_MUTANT");

	if (!name || !*name)
		return;
	ls_mutant = find(name);
	if (ls_mutant)
		return;
	fprintf(stderr, "LS_MUTANT=%s: no such mutant; tests/mutants/list has them\n", name);
	exit(2);
}
