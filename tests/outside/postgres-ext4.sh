#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What: PostgreSQL's own regression suite, its data on ext4 on a mirrored volume; pg_amcheck and pg_checksums afterwards
# Packages: postgresql-15 e2fsprogs build-essential
# Fetch: package:postgresql-server-dev-15@postgresql-15 source:postgresql-15@postgresql-15
# Needs a block device: yes
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/outside/device-lib.sh
. "$outside/device-lib.sh"
need mkfs.ext4 gcc runuser
attached 1G mkfs.ext4 -q -F
# shellcheck source=tests/outside/postgres-lib.sh
. "$outside/postgres-lib.sh"
postgres_regression
unmount
in_order
passed
