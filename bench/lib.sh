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
