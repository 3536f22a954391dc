# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Harness of the system tests: two real daemons, a and b, on one host, and words to say what
# must hold.  The same scripts run natively over TCP and files, and in the lab over RDMA and
# NVMe; these variables say what they run on:
#
#   LS_BUILD      build folder (default: build/release)
#   LS_CLIENTS    build folder of the programs beside the daemons: lockstep, ops, answer (default: the same)
#   LS_TRANSPORT  tcp (default) or rdma
#   LS_HOST       address that both daemons listen on (default: 127.0.0.1)
#   LS_DEVS_A, LS_DEVS_B   devices of the nodes, by blanks (default: files that are made)
#
# Nothing here sleeps: a test waits for an event (a line, the end of a process) with a time limit.
# Exit status 77 = skipped, with the reason on standard output.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
top=$(cd "$here/../.." && pwd -P)
: "${LS_BUILD:=$top/build/release}" "${LS_TRANSPORT:=tcp}" "${LS_HOST:=127.0.0.1}"
: "${LS_DISK_SIZE:=256M}" "${LS_DEVS_A:=}" "${LS_DEVS_B:=}"
# What the packages of tools/packages installed, and not what a user has put in front of it.
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
: "${LS_LIMIT:=20}" # seconds that anything may take, unless it says otherwise
: "${LS_ROUNDS:=3}" # how often a test does what it does again and again

lockstepd=$LS_BUILD/engine/daemon/lockstepd
: "${LS_CLIENTS:=$LS_BUILD}"
lockstep=$LS_CLIENTS/tools/lockstep/lockstep
ops=$LS_CLIENTS/tests/system/ops
read_answer=$LS_CLIENTS/tests/system/answer
# AddressSanitizer's look for leaks takes two thirds of the time of programs that run for a moment and leave everything to the
# kernel: it is for the daemons only.
daemon_asan=${ASAN_OPTIONS:-}
[[ -z $daemon_asan ]] || export ASAN_OPTIONS=$daemon_asan:detect_leaks=0

declare -A node_pid=() node_uri=() node_starts=()
background=()

explain() { printf '%s: %s\n' "$(basename "$0")" "$*"; }
skip() {
	explain "SKIP: $*"
	[[ -z ${LS_REQUIRE:-} ]] || exit 1
	exit 77
}
fail() {
	explain "FAILED: $*"
	explain "in line ${BASH_LINENO[-2]} of the test" # the outermost frame but one: main has no line
	exit 1
}

# need WORD...: a program, "root", "tcp" or "rdma".
need() {
	local one
	for one; do
		case $one in
		root) ((EUID == 0)) || skip "needs root" ;;
		tcp | rdma) [[ $LS_TRANSPORT == "$one" ]] || skip "is about the $one link" ;;
		files) [[ -z $LS_DEVS_A ]] || skip "is about file stores" ;;
		*) type "$one" >/dev/null 2>&1 || skip "needs $one" ;;
		esac
	done
}

### Nodes

# Ends in the reverse order of what started, and shows the logs when the test failed.
cleanup() {
	local rc=$? pid node
	trap - EXIT
	set +e
	for pid in "${background[@]}" "${node_pid[@]}"; do
		kill -CONT "$pid" 2>/dev/null
		kill -KILL "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	if ((rc != 0 && rc != 77)); then
		for node in a b; do
			[[ -s $work/$node/log ]] || continue
			echo "--- log of node $node, last lines"
			tail -n 40 "$work/$node/log"
		done
	fi
	[[ -n ${LS_KEEP:-} ]] || rm -rf "$work"
	exit $rc
}

work=$(mktemp -d "${TMPDIR:-/tmp}/ls-test.XXXXXX")
mkdir "$work/a" "$work/b"
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

