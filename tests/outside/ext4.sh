#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What: a file system of the kernel (ext4): made, a tree unpacked, trimmed, checked, and found the same on the other node
# Packages: e2fsprogs
# Needs a block device: yes
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/outside/device-lib.sh
. "$outside/device-lib.sh"
need tar mkfs.ext4 e2fsck
attached 96M mkfs.ext4 -q -F
a_tree_survives e2fsck -f -n
passed
