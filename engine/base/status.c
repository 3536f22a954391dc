/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/include/lockstep.h"

/* No default: the compiler names a status that has no sentence. */
const char *ls_status_text(enum ls_status status)
{
	switch (status) {
	case LS_OK:
		return "done";
	case LS_INVALID:
		return "unknown operation or flag, or zero length";
	case LS_UNALIGNED:
		return "offset or length is not a multiple of the block size";
	case LS_OUT_OF_RANGE:
		return "beyond the end of the volume";
	case LS_TOO_LARGE:
		return "longer than one request may be";
	case LS_BAD_BUFFER:
		return "the buffer is not inside the arena, or not aligned";
	case LS_NO_VOLUME:
		return "no such volume, or it is not open on this connection";
	case LS_NOT_PRIMARY:
		return "the volume is the target of a mirror on this node";
	case LS_NO_PEER:
		return "the mirror's peer is not connected: nothing was written";
	case LS_BUSY:
		return "an administrator's operation holds the volume";
	case LS_LOCAL_IO:
		return "the local device failed";
	case LS_PEER_IO:
		return "the peer's device failed";
	case LS_BOTH_IO:
		return "the local and the peer's device failed";
	case LS_PEER_LOST:
		return "the peer was lost meanwhile: it may or may not have the write";
	case LS_CHECKSUM:
		return "the data did not match its checksum at the peer";
	case LS_PROTOCOL:
		return "the peer did not take the request";
	case LS_NO_SPACE:
		return "the device has no room";
	case LS_SHUTDOWN:
		return "the engine is stopping";
	}
	return "unknown status";
}
