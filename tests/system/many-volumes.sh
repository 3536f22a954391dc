#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a node with many volumes shows each of them, once, and what is asked about one is answered about that one.  (The
# engine's thread copies them in parts, so that no client's request waits for it.)
. "$(dirname "$0")/lib.sh"
need jq

names() { on a "$@" --json | jq -r '.volumes[].name'; }
made=()
two_nodes
for ((i = 0; i < 34; i++)); do
	on a volume create "v$i" --size 1M >/dev/null
	made+=("v$i")
	# One less than a part, as many, and more.
	((i < 30)) ||
		same "$(printf '%s\n' "${made[@]}")" "$(names volume list | sort -V)" "the volumes' list with $((i + 1)) of them"
done
same "$(printf '%s\n' "${made[@]}")" "$(names status | sort -V)" "the volumes in status"
for i in 0 31 32 33; do
	same "v$i" "$(on a status "v$i" --json | jq -r '.volumes[].name')" "the volume in its own status"
done
refuses any "no volume 'v34' on this node" on a status v34
# Holes: the places of the deleted ones are passed over.
for ((i = 1; i < 34; i += 4)); do
	on a volume delete "v$i" >/dev/null
	unset "made[$i]"
done
same "$(printf '%s\n' "${made[@]}")" "$(names volume list | sort -V)" "the volumes' list after deletions"
passed
