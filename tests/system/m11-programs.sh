#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: all of it is program code on an ordinary host, and status says what it runs on (M11).
. "$(dirname "$0")/lib.sh"

two_nodes
mirrored vol 16M
"$ops" "$(socket_of a)" vol write:0:1M:1 flush

# A fallback is never silent: which link, which store, how the engine waits, where it runs.
if [[ $LS_TRANSPORT == rdma ]]; then store=nvme; else store=file; fi
for node in a b; do
	peer=$([[ $node == a ]] && echo b || echo a)
	same "$LS_TRANSPORT" "$(peer_field $node $peer link.backend)" "the link at $node"
	[[ -z $LS_DEVS_A ]] ||
		same $store "$(ask $node "pool list" '.pools[0].devices[0].backend')" "the store at $node"
	on $node status | tee "$work/status"
	grep -qiE 'polling' "$work/status" || fail "status does not say how the engine of $node waits"
	grep -qiE 'core|cpu' "$work/status" || fail "status does not say where the engine of $node runs"
done

# Nothing but libraries of the system.
for program in "$lockstepd" "$lockstep"; do
	! ldd "$program" | grep -E 'not found' || fail "$program lacks a library"
	"$program" --version
	"$program" --help >/dev/null
done
passed
