#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: liblockstep exports what <lockstep.h> declares, and nothing else.
# usage: symbols.sh LIBRARY HEADER
set -euo pipefail

library=$1 header=$2
[[ -e $library ]] || { echo "there is no $library"; exit 1; }
exported=$(nm -D --defined-only "$library" | awk '$2 ~ /[TDBRVWi]/ { print $3 }' | sed 's/@.*//' | sort -u)
declared=$(grep -o '\bls_[a-z_]*(' "$header" | tr -d '(' | sort -u)
# Declared are those in LS_EXPORT lines; a mention in a comment, like ls_foo(), names one of them.
exports=$(tr '\n' ' ' <"$header" | grep -o 'LS_EXPORT [^;]*;' | grep -o '\bls_[a-z_]*(' | tr -d '(' | sort -u)

rc=0
extra=$(comm -23 <(echo "$exported") <(echo "$exports"))
lacking=$(comm -13 <(echo "$exported") <(echo "$exports"))
dangling=$(comm -23 <(echo "$declared") <(echo "$exports"))
if [[ -n $extra ]]; then echo "exported, but not in the header:" $extra; rc=1; fi
if [[ -n $lacking ]]; then echo "in the header, but not exported:" $lacking; rc=1; fi
if [[ -n $dangling ]]; then echo "spoken of in the header, but not declared:" $dangling; rc=1; fi
echo "symbols: $(wc -w <<<"$exported") exported"
exit $rc
