#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: lockstep-exporter serves what the engine knows in a form that Debian's Prometheus scrapes; our rules and dashboard
# name only what is there; and when a node is killed, the alerts come.
. "$(dirname "$0")/lib.sh"
need python3 apt-get

exporter=$LS_BUILD/tools/exporter/lockstep-exporter
monitoring=$top/tools/monitoring
for name in promtool prometheus; do
	"$monitoring/prometheus-program" $name >"$work/$name" 2>"$work/said" || skip "$(tail -n 1 "$work/said")"
done
promtool=$(cat "$work/promtool") prometheus=$(cat "$work/prometheus") && rm "$work/prometheus"
http() { python3 "$here/metrics.py" "$@"; }

explain "rules, as promtool sees them"
"$promtool" check rules "$monitoring/alerts.yml"
(cd "$monitoring" && "$promtool" test rules alerts_test.yml)
"$promtool" check config --syntax-only "$monitoring/prometheus.yml" >/dev/null
jq -e '.panels | length > 15' "$monitoring/dashboard.json" >/dev/null || fail "the dashboard is no dashboard"

# export_node NODE: its URL in ${url[NODE]}.
declare -A url=() exporter_pid=()
export_node() {
	local line
	mkfifo "$work/$1/exporter"
	"$exporter" --run "$work/$1/run" --listen 127.0.0.1:0 >"$work/$1/exporter" 2>>"$work/$1/exporter.err" &
	exporter_pid[$1]=$!
	background+=("${exporter_pid[$1]}")
	read -rt "$LS_LIMIT" line <"$work/$1/exporter" || fail "the exporter did not become ready"
	url[$1]=${line#ready }
}
# scrape NODE: into $work/NODE/page.
scrape() {
	http get "${url[$1]}" >"$work/$1/answer"
	same "200 text/plain; version=0.0.4; charset=utf-8" "$(head -n 1 "$work/$1/answer")" "the answer"
	tail -n +2 "$work/$1/answer" >"$work/$1/page"
}
value() { http value "$work/$1/page" "$2"; }
# instance NODE: as Prometheus calls it.
instance() { sed 's|^http://||; s|/metrics$||' <<<"${url[$1]}"; }

two_nodes
mirrored vol 64M
on a bench --volume vol --rw randrw --bs 4k --qd 2 --time 2 >/dev/null
export_node a
export_node b

explain "a page, held to the format and to what the engine says"
scrape a
"$promtool" check metrics <"$work/a/page"
http check "$work/a/page" "$monitoring/alerts.yml" "$monitoring/dashboard.json"
for name in reads writes written_bytes; do
	same "$(volume_field a vol $name)" "$(value a "lockstep_volume_${name}_total{volume=\"vol\"}")" "$name"
done
same 1 "$(value a lockstep_up)" "lockstep_up"
same 1 "$(value a 'lockstep_mirror_state{volume="vol",peer="b",state="synced"}')" "synced"
same 0 "$(value a 'lockstep_mirror_state{volume="vol",peer="b",state="alone"}')" "alone"
same 1 "$(value a 'lockstep_peer_up{peer="b"}')" "the session"
same "$(ask a status .writes.count)" "$(value a lockstep_mirrored_writes_total)" "mirrored writes"
# The sample: not all, but enough of each hop, and none of the hops longer than the whole.
for hop in total local remote peer_device wire; do
	count=$(value a "lockstep_request_seconds_count{op=\"write\",hop=\"$hop\"}")
	((count >= 1 && count <= 400)) || fail "$hop: $count samples in two seconds"
done
for hop in local remote; do
	jq -en "$(value a "lockstep_request_seconds_sum{op=\"write\",hop=\"$hop\"}") <= $(value a 'lockstep_request_seconds_sum{op="write",hop="total"}')" \
		>/dev/null || fail "the sum of $hop is more than all"
done
scrape b
same 0 "$(value b 'lockstep_volume_primary{volume="vol"}')" "primary at b"

explain "what is not asked for nicely"
matches '^404 ' "$(http get "${url[a]%/metrics}/other")" "another page"
matches '^405 ' "$(http get --method POST "${url[a]}")" "POST"
matches '^200 .*/metrics' "$(http get "${url[a]%/metrics}/" | tr '\n' ' ')" "the root"
refuses 2 "is not ADDR:PORT" "$exporter" --listen 7619
refuses 2 "not a number from 1 to 60" "$exporter" --timeout 0
refuses 1 "cannot listen on 127.0.0.1 port .*in use" "$exporter" --listen "$(instance a)"

explain "Prometheus scrapes both; b is killed"
mkdir "$work/prometheus"
coproc watch { python3 "$here/metrics.py" watch "$prometheus" "$work/prometheus" "$monitoring/alerts.yml" 90 "${url[a]}" "${url[b]}"; }
background+=("$watch_PID")
exec {alerts}<&"${watch[0]}" {orders}>&"${watch[1]}"
# await_alert REGEX
await_alert() {
	local line
	while read -rt 60 -u "$alerts" line; do
		[[ ! $line =~ $1 ]] || return 0
	done
	fail "no alert '$1': $(tail -n 5 "$work/prometheus/prometheus.log")"
}
await_alert "^Scraped"
echo 'query sum by (volume) (lockstep_volume_writes_total)' >&"$orders"
read -rt 20 -u "$alerts" line
matches "^answer 200 .*\"vol\".*\"$(volume_field a vol writes)\"" "$line" "what Prometheus has"
crash b
# Goes on alone as soon as there is something to write.
on a pattern write vol --seed 1 --bytes 1M >/dev/null
# They come in any order.
: >"$work/alerts"
for alert in "LockstepEngineDown instance=$(instance b)" "LockstepMirrorAlone instance=$(instance a) .*volume=vol" \
	"LockstepPeerDown instance=$(instance a) .*peer=b"; do
	until grep -E "^$alert" "$work/alerts"; do
		read -rt 60 -u "$alerts" line || fail "no alert '$alert': $(tail -n 5 "$work/prometheus/prometheus.log")"
		echo "$line" >>"$work/alerts"
	done
done
echo end >&"$orders"
exec {orders}>&- {alerts}<&-
await_exit "$watch_PID" 30
same 0 "$status" "Prometheus's end"

explain "an engine that is not there"
scrape b
same 0 "$(value b lockstep_up)" "lockstep_up of b"
"$promtool" check metrics <"$work/b/page"
# It says so once; Prometheus may have asked at the moment of the kill.
matches "no lockstepd answers at|lockstepd ended before it answered" "$(cat "$work/b/exporter.err")" "what the exporter says"
start b
scrape b
same 1 "$(value b lockstep_up)" "lockstep_up of b that is back"
for node in a b; do
	kill -TERM "${exporter_pid[$node]}"
	await_exit "${exporter_pid[$node]}"
	same 0 "$status" "the exporter's exit status"
done
passed
