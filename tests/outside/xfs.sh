#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What: a file system of the kernel (xfs): made, a tree unpacked, trimmed, checked, and found the same on the other node
# Packages: xfsprogs
# Needs a block device: yes
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/outside/device-lib.sh
. "$outside/device-lib.sh"
need tar mkfs.xfs xfs_repair
attached 320M mkfs.xfs -q -f
a_tree_survives xfs_repair -n
passed
