# SPDX-License-Identifier: BSD-3-Clause
# All rows of `run`: medians, and what of a resync must hold (README of bench, "Resync").
def median: sort | if length == 0 then null else .[(length - 1) / 2 | floor] end;
def percent: . * 1000 | round / 10;
def beside($rows; $qd): [$rows[] | select(.qd == $qd)]
	| {qd: $qd, p99_us: ([.[].without.p99_us] | median), p99_beside_us: ([.[].beside.p99_us] | median),
	   ratio: ([.[] | .beside.p99_us / .without.p99_us] | median), resync_mbps: ([.[].resync_mbps | select(. != null)] | median)};
. as $rows
| [$rows[] | select(.qd | not)] as $alone
| ([$alone[].resync_mbps] | median) as $mbps
| ([$alone[].wire_mbps | select(. != null)] | median) as $wire
| ([$alone[] | select(.wire_mbps != null) | .resync_mbps / .wire_mbps] | median) as $share
| [[$rows[].qd | select(. != null)] | unique[] | beside($rows; .)] as $beside
| {machine: $machine[0], rows: $rows, resync_mbps: $mbps, wire_mbps: $wire, of_the_wire: $share, beside: $beside,
   conditions: ([{what: "alone >= 90 % of what the wire carries alone", holds: (if $share == null then null else $share >= 0.9 end),
		found: (if $share == null then "\($mbps) MB/s; the wire was not measured"
			else "\($share | percent) % (median of rounds), \($mbps) of \($wire) MB/s" end)}]
	+ [$beside[] | {what: "p99 at QD \(.qd) beside it <= 200 % of without", holds: (.ratio <= 2),
		found: "\(.ratio | percent) % (median of rounds), \(.p99_us | round) -> \(.p99_beside_us | round) us; the resync made \(.resync_mbps // "?") MB/s"}])}
