# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Words of the measurements that run two nodes with tests/system/lib.sh.

# machine NODE COMMAND...: what a figure is worth nothing without, as one JSON object.
machine() {
	local node=$1
	shift
	on "$node" --json status | jq --arg command "$*" --arg date "$(date -u '+%Y-%m-%d %H:%M') UTC" --arg cpus "$(nproc)" \
		--arg commit "$(git -C "${BASH_SOURCE[0]%/*}" describe --always --dirty 2>/dev/null || echo unknown)" \
		--arg cpu "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)" --arg load "$(cut -d' ' -f1 /proc/loadavg)" '
		{date: $date, commit: $commit, command: $command, cpu: "\($cpu), \($cpus) CPUs", load_before: $load, kernel: .machine.kernel,
		 fabric: "\(.fabric.backend): \(.fabric.detail)", polling: "\(.shard.polling): \(.shard.polling_why)",
		 devices: [.pools[].devices[] | "\(.backend) \(.model) \(.path), blocks of \(.block_bytes) bytes"] | join("; ")}'
}

# threads PID: of each its number, processor time in ns and how often it slept, so far; on one line.
threads() {
	local task
	for task in /proc/"$1"/task/*; do
		# One may end meanwhile: io_uring's workers do after some seconds with nothing to do.
		cat "$task/schedstat" "$task/status" 2>/dev/null | awk -v tid="${task##*/}" '
			NR == 1 { ns = $1 }
			/^voluntary_ctxt/ { printf "%d %.0f %d ", tid, ns, $2 }' || true
	done
}

# silence SECONDS: what the daemons' threads have in that time, in cpu[a] and cpu[b] as ns, and how often they slept in woke[a]
# and woke[b]; those that end meanwhile are left out.
silence() {
	local node
	local -A before=()
	# shellcheck disable=SC2034 # for the caller
	declare -gA cpu=() woke=()
	# shellcheck disable=SC2154 # node_pid is of tests/system/lib.sh
	for node in a b; do before[$node]=$(threads "${node_pid[$node]}"); done
	sleep "$1"
	for node in a b; do
		read -r "cpu[$node]" "woke[$node]" < <(awk '
			{ for (i = 1; i <= NF; i += 3) {
				if (NR == 1) { ns[$i] = $(i + 1); slept[$i] = $(i + 2) }
				else { all_ns += $(i + 1) - ns[$i]; all_slept += $(i + 2) - slept[$i] }
			} }
			END { printf "%.0f %d\n", all_ns, all_slept }' <<<"${before[$node]}"$'\n'"$(threads "${node_pid[$node]}")")
	done
}
