# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Words for tests that use a volume over NBD; behind lib.sh.

plugin=$LS_BUILD/tools/nbdkit/nbdkit-lockstep-plugin.so
export LC_ALL=C
# serve NODE VOLUME [PARAMETER...]: nbdkit, at $uri.
serve() {
	local node=$1 volume=$2 ready=$work/nbdkit.ready fd
	shift 2
	rm -f "$work/nbd.sock" "$ready"
	mkfifo "$ready"
	# The pid file is written when the socket listens.  Ours to write, too: nobody waits for one that never opens it.
	exec {fd}<>"$ready"
	in_background nbdkit -f --unix "$work/nbd.sock" --pidfile "$ready" "$plugin" "$volume" socket="$(socket_of "$node")" "$@"
	nbdkit_pid=$job
	read -rt "$LS_LIMIT" _ <&"$fd" || fail "nbdkit does not serve the volume"
	exec {fd}>&-
}
uri="nbd+unix:///?socket=$work/nbd.sock"
end_nbdkit() {
	kill -TERM "$nbdkit_pid"
	await_exit "$nbdkit_pid" 30
	same 0 "$status" "nbdkit's exit status"
}
python() { nbdsh -u "$uri" "$@"; }
