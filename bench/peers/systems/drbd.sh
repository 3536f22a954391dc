# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # variables of lib.sh and its systems
# DRBD 8.4, protocol C, over TCP: two resources of this machine, one for each device, that are each
# other's peer.  In sync from the start, by telling it so.
mirrored=yes kinds+=" pgbench"
drbdsetup=/usr/lib/drbd/drbdsetup-84

why_not() { missing drbdmeta "$drbdsetup" kernel:drbd; }

# The device's cache is not flushed behind the program's back: in DRBD's favour (README.md).
disk_options=(--disk-flushes=no --md-flushes=no --disk-barrier=no --al-extents=6007)
net_options=(--protocol=C --max-buffers=8000 --max-epoch-size=8000 --sndbuf-size=0)

half() { # NAME MINOR DEVICE IP PORT PEER-IP PEER-PORT
	drbdmeta --force "$2" v08 "$3" internal create-md 2>&1
	$drbdsetup new-resource "$1"
	$drbdsetup new-minor "$1" "$2" 0
	$drbdsetup attach "$2" "$3" "$3" internal "${disk_options[@]}"
	$drbdsetup connect "$1" "ipv4:$4:$5" "ipv4:$6:$7" "${net_options[@]}"
}
role_is() { [[ $($drbdsetup dstate "$1") == "$2" ]]; }

set_up() {
	modprobe drbd usermode_helper=disabled
	half peers-a 0 "$DEV_A" "$IP_A" 7788 "$IP_B" 7789
	half peers-b 1 "$DEV_B" "$IP_B" 7789 "$IP_A" 7788
	$drbdsetup wait-connect 0 --wfc-timeout=20 --degr-wfc-timeout=20
	$drbdsetup wait-connect 1 --wfc-timeout=20 --degr-wfc-timeout=20
	$drbdsetup new-current-uuid 0 --clear-bitmap=yes
	await 10 role_is 0 UpToDate/UpToDate
	$drbdsetup primary 0
	await 10 test -b /dev/drbd0
	TARGET=/dev/drbd0
}
tear_down() {
	local name
	for name in peers-a peers-b; do $drbdsetup down "$name" || true; done
	wipefs -qa "$DEV_A" "$DEV_B"
}
