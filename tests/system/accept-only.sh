#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a node that dials nobody, because it has no address of its peer, keeps its mirrors' deadlines all the same.
. "$(dirname "$0")/lib.sh"

two_strangers
on a key create "$work/key" >/dev/null
on a peer add b --address "${node_uri[b]#*://}" --key-file "$work/key" >/dev/null
on b peer add a --key-file "$work/key" >/dev/null
mirrored vol 16M
on a break vol >/dev/null
mark b
crash a
await_log b "session up -> down"
refuses 1 "node 'a' is not connected" on b resume vol
start a
await_log b "volume 'vol': .*-> synced"
legs_equal vol
passed
