#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The lab, tested for real: each check boots or uses virtual machines. About four minutes under emulation.
# usage: lab-selftest.sh [CHECK...]   (all without an argument; the names are those of the check_ functions below)
# shellcheck disable=SC2016 # what stands in single quotes is for the guest's shell
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
lab=$here/../../tools/lab
one=selftest-one-$$
two=selftest-two-$$
state=${XDG_CACHE_HOME:-$HOME/.cache}/lockstep-lab/labs
work=$(mktemp -d)
failed=0 checks=0

cleanup() {
	"$lab" down --quiet --name "$two" >/dev/null 2>&1
	"$lab" down --quiet --name "$one" >/dev/null 2>&1
	"$lab" remove --name "$one" 2>/dev/null
	"$lab" remove --name "$two" 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

ok() { # WHAT CONDITION...: one line, counted
	local what=$1
	shift
	checks=$((checks + 1))
	if "$@"; then
		echo "  ok      $what"
	else
		echo "  FAILED  $what"
		failed=$((failed + 1))
	fi
}
is() { [[ $1 == "$2" ]] || { echo "    got '$1', not '$2'"; return 1; }; }
has() { [[ $1 == *"$2"* ]] || { printf '    no "%s" in:\n%s\n' "$2" "$1" | tail -n 20; return 1; }; }
lacks() { [[ $1 != *"$2"* ]]; }
run() { "$lab" run --quiet --name "$one" "$@"; }
on() { # NODE CMD...: in the lab of two that is up
	local node=$1
	shift
	"$lab" exec --quiet --name "$two" --node "$node" -- "$@"
}

# By a file: the pattern must not stand in the command line of the grep that looks for it.
processes_of() { grep -lsF -f <(echo "labs/$1/") /proc/[0-9]*/cmdline; }

# Nothing of a lab may run, or lie about, but its devices, logs and share.
nothing_left() { # NAME
	local left
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		left=$(processes_of "$1"
			find "$state/$1" \( -name '*.pid' -o -type p -o -type s -o -name ctl \) 2>/dev/null)
		[[ -n $left ]] || return 0
		sleep 0.3
	done
	echo "    left: $left"
	return 1
}

check_run() {
	local out err rc
	out=$("$lab" run --fresh --name "$one" -- bash -c 'echo out; echo err >&2; exit 7' 2>"$work/err")
	rc=$?
	ok "exit status comes back" is $rc 7
	ok "stdout comes back alone" is "$out" out
	err=$(<"$work/err")
	ok "stderr comes back" has "$err" err
	ok "boot time is told" has "$err" "up in"
	sed -n 's/^lab: .*\(up in.*\)/  figure  one VM: \1/p' "$work/err"
	ok "nothing is left" nothing_left "$one"

	head -c 1000000 /dev/urandom >"$work/bytes"
	mkdir -p "$work/a share"
	cp "$work/bytes" "$work/a share/in"
	A_VALUE='two  words' run --share "$work/a share" --env A_VALUE --env B='$x' -- \
		bash -c 'cat "$LAB_SHARE/in"; printf "%s|%s|%s|%s" "$A_VALUE" "$B" "$LAB_NODE" "$PWD" >"$LAB_SHARE/out"' >"$work/back"
	ok "1 MB of any bytes comes back" cmp "$work/bytes" "$work/back"
	ok "environment, working directory and share" is "$(cat "$work/a share/out")" "two  words|\$x|a|$PWD"

	ok "a command that does not exist" is "$(run -- no-such-command >/dev/null 2>&1; echo $?)" 127
}

check_devices() {
	local out
	out=$(run -- bash -c 'ls /dev/ng*n1 /dev/nvme?; rdma link; ulimit -l; cat /sys/class/infiniband/rxe0/ports/1/gids/1
		ls -l /dev/infiniband; cat /sys/class/net/d0/mtu; ! command -v ibv_devinfo >/dev/null || ibv_devinfo; lsmod')
	ok "two NVMe controllers" has "$out" $'/dev/ng0n1\n/dev/ng1n1\n/dev/nvme0\n/dev/nvme1\n'
	ok "rxe0 is active" has "$out" "rxe0/1 state ACTIVE"
	ok "its GID 1 is 10.77.0.1" has "$out" "ffff:0a4d:0001"
	ok "memory may be locked" has "$out" unlimited
	ok "rdma_cm and uverbs are there" has "$out" uverbs0
	ok "MTU 9000" has "$out" $'\n9000\n'
	ok "nbd is loaded" has "$out" $'\nnbd '
}

check_rdma() {
	local out
	out=$(run -- bash -c '
		ib_write_lat -R -s 64 -n 2000 >/dev/null &
		until rdma resource show cm_id | grep -q LISTEN; do sleep 0.1; done
		ib_write_lat -R -s 64 -n 2000 "$LAB_IP" && wait $!' 2>&1)
	ok "ib_write_lat by rdmacm within one VM" has "$out" "2000 "
	awk '$1 == 64 && $2 == 2000 {print "  figure  one VM, 64 B write, one way: typically " $5 " us"}' <<<"$out"
}

check_persistence() {
	run -- bash -c 'echo kept | dd of=/dev/nvme1n1 bs=512 conv=sync,fsync status=none'
	ok "devices persist from boot to boot" is "$(run -- head -c 4 /dev/nvme1n1)" kept
	ok "--fresh makes new ones" is "$(run --fresh --lba 4096 --disk-size 64M -- bash -c 'head -c 4 /dev/nvme1n1 | tr -d "\0"; blockdev --getss --getsize64 /dev/nvme1n1' | xargs)" "4096 67108864"
	ok "another size is refused" has "$(run --disk-size 65M -- true 2>&1)" "--fresh"
}

check_trouble() {
	local err pid rc
	run --timeout 3 -- sleep 1000 2>/dev/null
	ok "--timeout" is $? 124
	err=$(run -- bash -c 'echo WARNING: made up >/dev/kmsg; echo "<3>BUG: made up" >/dev/kmsg' 2>&1)
	ok "a complaint of the guest's kernel is told" has "$err" NOTICE
	err=$(run -- bash -c 'echo before; echo c >/proc/sysrq-trigger; sleep 100' 2>&1)
	rc=$?
	ok "a panic ends the run" is $rc 125
	ok "what was printed before a panic is not lost" has "$err" before
	ok "the panic is shown" has "$err" "Kernel panic"

	for signal in INT TERM KILL; do
		# A background command ignores INT from its birth; env undoes that.
		env --default-signal=INT "$lab" run --quiet --name "$one" -- sleep 1000 2>/dev/null &
		pid=$!
		until [[ -e $state/$one/a/ctl/ready ]]; do sleep 0.1; done
		if [[ $signal == INT ]]; then
			err=$("$lab" run --name "$one" -- true 2>&1)
			ok "the same name twice is refused" has "$err" "in use"
		fi
		kill -$signal $pid
		{ wait $pid; } 2>/dev/null
		rc=$?
		ok "exit status after SIG$signal" is $rc $((128 + $(kill -l $signal)))
		if [[ $signal == KILL ]]; then
			sleep 0.5
			ok "no process is left after SIGKILL" is "$(processes_of "$one")" ""
		else
			ok "nothing is left after SIG$signal" nothing_left "$one"
		fi
	done
	ok "and the lab works again" run -- true
}

check_shell() {
	local out
	out=$(printf 'echo $((6*7)) on $LAB_NODE\nexit 5\n' | "$lab" shell --quiet --name "$one" 2>&1)
	ok "a shell's exit status" is $? 5
	ok "a shell's output" has "$out" "42 on a"
	ok "nothing is left" nothing_left "$one"
}

check_two_nodes() {
	local out rc
	out=$("$lab" run --nodes 2 --name "$two" --fresh -- bash -c 'echo "I am $LAB_NODE, $LAB_IP to $LAB_PEER_IP"; [[ $LAB_NODE == a ]] || exit 9' 2>"$work/err")
	rc=$?
	ok "status of the node that failed" is $rc 9
	ok "output of a" has "$out" "a| I am a, 10.77.0.1 to 10.77.0.2"
	ok "output of b" has "$out" "b| I am b, 10.77.0.2 to 10.77.0.1"
	sed -n 's/^lab: .*\(up in.*\)/  figure  two VMs: \1/p' "$work/err"
	ok "nothing is left" nothing_left "$two"
	# For one CPU alone the emulator leaves out memory barriers (tools/lab says what becomes of that); KVM has its own.
	"$lab" run --quiet --nodes 2 --name "$two" -- bash -c '[[ $LAB_ACCEL == kvm || $(</sys/devices/system/cpu/possible) == *-* ]]'
	ok "no node is emulated without memory barriers" is $? 0
	out=$("$lab" run --quiet --nodes 2 --name "$two" -- bash -c '
		# Only one attempt: a server whose client gave up half-way waits for ever.
		if [[ $LAB_NODE == b ]]; then
			until [[ -e $LAB_SHARE/listens ]]; do sleep 0.1; done
			exec ib_send_lat -R -s 64 -n 500 "$LAB_PEER_IP"
		fi
		ib_send_lat -R -s 64 -n 500 &
		until rdma resource show cm_id | grep -q LISTEN; do sleep 0.1; done
		touch "$LAB_SHARE/listens"
		wait $!' 2>&1)
	ok "ib_send_lat over the wire" is $? 0
	awk '$1 == "b|" && $2 == 64 && $3 == 500 {print "  figure  two VMs, 64 B send, one way: typically " $6 " us"}' <<<"$out"
}

ping_a_to_b() { on a busybox ping -c 3 -W 1 10.77.0.2 2>&1; }

check_link() {
	local out
	"$lab" up --quiet --name "$two" --nodes 2 || return
	ok "up twice is refused" has "$("$lab" up --name "$two" --nodes 2 2>&1)" "in use"
	ok "ping" has "$(ping_a_to_b)" " 0% packet loss"
	"$lab" link --quiet --name "$two" down
	ok "link down: nothing passes" has "$(ping_a_to_b)" "100% packet loss"
	ok "link down: the guest sees it" is "$(on b cat /sys/class/net/eth0/carrier)" 0
	"$lab" link --quiet --name "$two" up
	ok "link up" has "$(ping_a_to_b)" " 0% packet loss"
	"$lab" link --quiet --name "$two" delay 100
	ok "link delay" has "$(ping_a_to_b)" "avg/max = 20"
	"$lab" link --quiet --name "$two" loss 100
	ok "link loss" has "$(ping_a_to_b)" "100% packet loss"
	"$lab" link --quiet --name "$two" clear
	out=$(ping_a_to_b)
	ok "link clear" has "$out" " 0% packet loss"
	ok "link clear: no delay" lacks "$out" "avg/max = 20"

	"$lab" power-cut --quiet --name "$two" b
	ok "a runs on when b's power is cut" has "$(ping_a_to_b)" "100% packet loss"
	"$lab" up --quiet --name "$two" --node b
	ok "b comes back" has "$(ping_a_to_b)" " 0% packet loss"
	"$lab" power-cut --quiet --name "$two" a
	"$lab" up --quiet --name "$two" --node a
	ok "a comes back, and b is wired to it" has "$(ping_a_to_b)" " 0% packet loss"
	on a bash -c 'echo stopped; sleep 1000' >"$work/out" 2>"$work/err" &
	sleep 2
	"$lab" power-cut --quiet --name "$two" a
	wait $!
	ok "a power cut ends the command" is $? 125
	ok "its output before that is there" is "$(<"$work/out")" stopped
	"$lab" down --quiet --name "$two"
	ok "nothing is left after down" nothing_left "$two"
}

# Three blocks: written and flushed, written and not flushed, and a cut.
check_wire() { # a node that loses its power under a flood, and comes back
	local node
	"$lab" up --quiet --name "$two" --nodes 2 --fresh
	for node in a b a; do
		flood a 10.77.0.2
		flood b 10.77.0.1
		"$lab" power-cut --quiet --name "$two" "$node"
		"$lab" up --quiet --name "$two" --node "$node"
		ok "a reaches b after a power cut of $node" has "$(reach a 10.77.0.2)" "Connection refused"
		ok "b reaches a after a power cut of $node" has "$(reach b 10.77.0.1)" "Connection refused"
	done
	"$lab" down --quiet --name "$two"
}
flood() { # NODE TO: four processes that send as fast as they can
	"$lab" exec --quiet --name "$two" --node "$1" -- bash -c 'for i in 1 2 3 4; do
		(setsid bash -c "while :; do head -c 8000 /dev/zero >/dev/udp/'"$2"'/9; done" >/dev/null 2>&1 &)
	done'
}
reach() { "$lab" exec --quiet --name "$two" --node "$1" -- timeout 20 bash -c "exec 3<>/dev/tcp/$2/22" 2>&1; }

check_volatile() {
	"$lab" up --quiet --fresh --name "$two" --nodes 2 --volatile || return
	on b bash -c 'printf flushed | dd of=/dev/nvme0n1 bs=4096 conv=sync,fsync oflag=direct status=none
		printf unflushed | dd of=/dev/nvme0n1 bs=4096 seek=1 conv=sync oflag=direct status=none
		head -c 4105 /dev/nvme0n1 | tail -c 9' >"$work/before"
	ok "before the cut both can be read" is "$(<"$work/before")" unflushed
	"$lab" power-cut --quiet --name "$two" b
	"$lab" up --quiet --name "$two" --node b
	on b head -c 4105 /dev/nvme0n1 >"$work/after"
	ok "what was flushed survives" is "$(head -c 7 "$work/after")" flushed
	ok "what was not is gone" is "$(tail -c 9 "$work/after" | tr -d '\0')" ""
	on b bash -c 'printf orderly | dd of=/dev/nvme0n1 bs=4096 seek=2 conv=sync oflag=direct status=none'
	"$lab" down --quiet --name "$two"
	"$lab" up --quiet --name "$two" --nodes 2 --volatile
	ok "nothing is lost by an orderly end" is "$(on b bash -c 'head -c 8199 /dev/nvme0n1 | tail -c 7')" orderly
	"$lab" down --quiet --name "$two"
	ok "nothing is left" nothing_left "$two"
}

check_side_by_side() {
	"$lab" run --quiet --name "$two" -- true &
	ok "two labs of different names at once" run -- true
	wait $!
	ok "the other one, too" is $? 0
}

names=("$@")
if ((${#names[@]} == 0)); then names=(run devices rdma persistence trouble shell two_nodes link volatile side_by_side); fi
"$lab" doctor || exit 1
for name in "${names[@]}"; do
	echo "$name (${SECONDS} s)"
	"check_$name"
done
echo "$((checks - failed)) of $checks checks passed in $SECONDS s"
((failed == 0))
