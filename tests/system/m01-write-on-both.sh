#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: one request of a process at A puts the bytes on A's devices and on B's (M1).
. "$(dirname "$0")/lib.sh"

two_nodes
mirrored vol 16M
before=$(volume_field a vol writes)
"$ops" "$(socket_of a)" vol write:1M:4K:7

# One request of the process, and a second one, of A's engine to B's.
same $((before + 1)) "$(volume_field a vol writes)" "requests that the process issued"
on a volume list
read -r path offset _ < <(extents a vol)
"$ops" --raw "$path:$offset" read:1M:4K:7
read -r path offset _ < <(extents b vol)
"$ops" --raw "$path:$offset" read:1M:4K:7
legs_equal vol

# Neighbours stay as they were.
"$ops" --raw "$path:$offset" iszero:0:1M iszero:1028K:1M
passed
