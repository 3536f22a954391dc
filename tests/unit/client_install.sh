#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Installs the client library, moves the tree, and builds the example from its pkg-config
# file as a user would.  Usage: client_install.sh BUILD CC, from the root of the sources.
set -eu
build=$1 cc=$2
if ! command -v pkg-config >/dev/null; then
	echo "skipped: no pkg-config"
	exit 77
fi
if grep -q '^LS_SANITIZE:.*=.' "$build/CMakeCache.txt"; then
	echo "skipped: a sanitized library does not link to a plain program"
	exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for component in liblockstep0 liblockstep-dev; do
	cmake --install "$build" --component $component --prefix "$folder/first" >/dev/null
done
mv "$folder/first" "$folder/moved"
pc=$(find "$folder/moved" -name lockstep.pc)
export PKG_CONFIG_PATH="${pc%/*}"
pkg-config --validate lockstep
# shellcheck disable=SC2046
"$cc" -std=c99 -Wall -Wextra -Werror engine/client/example/mirror_write.c \
	$(pkg-config --cflags --libs lockstep) -o "$folder/mirror_write"
LD_LIBRARY_PATH=$(pkg-config --variable=libdir lockstep)
export LD_LIBRARY_PATH
said=$(LOCKSTEP_SOCKET="$folder/none" "$folder/mirror_write" vol 2>&1) && exit 1
echo "$said" | grep "the engine does not answer at $folder/none"
