# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # variables of lib.sh and its systems
# Two lockstepd, a paired volume, a process that asks through the queue in shared memory.
# Also the base of the other lockstep-*: they say what differs.
mirrored=yes
: "${lockstep_transport:=rdma}"
lockstep_options=()
LS_TRANSPORT=$lockstep_transport LS_HOST=$IP_A LS_DEVS_A=$DEV_A LS_DEVS_B=$DEV_B LIMIT=120
[[ $PEERS_SIDE == a ]] || LS_HOST=$IP_B
. "$top/tests/system/lib.sh"
[[ -z $PEERS_REMOTE ]] || . "$peers/lockstep-there.sh"

why_not() { missing jq; }

set_up() {
	lockstep_nodes
	TARGET=$(socket_of a):vol
}

# Two nodes and the volume "vol" on both; on one machine a has CPU 0 and b CPU 1.
lockstep_nodes() {
	if [[ -z $PEERS_REMOTE ]]; then
		start a --core 0 "${lockstep_options[@]}"
		start b --core 1 "${lockstep_options[@]}"
	else
		start a "${lockstep_options[@]}"
		start_there
	fi
	pool a pool-a
	pool b pool-b
	introduce
	mirrored vol "$PEERS_SPAN"
	read -r _ OFFSET_A _ < <(extents a vol)
	read -r _ OFFSET_B _ < <(extents b vol)
}

# At b, with --real: a daemon that ends with our standard input.
lockstep_at_b() {
	start b "${lockstep_options[@]}"
	echo "$work ${node_uri[b]}"
	cat >/dev/null
}
