#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: under faults at random no acknowledged byte is lost and nothing stays different, for a short
# while with a seed that is always the same, and one that never is.
set -euo pipefail

run=$(dirname "$0")/run
"$run" --minutes 0.3 --seed 1
"$run" --minutes 0.3
