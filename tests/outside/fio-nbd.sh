#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What: fio --verify=crc32c over mixed schedules, through fio's own nbd engine
# Packages: fio nbdkit
. "$(dirname "$0")/lib.sh"
need fio nbdkit
fio --enghelp | grep -qw nbd || skip "this fio has no nbd engine"
volume_of 96M
serve a vol
fio_schedules --ioengine=nbd --uri="$uri"
end_nbdkit
in_order
passed
