#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a service manager hears when the daemon is ready, that both of its threads turn (each sign of
# life went through the shard), and when it stops.
. "$(dirname "$0")/lib.sh"

# await LINE: the next line of the service manager that is not "WATCHDOG=1" must be it.
await() {
	local line
	while read -rt "$LS_LIMIT" -u "$told" line; do
		[[ $line != WATCHDOG=1 || $1 == WATCHDOG=1 ]] || continue
		same "$1" "$line" "a notification"
		return
	done
	fail "no notification '$1'"
}
wakes() { ask a status .shard.loop.wakes; }

exec {told}< <(exec python3 "$here/service_manager.py" 400000 "$lockstepd" --config /dev/null --node a \
	--state "$work/a/state" --run "$work/a/run" --listen tcp://127.0.0.1:0 --polling event 2>"$work/a/log")
manager=$!
background+=("$manager")
await READY=1
read -rt "$LS_LIMIT" -u "$told" line
matches "^STATUS=node a, tcp://127.0.0.1:[0-9]+$" "$line" "the status"
before=$(wakes)
for ((i = 0; i < 20; i++)); do await WATCHDOG=1; done
after=$(wakes)
((after - before >= 20)) || fail "20 signs of life, but the shard woke only $((after - before)) times"
on a shutdown
await STOPPING=1
await_exit "$manager"
same 0 "$status" "exit status"
passed
