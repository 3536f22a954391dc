# SPDX-License-Identifier: BSD-3-Clause
# What an overload showed, and whether what must hold does.  Its inputs are named in `run`.

# How much a counter has grown; 0 where there is none.
def grown($before; $after; f): (($after | f) // 0) - (($before | f) // 0);
# What a node says that has changed for the worse.
def events($before; $after):
	([$before.events[].seq] | max // 0) as $seen
	| [$after.events[] | select(.seq > $seen and (.event == "lost" or .event == "mirror" or .event == "session"
		or .event == "error" or .event == "resync" or .to == "cut off")) | .text // "events were lost"];
def peer_of: .status.peers[0];
def one_session($before; $after):
	($after | peer_of | .session) == ($before | peer_of | .session) and grown($before; $after; peer_of | .sessions) == 0
	and ($after | peer_of | .epoch) == ($before | peer_of | .epoch);
# All counters of the NICs whose names match.
def nic($re): ($nic0[0]) as $old
	| $nic1[0] | with_entries(select(.key | test($re)) | .value -= ($old[.key] // 0));
def total: [.[]] | add // 0;
# Over RDMA a NIC that does not count has not shown anything.
def counted: . != {} or $transport != "rdma";
def listed: if . == {} then "no such counter" else to_entries | map("\(.key) \(.value)") | join(", ") end;

$a0[0] as $a | $a1[0] as $A | $b0[0] as $b | $b1[0] as $B | $load[0] as $l
| [$l.clients[].iops] as $iops
| (if ($iops | length) > 0 and ($iops | min) > 0 then ($iops | max) / ($iops | min) else null end) as $fair
| (events($a; $A) + events($b; $B)) as $events
| (grown($a; $A; peer_of | .link.rnr) + grown($b; $B; peer_of | .link.rnr)) as $rnr_links
| nic("rnr|out_of_buffer") as $rnr | nic("retry_exceeded|ack_timeout|seq_err|out_of_seq") as $losses
# soft-RoCE's timer runs on from a packet that was answered ("we still might get spurious timeouts", rxe_comp.c): what
# it sends again the peer has already, and counts.  What it sends again and the peer did not have was lost.
| (nic("completer_retry") | total) as $resent | (nic("duplicate_request") | total) as $twice
| [$A, $B | .status.volumes[] | select(.mirror != "synced") | .name] as $unsynced
| ([$A, $B | .status.volumes[] | .errors + .read_errors] | add) as $errors
| (grown($a; $A; .status.shard.loop.late_wakes) + grown($b; $B; .status.shard.loop.late_wakes)) as $late
| {
	machine: $machine[0], transport: $transport, seconds: $seconds, qd: $qd, bs: $l.bs, iops: ($l.iops // 0), p50_us: ($l.p50_us // 0), p99_us: ($l.p99_us // 0),
	p999_us: ($l.p999_us // 0), max_us: ($l.max_us // 0), clients: $l.clients, max_min: $fair,
	in_flight: (($iops | length) * $qd), slots: ($a | peer_of | .credits_total), nic: nic("."), events: $events,
	store_slowest_ns: [$A, $B | .status.shard.store_queue.slowest_ns], version: $A.status.version,
	allocations: grown($a; $A; .status.shard.data_path_allocations), locks: grown($a; $A; .status.shard.data_path_locks),
	conditions: [
		{what: "no request failed", holds: ($load_status == 0 and $errors == 0),
		 found: "bench-load ended with status \($load_status), errors of the volumes \($errors)"},
		{what: "more in flight than the wire takes", holds: (($iops | length) * $qd > ($a | peer_of | .credits_total)),
		 found: "\(($iops | length) * $qd) requests, \($a | peer_of | .credits_total) slots"},
		{what: "no receiver was not ready (RNR)", holds: ($rnr_links + ($rnr | total) == 0 and ($rnr | counted)),
		 found: "of the links \($rnr_links); of the NIC: \($rnr | listed)"},
		{what: "nothing was lost on the wire, so that it timed out", holds: (($losses | total) == 0 and $resent <= $twice and ($losses | counted)),
		 found: "of the NIC: \($losses | listed); sent again by its timer \($resent), of these there already \($twice)"},
		{what: "one session all the time", holds: (one_session($a; $A) and one_session($b; $B)),
		 found: "\($A | peer_of | .sessions) at a, \($B | peer_of | .sessions) at b, last error \"\($A | peer_of | .last_error)\""},
		{what: "in sync, and no event says otherwise", holds: ($unsynced == [] and $events == []),
		 found: (if $unsynced == [] and $events == [] then "no event" else ($unsynced + $events | join("; ")) end)},
		{what: "no wake-up was lost", holds: ($late == 0), found: "late_wakes \($late)"},
		{what: "fair: most of a client / least of a client <= \($fair_max)", holds: ($fair != null and $fair <= $fair_max),
		 found: (if $fair then "\($fair * 1000 | round / 1000)" else "a client got nothing" end)},
		{what: "the legs are equal", holds: ($differ == ""), found: (if $differ == "" then "byte by byte" else $differ end)}
	]
}
