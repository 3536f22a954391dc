#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: systemd finds nothing to complain about in our units.
# usage: units.sh PROGRAM UNIT: the unit as it is installed, but with the program where it was built.
set -euo pipefail

type systemd-analyze >/dev/null 2>&1 || {
	echo "SKIP: systemd-analyze is not installed"
	exit 77
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
sed -E "s|^(Exec[A-Za-z]*=)[^ ]*|\\1$1|" "$2" >"$folder/${2##*/}"
# The manual pages are not where it looks for them.
said=$(systemd-analyze verify --man=no "$folder/${2##*/}" 2>&1) && rc=0 || rc=$?
if ((rc != 0)) || [[ -n $said ]]; then
	echo "$said"
	exit 1
fi
echo "${2##*/}: nothing to complain about"
