# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # variables of lib.sh and its systems
# Both devices at once, each by a process of its own: what the machine allows any mirror without a wire.
# A row is the slower of both; CPU is that of one request on each.
run_jobs() {
	local job ours theirs pid pin_b=()
	[[ -n $PEERS_REMOTE ]] || pin_b=(--cpu 1) # and ours on the other one, as everybody's
	for job in $(own_jobs | tr , ' '); do
		PEERS_JOBS=$job at_b run_load "$NG_B" "${pin_b[@]}" >"$PEERS_OUT/other" &
		pid=$!
		ours=$(PEERS_JOBS=$job run_load "$NG_A")
		wait "$pid"
		theirs=$(<"$PEERS_OUT/other")
		jq -sc '.[0] + {
			iops: (map(.iops) | min), mbps: (map(.mbps) | min), p50_us: (map(.p50_us) | max),
			p99_us: (map(.p99_us) | max), p999_us: (map(.p999_us) | max),
			cpu_us_per_io: (map(.cpu_us_per_io) | max)}' <<<"$ours$theirs"
	done
}
