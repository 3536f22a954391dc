#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What: PostgreSQL's own regression suite, its data on xfs on a mirrored volume; pg_amcheck and pg_checksums afterwards
# Packages: postgresql-15 xfsprogs build-essential
# Fetch: package:postgresql-server-dev-15@postgresql-15 source:postgresql-15@postgresql-15
# Needs a block device: yes
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/outside/device-lib.sh
. "$outside/device-lib.sh"
need mkfs.xfs gcc runuser
attached 1G mkfs.xfs -q -f
# shellcheck source=tests/outside/postgres-lib.sh
. "$outside/postgres-lib.sh"
postgres_regression
unmount
in_order
passed
