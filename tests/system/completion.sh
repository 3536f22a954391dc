#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: bash completes commands, options, and names of volumes, pools and peers; with and without a
# daemon, and whether an option's value comes behind a blank or "=".
. "$(dirname "$0")/lib.sh"

# shellcheck source=tools/completion/lockstep
. "$top/tools/completion/lockstep"
PATH=$LS_BUILD/tools/exporter:$(dirname "$lockstep"):$(dirname "$lockstepd"):$PATH

# completes EXPECTED WORD...: what a tab behind the last word offers, joined by blanks.
completes() {
	local expected=$1 function
	shift
	COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
	function=$(complete -p "$1")
	function=${function#*-F }
	"${function%% *}"
	same "$expected" "${COMPREPLY[*]:-}" "completion of '$*'"
}
# Without a daemon: what the program says of itself.
export LOCKSTEP_RUN=$work/a/run
completes "pair pattern peer policy pool promote" lockstep p
completes "create open close list" lockstep pool ""
completes "list" lockstep volume l
completes "" lockstep nothing ""
completes "--keep=" lockstep resume db --k
completes "unix: tcp" lockstep attach db --nbd = ""
completes "--no-wait" lockstep resume db --no
completes "local peer" lockstep resume db --keep ""
completes "peer" lockstep resume db --keep = p
completes "--json" lockstep --j
completes "fail-open fail-closed" lockstep policy db f
completes "randread randwrite randrw" lockstep bench --rw = rand
completes "" lockstep promote ""
completes "" lockstep bench --time ""
: >"$work/a/some.conf"
completes "$work/a/some.conf" lockstep config check "$work/a/so"
completes "--payload-crc=" lockstepd --pay
completes "on off" lockstepd --payload-crc = o
completes "--timeout=" lockstep-exporter --ti
completes "debug" lockstepd --log-level d

# Every command is offered, and each of its options.
while read -r name; do
	# shellcheck disable=SC2086 # one or two words
	completes "$("$lockstep" $name --help | grep -oE '^ +(-., |    )--[a-z-]+=?' | grep -oE -- '--[a-z-]+=?' | xargs)" \
		lockstep $name --
	# shellcheck disable=SC2086
	completes "${name##* }" lockstep $name
done < <("$lockstep" --help | sed -n '/^Commands/,$s/^  \([a-z]*\( [a-z]*\)\{0,1\}\)  .*/\1/p')

# With one: names.
two_nodes
for name in db db-log; do on a volume create $name --size 1M >/dev/null; done
completes "db db-log" lockstep promote ""
completes "db-log" lockstep verify db-
completes "" lockstep verify db ""
completes "db db-log" lockstep pair --peer b ""
completes "db db-log" lockstep pair --peer = b ""
completes "b" lockstep pair db --peer ""
completes "pool-a" lockstep volume create new --pool = ""
completes "pool-a" lockstep pool close ""
completes "b" lockstep peer change ""
completes "db db-log" lockstep events --volume db
# That of another node.
completes "" lockstep --run "$work/b/run" promote ""
completes "pool-b" lockstep --run = "$work/b/run" volume create x --pool ""
completes "a" lockstep -r "$work/b/run" pair x --peer ""
passed
