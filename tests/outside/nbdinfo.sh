#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What: libnbd's nbdinfo: every question that it can ask of an export
# Packages: libnbd-bin nbdkit
. "$(dirname "$0")/lib.sh"
need nbdkit nbdinfo
volume_of 64M
serve a vol
same 67108864 "$(nbdinfo --size "$uri")" "--size"
for can in connect read write flush fua trim zero multi-conn cache structured-reply; do
	nbdinfo --can "$can" "$uri" || fail "nbdinfo --can $can: status $?"
	explain "can $can"
done
! nbdinfo --is read-only "$uri" || fail "it says read-only"
! nbdinfo --is tls "$uri" || fail "it says TLS"
nbdinfo --json "$uri" | jq -e '.exports[0]["export-size"] == 67108864 and .exports[0].can_multi_conn' >/dev/null || fail "--json"
nbdinfo --list "$uri" | grep -q 'export=' || fail "--list"
nbdinfo --map --totals "$uri" | tee "$work/map"
matches " 67108864 " "$(cat "$work/map")" "--map --totals"
nbdinfo "$uri" >/dev/null
end_nbdkit
in_order
passed