devices_of() { if [[ $1 == a ]]; then echo "$LS_DEVS_A"; else echo "$LS_DEVS_B"; fi; }
# device NODE [N]: the N-th device of the node, from 0.
device() {
	local devices
	read -ra devices <<<"$(devices_of "$1")"
	if ((${#devices[@]} == 0)); then
		echo "$work/$1/disk${2:-0}"
	elif ((${#devices[@]} > ${2:-0})); then
		echo "${devices[${2:-0}]}"
	else
		fail "node $1 has ${#devices[@]} devices only"
	fi
}

# Address of the node's daemon: a port that is free over TCP, a fixed one over RDMA.
listen_uri() {
	if [[ $LS_TRANSPORT == tcp ]]; then
		echo "tcp://$LS_HOST:0"
	elif [[ $1 == a ]]; then
		echo "rdma://$LS_HOST:7610"
	else
		echo "rdma://$LS_HOST:7611"
	fi
}

# start NODE [OPTION...]: a lockstepd; returns when it is ready, fails when it ends instead.
start() {
	local node=$1 line="" fd uri
	shift
	uri=${node_uri[$node]:-$(listen_uri "$node")} # a restarted one keeps its port
	rm -f "$work/$node/out"
	mkfifo "$work/$node/out"
	# Not the configuration of this host.
	ASAN_OPTIONS=$daemon_asan "$lockstepd" --config /dev/null --node "$node" --state "$work/$node/state" --run "$work/$node/run" \
		--listen "$uri" "$@" >"$work/$node/out" 2>>"$work/$node/log" &
	node_pid[$node]=$!
	exec {fd}<"$work/$node/out"
	while read -rt "$LS_LIMIT" -u "$fd" line; do
		[[ $line != ready* ]] || break
	done
	[[ $line == ready* ]] || fail "lockstepd of node $node did not become ready: $(tail -n 3 "$work/$node/log")"
	node_uri[$node]=$(grep -oE '(tcp|rdma)://[^ ]+' <<<"$line" | head -n 1)
	node_starts[$node]=$((${node_starts[$node]:-0} + 1))
}

# await_exit PID [SECONDS]: its exit status, in $status.
await_exit() {
	local pid=$1
	# `tail --pid` returns when the process has ended, a child that nobody waited for included.
	timeout "${2:-$LS_LIMIT}" tail --pid="$pid" -s 0.05 -f /dev/null ||
		fail "process $pid did not end within ${2:-$LS_LIMIT} s"
	status=0
	wait "$pid" || status=$?
}

# stop NODE: an orderly end, which must succeed.
stop() {
	kill -TERM "${node_pid[$1]}"
	await_exit "${node_pid[$1]}"
	unset "node_pid[$1]"
	((status == 0)) || fail "lockstepd of node $1 ended with status $status"
}

# crash NODE: kill -9.
crash() {
	kill -KILL "${node_pid[$1]}"
	wait "${node_pid[$1]}" 2>/dev/null || true
	unset "node_pid[$1]"
}
freeze() { kill -STOP "${node_pid[$1]}"; }
thaw() { kill -CONT "${node_pid[$1]}"; }
alive() { kill -0 "${node_pid[$1]}" 2>/dev/null || fail "lockstepd of node $1 is dead"; }

# in_background CMD...: its number is in $job afterwards.
in_background() {
	"$@" &
	job=$!
	background+=("$job")
}

# perftest TOOL OPTIONS...: both ends of it on this host, over RDMA; prints what its client printed.  A server whose client
# gave up half-way waits for ever, for another one, too: the client comes when the server listens, once.
perftest() {
	local tool=$1 server rc=0
	shift
	in_background "$tool" -R -p 18515 "$@" >"$work/perftest.server" 2>&1
	server=$job
	# It does not say when it listens.
	until rdma resource show cm_id | grep -q 'LISTEN.*:18515'; do
		kill -0 "$server" 2>/dev/null || return 1
	done
	timeout 30 "$tool" -R -p 18515 "$@" "$LS_HOST" || rc=$?
	((rc == 0)) || kill "$server" 2>/dev/null || true
	await_exit "$server" 30
	return $rc
}

# mark NODE...: await_log looks only behind this point of their logs.
declare -A log_mark=()
mark() {
	local node
	for node; do log_mark[$node]=$(wc -l <"$work/$node/log"); done
}
# await_log NODE REGEX [SECONDS]: such a line is in the node's log, or comes.  Every change of a
# mirror's state is one: "volume 'x': old -> new".
await_log() {
	local fd follower rc=0
	exec {fd}< <(exec tail -n "+$((${log_mark[$1]:-0} + 1))" -s 0.1 -f "$work/$1/log")
	follower=$!
	timeout "${3:-$LS_LIMIT}" grep -qm 1 -E -- "$2" <&"$fd" || rc=$?
	kill "$follower" 2>/dev/null || true
	exec {fd}<&-
	((rc == 0)) || fail "no line '$2' in the log of node $1 within ${3:-$LS_LIMIT} s"
}

### What an administrator says

# on NODE ARGS...: lockstep, talking to that node.
on() {
	local node=$1
	shift
	timeout "${LIMIT:-60}" "$lockstep" --run "$work/$node/run" "$@"
}
socket_of() { echo "$work/$1/run/client.sock"; }

# ask NODE 'ARGS' FILTER: jq over the JSON answer.
ask() {
	# shellcheck disable=SC2086 # words
	on "$1" --json $2 | jq -r "$3"
}
# One value of what a node says about itself, a volume, a peer.
node_address() { ask "$1" status .address; }
volume_field() { on "$1" --json volume list | "$read_answer" field volumes "$2" "$3"; }
peer_field() { on "$1" --json peer list | "$read_answer" field peers "$2" "$3"; }

# pool NODE NAME [HOW MANY DEVICES] [FROM WHICH]
pool() {
	local node=$1 name=$2 n devices=()
	for ((n = ${4:-0}; n < ${4:-0} + ${3:-1}; n++)); do devices+=("$(device "$node" "$n")"); done
	if [[ -n $(devices_of "$node") ]]; then
		on "$node" pool create "$name" "${devices[@]}" --force >/dev/null
	else
		on "$node" pool create "$name" "${devices[@]}" --size "$LS_DISK_SIZE" >/dev/null
	fi
}

# introduce: both nodes know each other, and share a key.
introduce() {
	on a key create "$work/key" >/dev/null
	on a peer add b --address "${node_uri[b]#*://}" --key-file "$work/key" >/dev/null
	on b peer add a --address "${node_uri[a]#*://}" --key-file "$work/key" >/dev/null
}

# two_strangers [OPTION...]: both started, with a pool each.
two_strangers() {
	start a "$@"
	start b "$@"
	pool a pool-a
	pool b pool-b
}

# two_nodes [OPTION...]: the same, and introduced.
two_nodes() {
	two_strangers "$@"
	introduce
}

# mirrored NAME SIZE [FROM TO]: a volume at FROM (default a), paired with TO, in sync.
mirrored() {
	on "${3:-a}" volume create "$1" --size "$2" >/dev/null
	on "${3:-a}" pair "$1" --peer "${4:-b}" >/dev/null
}

### What must hold

# same EXPECTED FOUND WHAT
same() { [[ $1 == "$2" ]] || fail "$3: expected '$1', found '$2'"; }

# matches REGEX TEXT WHAT
matches() { grep -qE -- "$1" <<<"$2" || fail "$3: '$2' does not have '$1'"; }

# refuses STATUS REGEX CMD...: CMD exits with that status and says so in one clear sentence.
# STATUS "any" = not 0.
refuses() {
	local expected=$1 regex=$2 rc=0
	shift 2
	said=$("$@" 2>&1 </dev/null) || rc=$?
	if [[ $expected == any ]]; then
		((rc != 0 && rc < 124)) || fail "\`$*\` exited with $rc: $said"
	else
		((rc == expected)) || fail "\`$*\` exited with $rc, not $expected: $said"
	fi
	matches "$regex" "$said" "\`$*\`"
	echo "refused: $said"
}

# extents NODE VOLUME: "PATH OFFSET LENGTH" lines, where its bytes lie on the devices.
extents() { on "$1" --json volume list | "$read_answer" extents "$2"; }

# raw NODE VOLUME: all of its bytes, read from the devices past the engine and the page cache.  What cannot be read is a
# sentence that names the node, so that it equals nothing.
raw() {
	local path offset length where
	where=$(extents "$1" "$2") || {
		echo "the extents of $2 at node $1 are not known"
		return
	}
	while read -r path offset length; do
		dd if="$path" iflag=direct,skip_bytes,count_bytes,fullblock bs=1M skip="$offset" count="$length" status=none ||
			echo "$path of node $1 could not be read"
	done <<<"$where"
}

# legs_equal VOLUME [AT B] [NODES]: byte by byte, on the devices.
legs_equal() {
	local from=${3:-a} to=${4:-b}
	cmp <(raw "$from" "$1") <(raw "$to" "${2:-$1}") >"$work/cmp" 2>&1 ||
		fail "the legs of $1 differ: $(cat "$work/cmp")"
}

# digest NODE VOLUME: of the bytes on the devices.
digest() { raw "$1" "$2" | sha256sum | cut -d' ' -f1; }

# logs_clean: nothing in the logs that must never be there.
logs_clean() {
	local bad
	bad=$(cat "$work"/?/log | grep -nE 'Assertion|Sanitizer|runtime error|BUG|panic' | head -n 5) || true
	[[ -z $bad ]] || fail "in the logs: $bad"
}

# passed: the last line of every test.
passed() {
	local node
	for node in "${!node_pid[@]}"; do
		alive "$node"
		stop "$node"
	done
	logs_clean
	explain "passed over $LS_TRANSPORT"
}
