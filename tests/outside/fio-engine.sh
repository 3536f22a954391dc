#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What: fio --verify=crc32c over mixed schedules, through liblockstep_fio.so
# Packages: fio
. "$(dirname "$0")/lib.sh"
need fio
engine=$LS_BUILD/tools/fio/liblockstep_fio.so
[[ -e $engine ]] || skip "the fio engine was not built: run tools/fio/source, then build again"
volume_of 96M
fio_schedules --ioengine="external:$engine" --volume=vol --lockstep_socket="$(socket_of a)"
in_order
passed
