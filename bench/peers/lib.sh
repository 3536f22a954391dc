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
#
# SYSTEM and ROUND are its name and the number of the round; DEV_A, DEV_B are the block devices, NG_A
# and NG_B the same for passthrough; IP_A and IP_B addresses of this machine, on the device below rxe0.

peers=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
top=$(cd "$peers/../.." && pwd -P)
: "${LS_BUILD:=$top/build/release}"
bench_load=$LS_BUILD/bench/load/bench-load
bench_floor=$LS_BUILD/bench/floor/bench-floor
DEV_A=/dev/nvme0n1 DEV_B=/dev/nvme1n1 NG_A=/dev/ng0n1 NG_B=/dev/ng1n1
IP_A=${LAB_IP:-} IP_B=${LAB_PEER_IP:-}
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH

mirrored="" kinds="randwrite randread randrw fsync" TARGET="" OFFSET_A=0 OFFSET_B=0
why_not() { :; }
set_up() { :; }
run_jobs() {
	run_load "$TARGET"
	run_pgbench "$TARGET"
}
tear_down() { :; }
cleanup() { exit; } # tests/system/lib.sh has another
compare() {
	echo "comparing $PEERS_SPAN bytes of $DEV_A from $OFFSET_A with $DEV_B from $OFFSET_B"
	"$bench_load" --compare --span "$PEERS_SPAN" "$DEV_A:$OFFSET_A" "$DEV_B:$OFFSET_B"
}

# Both devices, further than anybody uses them: written before, and equal.
same_content() {
	"$bench_load" --fill --span $((PEERS_SPAN + (64 << 20))) "$DEV_A" &
	"$bench_load" --fill --span $((PEERS_SPAN + (64 << 20))) "$DEV_B"
	wait $!
}

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
run_load() { # TARGET [OPTIONS]
	local target=$1
	shift
	[[ -n $(own_jobs) ]] || return 0
	# shellcheck disable=SC2046 # words
	"$bench_load" ${mirrored:+--jobs touch:4096:8} $(load_options) "$@" "$target"
}
run_floor() { # [OPTIONS] [DEVICES]
	# shellcheck disable=SC2046 # words
	[[ -z $(own_jobs) ]] || "$bench_floor" $(load_options) "$@"
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
