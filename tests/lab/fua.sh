#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: what was written with FUA, to the pool's own tables and to a volume, is on the device when the
# power goes right after; also on a device that takes the bit and ignores it, as QEMU's does.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

: "${LS_BUILD:=$PWD/build/release}"
export LS_BUILD
name=fua-$(cksum <<<"$LS_BUILD" | cut -d' ' -f1)
image=${XDG_CACHE_HOME:-$HOME/.cache}/lockstep-lab/labs/$name/a/disk0.img
node() { tools/lab exec --quiet --name "$name" --env LS_BUILD -- tests/lab/one-node.sh "$@"; }

tools/lab up --name "$name" --disks 1 --fresh --disk-size 64M --lba 4096 --volatile
trap 'tools/lab down --quiet --name "$name" >/dev/null 2>&1 || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

node start
node lockstep pool create pool /dev/nvme0n1
node lockstep volume create vol --size 16M
read -r _ offset _ < <(node where vol)
node ops vol write:0:64K:1 flush write:64K:64K:2:fua
tools/lab power-cut --quiet --name "$name" a
"$LS_BUILD/tests/system/ops" --raw "$image:$offset" read:0:64K:1 ||
	{ echo "fua: FAILED: what was flushed is gone"; exit 1; }
"$LS_BUILD/tests/system/ops" --raw "$image:$offset" read:64K:64K:2 ||
	{ echo "fua: FAILED: what was written with FUA is gone"; exit 1; }
echo "fua: passed"
