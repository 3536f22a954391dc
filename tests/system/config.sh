#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: a configuration file sets what the command line does not; `lockstep config` finds its mistakes,
# with their lines, and tells of every option of a running daemon who set it; without a file all is well.
. "$(dirname "$0")/lib.sh"

conf=$work/a/lockstepd.conf
wrong() { refuses "$1" "$2" timeout "$LS_LIMIT" "$lockstepd" --config "$conf" --state "$work/b/s" --run "$work/b/r"; }
option() { ask a "config show" ".options[] | select(.option == \"$1\") | [.value, .source, .line] | map(values) | join(\" \")"; }

# Three options by the file, one of them also by the command line, the rest by default.
printf '%s\n' "# of a test" "slots = 33" "polling = event # no spinning" "spin-us = 7" >"$conf"
"$lockstep" config check "$conf" >"$work/said"
matches "has no mistake, and sets 3 of" "$(cat "$work/said")" "config check"
same "slots 33 2" "$("$lockstep" --json config check "$conf" | jq -r '.options[] | select(.option == "slots") | [.option, .value, .line] | join(" ")')" \
	"config check --json"
start a --config "$conf" --slots 34
same "34 command line" "$(option slots)" "an option of both"
same "event file 3" "$(option polling)" "an option of the file"
same "7 file 4" "$(option spin-us)" "an option of the file"
same "10000 default" "$(option peer-timeout-ms)" "an option of neither"
same "a command line" "$(option node)" "the node"
same "event" "$(ask a status .shard.polling)" "what the engine does"
same "$conf" "$(ask a "config show" .file)" "the file"
on a config show | tee "$work/said"
matches "^polling +event +line 3 +auto" "$(cat "$work/said")" "config show"
await_log a "configuration: $conf"
stop a

# Every mistake, with its line; the daemon says the same, and asks for no restart (status 2).
printf '%s\n' "slot = 4" "" "listen = http://x" "polling: busy" >"$conf"
refuses 1 "$conf:1: there is no option 'slot'; is 'slots' meant\?" "$lockstep" config check "$conf"
matches "$conf:3: listen: 'http://x': expected rdma://" "$said" "the second mistake"
matches "$conf:4: 'polling: busy' is not of the form" "$said" "the third mistake"
wrong 2 "$conf:1: there is no option 'slot'; is 'slots' meant\?"
matches "$conf:4: " "$said" "what the daemon says"
same "false 1 3 4" "$("$lockstep" --json config check "$conf" | jq -r '[.ok, .mistakes[].line] | join(" ")')" "config check --json"
[[ ! -e $work/b/s ]] || fail "a daemon with a wrong file has made its state folder"

# A file that is asked for must be there, and be a file.
rm "$conf"
wrong 2 "$conf: cannot be read: No such file"
refuses 1 "$conf: cannot be read: No such file" "$lockstep" config check "$conf"
mkdir "$conf"
wrong 2 "$conf: cannot be read: Is a directory"
refuses 1 "cannot be read: Is a directory" "$lockstep" config check "$conf"
rmdir "$conf"
refuses 2 "one file at a time" "$lockstep" config check x y
refuses 1 "no lockstepd answers" on a config show

# No file, no options: nothing is wrong with that.
start a
same "64 default" "$(option slots)" "an option that nobody sets"
passed
