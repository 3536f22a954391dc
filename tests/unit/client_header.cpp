// SPDX-License-Identifier: BSD-3-Clause
// Compiles as C++17: nothing else is asked of it.
#include <lockstep.h>

const char *client_header_cxx(const ls_completion &done);

const char *client_header_cxx(const ls_completion &done)
{
	return ls_status_text(static_cast<ls_status>(done.status));
}
