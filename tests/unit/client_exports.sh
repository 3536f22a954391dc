#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# liblockstep exports what lockstep.h declares, no more and no less.
# Usage: client_exports.sh LIBRARY, from the root of the sources.
set -eu
library=$1
exported=$(nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
	sort)
declared=$(grep -v '^#' engine/include/lockstep.h | tr '\n' ' ' | grep -o 'LS_EXPORT [^(]*(' |
	sed 's/.*[ *]\(ls_[a-z_]*\)($/\1/' | sort)
if [ "$exported" != "$declared" ]; then
	echo "exported: $exported"
	echo "declared: $declared"
	exit 1
fi
if readelf -d "$library" | grep -q 'NEEDED.*\(isal\|ibverbs\|uring\)'; then
	echo "liblockstep must need nothing but libc"
	exit 1
fi
readelf -d "$library" | grep -q 'SONAME.*liblockstep\.so\.0]'
