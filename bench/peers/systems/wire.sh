# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # variables of lib.sh and its systems
# The wire alone: the floor's loop without devices, and perftest.
kinds="randwrite"

why_not() { missing ib_write_lat ib_send_lat ib_write_bw; }
why_not_b() { why_not; }

run_jobs() {
	run_floor
	perftest_row lat ib_send_lat 64 -n 1000
	perftest_row lat ib_write_lat 4096 -n 1000
	perftest_row bw ib_write_bw 131072 -n 200
}

# perftest's own client and server.  Latency is one way.  Now and then it cannot calibrate its clock
# under emulation and prints "inf": then there is no row.
perftest_row() { # lat|bw TOOL BYTES OPTIONS
	local what=$1 tool=$2 bytes=$3 out
	shift 3
	b_begins serve perftest_at_b "$tool" -R -s "$bytes" "$@" -p 18515
	# One attempt: a server whose client gave up half-way waits for ever.
	if ! read -rt 60 -u "${b_side[0]:-}" _ || ! out=$(timeout 60 "$tool" -R -s "$bytes" "$@" -p 18515 "$IP_B" 2>&1); then
		echo "$tool: no figure: ${out:-its server does not start}" >&2
		b_ends
		return 0
	fi
	b_ends
	awk -v what="$what" -v tool="$tool" -v system_="$SYSTEM" -v round="$ROUND" '
		/inf/ { next }
		/^ *[0-9]+ +[0-9]+ / {
			printf "{\"system\":\"%s\",\"rw\":\"%s\",\"bs\":%d,\"qd\":%d,\"round\":%d,", system_, tool, $1, what == "lat" ? 1 : 128, round
			if (what == "lat") printf "\"iops\":null,\"p50_us\":%s,\"p99_us\":%s,\"p999_us\":%s,\"mbps\":null", $5, $8, $9
			else printf "\"iops\":null,\"p50_us\":null,\"p99_us\":null,\"p999_us\":null,\"mbps\":%.2f", $4 * 1.048576
			print ",\"cpu_us_per_io\":null}"
		}' <<<"$out"
}

# Says when it listens, which perftest does not.
perftest_at_b() {
	local server=$BASHPID
	until rdma resource show cm_id | grep -q 'LISTEN.*:18515'; do
		kill -0 "$server" || exit
		sleep 0.1
	done && echo listens &
	exec "$@" >&2
}
