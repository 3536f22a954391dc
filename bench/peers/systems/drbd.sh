# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # variables of lib.sh and its systems
# DRBD 8.4, protocol C, over TCP: two resources, one for each device, that are each other's peer, on
# one machine or on two.  In sync from the start, by telling it so.
mirrored=yes kinds+=" pgbench"
drbdsetup=/usr/lib/drbd/drbdsetup-84

# Numbers that are nobody else's.
minor_a=240 minor_b=241 port_a=7788 port_b=7789

why_not() {
	local version
	missing drbdmeta "$drbdsetup" kernel:drbd
	version=$(modinfo -F version drbd 2>/dev/null)
	[[ $version == 8.4.* ]] || echo "the module drbd is version $version, not 8.4"
}
why_not_b() { why_not; }

# The device's cache is not flushed behind the program's back: in DRBD's favour (README.md).
disk_options=(--disk-flushes=no --md-flushes=no --disk-barrier=no --al-extents=6007)
net_options=(--protocol=C --max-buffers=8000 --max-epoch-size=8000 --sndbuf-size=0)

half() { # NAME MINOR DEVICE IP PORT PEER-IP PEER-PORT
	modprobe drbd usermode_helper=disabled
	drbdmeta --force "$2" v08 "$3" internal create-md 2>&1
	$drbdsetup new-resource "$1"
	$drbdsetup new-minor "$1" "$2" 0
	$drbdsetup attach "$2" "$3" "$3" internal "${disk_options[@]}"
	$drbdsetup connect "$1" "ipv4:$4:$5" "ipv4:$6:$7" "${net_options[@]}"
}
role_is() { [[ $($drbdsetup dstate "$1") == "$2" ]]; }

set_up() {
	half peers-a $minor_a "$DEV_A" "$IP_A" $port_a "$IP_B" $port_b
	at_b half peers-b $minor_b "$DEV_B" "$IP_B" $port_b "$IP_A" $port_a
	$drbdsetup wait-connect $minor_a --wfc-timeout=20 --degr-wfc-timeout=20
	at_b "$drbdsetup" wait-connect $minor_b --wfc-timeout=20 --degr-wfc-timeout=20
	$drbdsetup new-current-uuid $minor_a --clear-bitmap=yes
	await 10 role_is $minor_a UpToDate/UpToDate
	$drbdsetup primary $minor_a
	TARGET=/dev/drbd$minor_a
	await 10 test -b "$TARGET"
}
tear_down() {
	take_down peers-a "$DEV_A"
	at_b take_down peers-b "$DEV_B"
}
take_down() { # NAME DEVICE
	$drbdsetup down "$1" || true
	wipefs -qa "$2"
}
