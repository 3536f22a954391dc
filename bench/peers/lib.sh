# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # variables of lib.sh and its systems
# Words for the systems of bench/peers.  A system is a file systems/NAME.sh that says
#
#   mirrored        yes: after its jobs both devices must be equal (default: empty)
#   kinds           which kinds of jobs it can do (default: all but pgbench, which takes a block device)
#   why_not         prints why it cannot run here, or nothing
#   set_up          from two devices that belong to nobody; ends when it is ready and in sync
#   run_jobs        prints a row for each job (default: on "$TARGET", which set_up sets)
#   compare         fails when the legs differ (default: the devices, from OFFSET_A and OFFSET_B on)
#   tear_down       the devices belong to nobody again; must work after a set_up that failed, too
#   why_not_b       as why_not, of the machine with the other device
#
# SYSTEM and ROUND are its name and the number of the round; DEV_A, DEV_B are the block devices, NG_A
# and NG_B the same for passthrough; IP_A and IP_B the addresses by which both sides talk.
#
# All of it runs at a.  In the lab b is the same machine, and both addresses are of the device below
# rxe0; with --real b is another one, and what is to run there is said by way of at_b or b_begins.

peers=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
top=$(cd "$peers/../.." && pwd -P)
: "${LS_BUILD:=$top/build/release}"
bench_load=$LS_BUILD/bench/load/bench-load
bench_floor=$LS_BUILD/bench/floor/bench-floor
: "${DEV_A:=/dev/nvme0n1}" "${DEV_B:=/dev/nvme1n1}" "${IP_A:=${LAB_IP:-}}" "${IP_B:=${LAB_PEER_IP:-}}"
NG_A=/dev/ng${DEV_A#/dev/nvme} NG_B=/dev/ng${DEV_B#/dev/nvme}
: "${PEERS_REMOTE:=}" "${PEERS_THERE:=}" "${PEERS_SIDE:=a}"
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH

mirrored="" kinds="randwrite randread randrw fsync" TARGET="" OFFSET_A=0 OFFSET_B=0
why_not() { :; }
why_not_b() { :; }
set_up() { :; }
run_jobs() {
	run_load "$TARGET"
	run_pgbench "$TARGET"
}
tear_down() { :; }
cleanup() { exit; } # tests/system/lib.sh has another
compare() {
	local ours
	echo "comparing $PEERS_SPAN bytes of $DEV_A from $OFFSET_A with $DEV_B from $OFFSET_B"
	if [[ -z $PEERS_REMOTE ]]; then
		"$bench_load" --compare --span "$PEERS_SPAN" "$DEV_A:$OFFSET_A" "$DEV_B:$OFFSET_B"
		return
	fi
	at_b span_sum "$DEV_B" "$OFFSET_B" >"$PEERS_OUT/span-sum" &
	ours=$(span_sum "$DEV_A" "$OFFSET_A")
	wait $!
	[[ -n $ours && $ours == "$(<"$PEERS_OUT/span-sum")" ]] || {
		echo "the legs differ: $ours at a, $(<"$PEERS_OUT/span-sum") at b"
		return 1
	}
}
span_sum() { # DEVICE OFFSET
	dd if="$1" iflag=direct,skip_bytes,count_bytes,fullblock bs=1M skip="$2" count="$PEERS_SPAN" status=none | sha256sum | cut -d' ' -f1
}

# Both devices, further than anybody uses them: written before, and equal.
same_content() {
	fill "$DEV_A" &
	at_b fill "$DEV_B"
	wait $!
}
fill() {
	# The kernel ends the claim of a process that is gone when it gets to its io_uring.
	await 10 unused "$1"
	"$bench_load" --fill --span $((PEERS_SPAN + (64 << 20))) "$1"
}
unused() { "$bench_load" --unused "$1" 2>/dev/null; }

### What runs at b

# at_b WORDS...: a function or a program.  With --real, $PEERS_REMOTE takes a line for b's shell, as ssh does; a
# copy of these files is at b (real.sh).
at_b() {
	if [[ -z $PEERS_REMOTE ]]; then "$@"; else at_b_fed "$@" </dev/null; fi
}
# The same, and b has our standard input.
at_b_fed() {
	local line
	if [[ -z $PEERS_REMOTE ]]; then
		"$@"
		return
	fi
	printf -v line '%q ' env "SYSTEM=$SYSTEM" "ROUND=$ROUND" "PEERS_SPAN=${PEERS_SPAN:-}" "PEERS_JOBS=${PEERS_JOBS:-}" \
		"PEERS_SECONDS=${PEERS_SECONDS:-}" "DEV_A=$DEV_A" "DEV_B=$DEV_B" "IP_A=$IP_A" "IP_B=$IP_B" "LS_BUILD=$PEERS_THERE/build/release" \
		"$PEERS_THERE/bench/peers/side-b" "$@"
	# shellcheck disable=SC2086 # a command and its options
	$PEERS_REMOTE "$line"
}

# b_begins WORDS...: goes on at b while we do; what it prints is read from ${b_side[0]}.  It ends by
# b_ends, and with us: its standard input is at its end then.
b_begins() {
	coproc b_side { at_b_fed "$@"; }
	b_pid=$! # $b_side_PID is gone as soon as it has ended
}
b_ends() {
	local to=${b_side[1]:-} from=${b_side[0]:-}
	[[ -z $to ]] || exec {to}>&-
	[[ -z $from ]] || cat <&"$from" >&2 || true # bash closes it when b has ended
	[[ -z ${b_pid:-} ]] || wait "$b_pid" || true
	b_pid=""
}
# serve CMD...: for b_begins: a program that does not look at its standard input.
serve() {
	local pid
	"$@" </dev/null &
	pid=$!
	{ cat >/dev/null && kill "$pid" 2>/dev/null; } <&3 &
	wait "$pid"
} 3<&0

### Load

# Those of the jobs that this system can do, with commas: bench-load's, or those of KIND.
own_jobs() { # [KIND]
	local job kind jobs=()
	for job in ${PEERS_JOBS//,/ }; do
		kind=${job%%:*}
		[[ " $kinds " == *" $kind "* ]] || continue
		[[ $kind == "${1:-$kind}" && (-n ${1:-} || $kind != pgbench) ]] || continue
		jobs+=("$job")
	done
	(IFS=, && echo "${jobs[*]}")
}

load_options() {
	echo --jobs "$(own_jobs)" --system "$SYSTEM" --round "$ROUND" --seconds "$PEERS_SECONDS" --span "$PEERS_SPAN"
}
# For `profile`: where the processors' time goes while CMD runs, into a file of this system's own.
recorded() { # CMD...
	if [[ -z ${PEERS_PROFILE:-} ]]; then
		"$@"
	else
		perf record -q -a -g -F 700 -e cpu-clock -o "$PEERS_OUT/$SYSTEM.perf" -- "$@"
	fi
}
# In the lab everybody's generator is where the client of floor-queue is, beside side a: elsewhere its CPU sleeps between two
# batches, and takes half a millisecond to wake (doc/tuning.md).
run_load() { # TARGET [OPTIONS]
	local target=$1 beside=()
	shift
	[[ -n $(own_jobs) ]] || return 0
	[[ -n $PEERS_REMOTE || $PEERS_SIDE == b ]] || beside=(--cpu 0)
	# shellcheck disable=SC2046 # words
	recorded "$bench_load" ${mirrored:+--jobs touch:4096:8} $(load_options) "${beside[@]}" "$@" "$target"
}
run_floor() { # [--queue] [DEVICES]
	local queue=() port
	[[ -n $(own_jobs) ]] || return 0
	if [[ ${1:-} == --queue ]]; then
		queue=("$1")
		shift
	fi
	if [[ -z $PEERS_REMOTE ]]; then
		# shellcheck disable=SC2046 # words
		recorded "$bench_floor" "${queue[@]}" $(load_options) "$@"
		return
	fi
	b_begins serve floor_at_b ${2:+"$2"}
	read -rt 60 -u "${b_side[0]:-}" port || { echo "bench-floor does not start at b" && return 1; } >&2
	# Nobody is pinned: the numbers of the lab's CPUs are not those of cores beside a NIC.
	# shellcheck disable=SC2046 # words
	"$bench_floor" --peer "$IP_B:$port" --rdma "$(rdma_of "$IP_A")" --cpus=-1,-1,-1 "${queue[@]}" $(load_options) ${1:+"$1"}
	b_ends
}
floor_at_b() {
	# shellcheck disable=SC2046 # words
	exec "$bench_floor" --serve "$IP_B" --rdma "$(rdma_of "$IP_B")" --cpus=-1,-1,-1 $(load_options) "$@"
}

take_key() { (umask 077 && cat >"$1"); }

# The network device that has an address, and the RDMA device on it (or none).
netdev_of() { ip -o -4 address show | awk -v ip="$1" 'split($4, part, "/") && part[1] == ip && !n++ { print $2 }'; }
rdma_of() {
	local netdev one
	netdev=$(netdev_of "$1")
	[[ -n $netdev ]] || return 0
	for one in /sys/class/infiniband/*; do
		if [[ -d $one/device/net/$netdev || $(cat "$one/parent" 2>/dev/null) == "$netdev" ]] ||
			grep -qxsF "$netdev" "$one"/ports/1/gid_attrs/ndevs/*; then
			echo "${one##*/}"
			return
		fi
	done
}

# The first program or module of these that is missing: "kernel:NAME" is a module.
missing() {
	local one
	for one; do
		case $one in
		kernel:*) modprobe -q "${one#*:}" || { echo "the kernel ($(uname -r)) has no module ${one#*:}" && return; } ;;
		*) type -P "$one" >/dev/null || { echo "$one is not installed" && return; } ;;
		esac
	done
}

# A pause that forks nothing: for what the kernel does later and tells nobody.
nap() { read -rt "$1" -u "$silence" || true; }
exec {silence}<> <(:)
# await SECONDS CMD...: until CMD succeeds.
await() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		((SECONDS < end)) || { echo "gave up waiting: $*" && return 1; }
		nap 0.05
	done
}

# shellcheck source=bench/peers/pgbench.sh
. "$peers/pgbench.sh"
