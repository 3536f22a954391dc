#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# One node of the lab's torture, in its virtual machine: does what lab.py appends to a file in the
# share, a line each, "ID VERB ARGS...", many at a time; what each printed is in ID.reply, last its
# exit status.  (A job of tools/lab for each would cost a second or more of an emulated machine.)
# usage: guest.sh SHARE BOOT
set -uo pipefail

share=$1 boot=$2
run=/run/lockstep-torture
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
lockstep=("$LS_BUILD/tools/lockstep/lockstep" --run "$run")
writer=$LS_BUILD/tests/torture/torture-writer
mkdir -p $run

engine_start() {
	setsid "$LS_BUILD/engine/daemon/lockstepd" --config /dev/null --node "$LAB_NODE" --state "$share/state-$LAB_NODE" --run $run \
		--listen "rdma://$LAB_IP:7610" --peer-timeout-ms "$1" >$run/out 2>>"$share/log-$LAB_NODE" </dev/null &
	echo $! >$run/pid
	# tail ends with the daemon, so that a daemon that fails ends this at once.
	timeout 90 grep -m 1 '^ready' <(exec tail -n +1 -s 0.1 -f --pid=$! $run/out)
}

# The process is gone when this returns.
await_end() { timeout "$2" tail --pid="$1" -s 0.05 -f /dev/null; }

engine_kill() {
	local pid
	pid=$(<$run/pid)
	kill -KILL "$pid" && await_end "$pid" 30
}

writer_start() { # LEDGER ARGS...: goes on when this ends
	local ledger=$1
	shift
	{
		"$writer" "$run/client.sock" "$@" "$ledger" >"$ledger.out" 2>&1 3<&- &
		echo $! >"$run/${ledger##*/}.pid"
		wait $!
		echo $? >"$ledger.status"
	} >/dev/null 2>&1 &
}

# A writer's number is there a moment after writer_start() has returned.
writer_pid() { # LEDGER
	until [[ -s $run/${1##*/}.pid ]]; do read -rt 0.05 <> <(:); done
	cat "$run/${1##*/}.pid"
}

writer_end() { # LEDGER SIGNAL
	local pid
	pid=$(writer_pid "$1")
	kill "-$2" "$pid" 2>/dev/null
	await_end "$pid" 120
}

handle() {
	local id=$1 verb=$2 out rc=0
	shift 2
	out=$(
		case $verb in
		start) engine_start "$@" ;;
		kill) engine_kill ;;
		signal) kill "-$1" "$(<$run/pid)" ;;
		alive) kill -0 "$(<$run/pid)" ;;
		lockstep) timeout "$1" "${lockstep[@]}" --json "${@:2}" ;;
		writer) writer_start "$@" ;;
		tell-writer) kill "$(writer_pid "$1")" ;;
		end-writer) writer_end "$@" ;;
		digest) timeout 120 "$writer" --digest $run/client.sock "$1" ;;
		*) exit 2 ;;
		esac 2>&1
	) || rc=$?
	printf '%s\n%s\n' "$out" "$rc" >"$share/$id.new"
	mv "$share/$id.new" "$share/$id.reply"
}

echo "guest.sh is there"
while read -r -a words; do
	handle "${words[@]}" 3<&- &
done < <(exec tail ---disable-inotify -n +1 -s 0.05 -f "$share/commands-$LAB_NODE-$boot") # the host writes it
