# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC2154 # variables of lib.sh
# What --real has beside the turns: another machine's copy of what runs there, devices that are looked
# at before they are overwritten, and what the machines are.  Behind lib.sh, at both of them.

### At the machine with the device

# device_why_not DEVICE BYTES: why it is not overwritten, or nothing.
device_why_not() {
	local device=$1 name=${1#/dev/} bytes number found at
	[[ $device =~ ^/dev/nvme[0-9]+n[0-9]+$ ]] || { echo "$device is not the name of an NVMe namespace (/dev/nvme0n1); partitions and other devices are not taken" && return; }
	[[ -b $device ]] || { echo "there is no block device $device" && return; }
	[[ -c /dev/ng${device#/dev/nvme} ]] || { echo "$device has no character device for passthrough, /dev/ng${device#/dev/nvme}" && return; }
	bytes=$(blockdev --getsize64 "$device") number=$(<"/sys/block/$name/dev")
	((bytes >= $2)) || { echo "$device has $bytes bytes; with this --span it takes $2" && return; }
	found=$(compgen -G "/sys/block/$name/${name}p*" | sed 's,.*/,,' | xargs) || true
	[[ -z $found ]] || { echo "$device has partitions: $found" && return; }
	found=$(awk -v number="$number" '$3 == number { print $5 }' /proc/self/mountinfo | xargs)
	[[ -z $found ]] || { echo "$device is mounted at $found" && return; }
	! grep -q "^$device " /proc/swaps || { echo "$device is used as swap" && return; }
	found=$(ls "/sys/block/$name/holders")
	[[ -z $found ]] || { echo "$device is part of $found" && return; }
	! grep -qxsF "$device" /sys/kernel/config/nvmet/subsystems/*/namespaces/*/device_path || { echo "$device is exported by this machine's NVMe target" && return; }
	for at in 0 65536; do
		# Two places of the superblock: engine/doc/ondisk.md.
		[[ $(dd if="$device" bs=8 count=1 skip=$((at / 8)) status=none | tr -d '\0') != LOCKSTEP ]] || { echo "$device is in a pool of Lockstep (wipefs does not know it; if nobody needs that, overwrite its first MiB)" && return; }
	done
	found=$(wipefs -n --noheadings -O TYPE "$device" | sort -u | xargs)
	[[ -z $found ]] || { echo "$device carries $found; if nobody needs that: wipefs -a $device" && return; }
	"$bench_load" --unused "$device" 2>&1 || true
}

# What remains of the last system: the next run, and the next user, find nothing.
clear_device() {
	local end
	wipefs -qa "$1"
	end=$(($(blockdev --getsize64 "$1") >> 20))
	dd if=/dev/zero of="$1" bs=1M count=16 oflag=direct conv=fsync status=none
	dd if=/dev/zero of="$1" bs=1M count=16 seek=$((end - 16)) oflag=direct conv=fsync status=none
}

# describe_device DEVICE: in one line, with what is in its first MiB.
describe_device() {
	local empty
	empty=$(dd if="$1" bs=1M count=1 status=none | tr -d '\0' | wc -c)
	echo "$1, $(device_fact MODEL "$1"), serial $(device_fact SERIAL "$1"), $(device_fact SIZE "$1"), blocks of $(blockdev --getss "$1") bytes," \
		"its first MiB is $( ((empty > 0)) && echo "NOT empty" || echo empty)"
}
# lsblk -r writes \x20 for a blank, and there are many at the end.
device_fact() { lsblk -dnro "$1" "$2" | sed 's/\(\\x20\)*$//; s/\\x20/ /g'; }
describe_machine() { # IP
	local netdev
	netdev=$(netdev_of "$1")
	echo "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), $(nproc) CPUs, kernel $(uname -r);" \
		"$netdev, MTU $(cat "/sys/class/net/$netdev/mtu" 2>/dev/null), $(cat "/sys/class/net/$netdev/speed" 2>/dev/null || echo "?") Mb/s," \
		"RDMA device $(rdma_of "$1")"
}

# side_why_not DEVICE BYTES IP: why this machine cannot take part, or nothing.
side_why_not() {
	local found
	((EUID == 0)) || { echo "this takes root" && return; }
	found=$(missing dd wipefs blockdev lsblk sha256sum ip modprobe)
	[[ -z $found ]] || { echo "$found" && return; }
	found=$(for_libraries)
	[[ -z $found ]] || { echo "$found: install there what tools/packages lists for build and bench" && return; }
	[[ -n $(netdev_of "$3") ]] || { echo "no network device has the address $3" && return; }
	device_why_not "$1" "$2"
}
for_libraries() {
	local program
	for program in engine/daemon/lockstepd tools/lockstep/lockstep bench/load/bench-load bench/floor/bench-floor; do
		ldd "$LS_BUILD/$program" 2>&1 | sed -n "s,.*[ \`']\([^ ]*\)' *not found.*,\1 is missing,p; s,^[[:space:]]*\([^ ]*\) => not found.*,\1 is missing,p"
	done | head -n 1
}
boot_id() { cat /proc/sys/kernel/random/boot_id; }

### At a

# copy_to_b: what b runs, in a folder of its own, $PEERS_THERE.
copy_to_b() {
	# shellcheck disable=SC2016 # for the shell at b
	PEERS_THERE=$($PEERS_REMOTE 'mktemp -d "${TMPDIR:-/var/tmp}/ls-peers.XXXXXX"' </dev/null) || return 1
	# shellcheck disable=SC2086 # a command and its options
	tar -C "$top" -cf - bench/peers tests/system/lib.sh | $PEERS_REMOTE "tar -xof - -C $PEERS_THERE" || return 1
	# shellcheck disable=SC2086
	tar -C "$LS_BUILD" -chf - engine/daemon/lockstepd tools/lockstep/lockstep bench/load/bench-load bench/floor/bench-floor |
		$PEERS_REMOTE "mkdir -p $PEERS_THERE/build/release && tar -xof - -C $PEERS_THERE/build/release"
}
remove_from_b() {
	# shellcheck disable=SC2086
	[[ -z $PEERS_THERE ]] || $PEERS_REMOTE "rm -rf $PEERS_THERE" </dev/null || true
	PEERS_THERE=""
}

# real_why_not: of both machines, or nothing.
real_why_not() {
	local why bytes=$((PEERS_SPAN + (256 << 20)))
	why=$(side_why_not "$DEV_A" "$bytes" "$IP_A") || why="the look at this machine failed"
	[[ -z $why ]] || { echo "here: $why" && return; }
	why=$(at_b side_why_not "$DEV_B" "$bytes" "$IP_B" 2>&1) || why="the look at b failed: $why"
	[[ -z $why ]] || { echo "at b: $why" && return; }
	[[ $DEV_A != "$DEV_B" || $(boot_id) != "$(at_b boot_id)" ]] || echo "both devices are the same one"
	[[ $IP_A != "$IP_B" ]] || echo "both addresses are the same"
}

# confirm: a person says which devices, or --yes did.
confirm() { # HOST-B YES
	local answer wanted="$DEV_A $1:$DEV_B"
	cat <<-TEXT

		EVERYTHING ON THESE TWO DEVICES IS LOST:
		  here:  $(describe_device "$DEV_A")
		  at $1:  $(at_b describe_device "$DEV_B")

	TEXT
	[[ -z $2 ]] || return 0
	[[ -t 0 ]] || { echo "There is nobody to ask: --yes says that this is meant." >&2 && return 1; }
	read -rp "To go on, type: $wanted"$'\n> ' answer
	[[ $answer == "$wanted" ]] || { echo "Nothing was written." >&2 && return 1; }
}

describe_both() { # HOST-B
	echo "host a: $(describe_machine "$IP_A")"
	echo "host b: $(at_b describe_machine "$IP_B")"
	echo "device a: $(describe_device "$DEV_A")"
	echo "device b: $(at_b describe_device "$DEV_B")"
}
