#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a second daemon on the same sockets or state is refused; a socket left by a crash is not.
. "$(dirname "$0")/lib.sh"

start a
again() { # STATE RUN
	timeout "$LS_LIMIT" "$lockstepd" --config /dev/null --node a2 --state "$1" --run "$2" --listen "tcp://127.0.0.1:0"
}
refuses any "another lockstepd|in use" again "$work/b/state" "$work/a/run"
refuses any "another lockstepd|in use" again "$work/a/state" "$work/b/run"
on a status >/dev/null

crash a
[[ -S $(socket_of a) ]] || fail "this test expects the socket of a crashed daemon to be left"
start a
on a status >/dev/null

# Nobody there: the tools say where they looked.
stop a
refuses any "$work/a/run" on a status
refuses any "client.sock" "$ops" "$(socket_of a)" vol flush

# A path that is no socket is left alone.
mkdir -p "$work/c"
echo precious >"$work/c/client.sock"
refuses any "client.sock|socket" again "$work/c-state" "$work/c"
same precious "$(cat "$work/c/client.sock")" "a file where the socket should be"
passed
