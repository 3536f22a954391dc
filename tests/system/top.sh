#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: `lockstep top` shows rates, hops, resyncs and links, as text, as JSON and on a screen that renews itself, also over
# an engine that goes away; `status --watch` does on a terminal what it says.
. "$(dirname "$0")/lib.sh"
need python3
python3 -c 'import pyte' 2>/dev/null || skip "needs python3-pyte"

screen() { python3 "$here/screen.py" "$1" 60 -- "$lockstep" --run "$work/a/run" "${@:2}"; }

refuses 1 "no lockstepd answers" on a top --once
two_nodes
mirrored vol 64M
on a volume create other --size 8M >/dev/null
refuses 1 "no volume 'none'" on a top none --once
refuses 2 "not a number from 0.1 to 60" on a top --interval 0
refuses 2 "one volume at a time" on a top vol other

explain "as text, and as JSON"
on a top --once --interval 0.1 >"$work/idle"
matches "^no request was measured" "$(cat "$work/idle")" "an idle node"
LIMIT=170 in_background on a bench --volume vol --rw randwrite --bs 4k --qd 1 --time 600 >/dev/null
load=$job
await_log a "client .* attached: lockstep"
# A busy machine may do few requests a second, and of those top sees a sample.
on a top vol --once --interval 3 | tee "$work/text"
matches "^node a: [1-9][0-9]* requests/s of [12] clients" "$(cat "$work/text")" "the first line"
matches "^vol +primary +synced +b +0 +[1-9][0-9]* " "$(cat "$work/text")" "the volume's line"
matches "^write +[1-9][0-9]* +[1-9][0-9]* +[1-9]" "$(cat "$work/text")" "how long writes take"
matches "^    its devices +[0-9]" "$(cat "$work/text")" "the peer's device"
matches "^b +up +tcp +[1-9]" "$(cat "$work/text")" "the link's line"
! grep -q "^other" "$work/text" || fail "the other volume is there"
on a --json top --once --interval 3 >"$work/json"
jq -e '.volumes | map(.name) | sort == ["other", "vol"]' "$work/json" >/dev/null || fail "the volumes"
jq -e '.volumes[] | select(.name == "vol") | .writes_per_second > 0 and .written_bytes_per_second >= 4096 * .writes_per_second - 1' \
	"$work/json" >/dev/null || fail "rates"
jq -e '.latency[] | select(.op == "write" and .hop == "total") | .samples > 0 and .p50_ns <= .p99_ns and .mean_ns > 0' \
	"$work/json" >/dev/null || fail "latency"

explain "on a screen"
screen 110x26 top --interval 0.3 <<'KEYS' | tee "$work/screen"
await ^node a: .* requests/s
await ^vol +primary +synced
await ^write +[0-9]
await ^q: end
changes [0-9]+ requests/s
show
size 60x8
await ^q: end
type \x1b[B\x1b[B
await ^VOLUME
changes ^vol +primary +synced +b +[0-9]+ +[0-9]+
size 110x26
await ^b +up
type q
end 0
KEYS
grep -q "^VOLUME" "$work/screen" || fail "no table on the screen"

explain "the engine goes away and comes back under it"
mkfifo "$work/keys"
exec {keys}<>"$work/keys"
in_background screen 110x26 top --interval 0.3 <"$work/keys" >"$work/screen"
looker=$job
echo "await ^vol +primary +synced" >&"$keys"
crash a
kill "$load" 2>/dev/null || true
printf '%s\n' "await ^no lockstepd answers at|^lockstepd ended before" "show" >&"$keys"
start a
printf '%s\n' "await ^q: end" "await ^node a: 0 requests/s of 0 clients" "type q" "end 0" >&"$keys"
exec {keys}>&-
await_exit "$looker" 60
same 0 "$status" "top over an engine that was killed"

explain "status --watch"
LIMIT=170 in_background on a bench --volume vol --rw randrw --bs 4k --qd 2 --time 600 >/dev/null
screen 130x45 status --watch <<'KEYS' | tee "$work/screen"
await ^node +a, address
await ^vol
changes [0-9]+ I/Os
changes [0-9]+ I/Os
show
type \x03
end -2
KEYS
same 1 "$(grep -c '^node ' "$work/screen")" "how often the node is on the screen"
matches "^node " "$(head -n 1 "$work/screen")" "the first line of the screen"
kill "$job"
passed
