#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: the demo of the README holds, over TCP and files, in seconds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export LS_TRANSPORT=tcp DEMO_TIME=1
exec tools/quickstart.d/demo.sh native
