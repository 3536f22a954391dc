#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a volume whose target has found another partner says what it likes: nothing that it asks for
# touches the new mirror.
. "$(dirname "$0")/lib.sh"

two_nodes
mirrored vol 16M
at_b=$(socket_of b)

# The target becomes a volume of its own while a is away, and is mirrored to a again, to another volume.
mark b
stop a
await_log b "session up -> down"
on b unpair vol >/dev/null
on b promote vol >/dev/null
mark a
start a
await_log a "session down -> up"
on b pair vol --peer a --target vol2 >/dev/null
same synced "$(volume_field b vol mirror)" "the new mirror at b"
same synced "$(volume_field a vol2 mirror)" "the new mirror at a"

# At a the old record is still there.  It writes alone, and is broken and unpaired, as b's advice is.
"$ops" "$(socket_of a)" vol write:0:64K:1 flush
same alone "$(volume_field a vol mirror)" "the mirror that was left behind"
on a break vol >/dev/null || true
same synced "$(volume_field b vol mirror)" "the new mirror at b, after a break of the old one"
on a unpair vol >/dev/null
same synced "$(volume_field b vol mirror)" "the new mirror at b, after the old one was unpaired"
same synced "$(volume_field a vol2 mirror)" "the new mirror at a, after the old one was unpaired"
"$ops" "$at_b" vol write:0:1M:2 flush
on b verify vol >/dev/null
same synced "$(volume_field a vol2 mirror)" "the new mirror at a, in the end"
passed
