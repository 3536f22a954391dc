#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a peer of another wire version is told which versions fit, and gets nothing.
. "$(dirname "$0")/lib.sh"

need tcp
start a
on a key create "$work/key" >/dev/null
on a peer add b --key-file "$work/key" >/dev/null
for what in other-version other-link-version garbage bad-crc bad-payload silence; do
	python3 "$here/wire.py" "${node_uri[a]#tcp://}" "$what" || fail "$what"
	alive a
done
grep -qi "version" "$work/a/log" || fail "the log of a does not speak of the version"
passed
