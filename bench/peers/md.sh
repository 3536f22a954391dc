# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # variables of lib.sh and its systems
# md raid1 of the local device and of the other one, which the kernel's NVMe target at b exports over
# $md_transport.  A write-intent bitmap, as the others keep one; no resync, no write-behind.
mirrored=yes kinds+=" pgbench"
# md_tuned=: as mdadm and the kernel make them.
: "${md_tuned=yes}"
# Names and numbers that are nobody else's.
nqn=lockstep-bench nvmet=/sys/kernel/config/nvmet md=/dev/md/peers md_port=7420

why_not() {
	missing mdadm kernel:raid1 "kernel:nvme-$md_transport"
	[[ ! -e $md ]] || echo "there is a $md already"
}
why_not_b() { missing "kernel:nvmet-$md_transport"; }

# At b.
nvmet_export() {
	modprobe -a configfs "nvmet-$md_transport"
	mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
	mkdir "$nvmet/subsystems/$nqn" "$nvmet/subsystems/$nqn/namespaces/1" "$nvmet/ports/$md_port"
	echo 1 >"$nvmet/subsystems/$nqn/attr_allow_any_host"
	echo "$DEV_B" >"$nvmet/subsystems/$nqn/namespaces/1/device_path"
	echo 1 >"$nvmet/subsystems/$nqn/namespaces/1/enable"
	echo "$md_transport" >"$nvmet/ports/$md_port/addr_trtype"
	# 4 KiB is the default over RDMA, and this what the kernel allows at most.
	[[ -z $md_tuned ]] || echo 16384 >"$nvmet/ports/$md_port/param_inline_data_size"
	echo ipv4 >"$nvmet/ports/$md_port/addr_adrfam"
	echo "$IP_B" >"$nvmet/ports/$md_port/addr_traddr"
	echo $md_port >"$nvmet/ports/$md_port/addr_trsvcid"
	ln -s "$nvmet/subsystems/$nqn" "$nvmet/ports/$md_port/subsystems/$nqn"
}

# What nvme-cli would do.  Sets imported to the block device.
nvme_connect() {
	local fd answer
	exec {fd}<>/dev/nvme-fabrics
	echo "transport=$md_transport,traddr=$IP_B,trsvcid=$md_port,nqn=$nqn" >&"$fd"
	read -r answer <&"$fd"
	exec {fd}>&-
	controller=nvme$(sed -n 's/.*instance=\([0-9]*\).*/\1/p' <<<"$answer")
	await 10 find_import
}
find_import() {
	local subsystem path
	for subsystem in /sys/class/nvme-subsystem/*; do
		[[ $(<"$subsystem/subsysnqn") == "$nqn" ]] || continue
		for path in "$subsystem"/nvme*n1 "/sys/class/nvme/$controller"/nvme*n1; do
			imported=/dev/${path##*/}
			[[ ! -b $imported ]] || return 0
		done
	done
	return 1
}

set_up() {
	at_b nvmet_export
	modprobe -a nvme-fabrics raid1 "nvme-$md_transport"
	nvme_connect
	export MDADM_NO_UDEV=1
	mkdir -p /dev/md /run/mdadm
	mdadm --create "$md" --level=1 --raid-devices=2 --metadata=1.2 --assume-clean --bitmap=internal \
		${md_tuned:+--bitmap-chunk=64M} --homehost=any --run "$DEV_A" ${md_tuned:+--write-mostly} "$imported" 2>&1
	TARGET=$(readlink -f "$md")
	OFFSET_A=$(md_offset "$DEV_A")
	OFFSET_B=$(md_offset "$imported")
}
# Where the data begins on a member, in bytes.
md_offset() { echo $(($(<"/sys/block/${TARGET##*/}/md/dev-${1##*/}/offset") * 512)); }

nvmet_remove() {
	if [[ -d $nvmet/ports/$md_port ]]; then
		rm -f "$nvmet/ports/$md_port/subsystems/$nqn"
		rmdir "$nvmet/ports/$md_port"
	fi
	if [[ -d $nvmet/subsystems/$nqn ]]; then
		[[ ! -d $nvmet/subsystems/$nqn/namespaces/1 ]] || rmdir "$nvmet/subsystems/$nqn/namespaces/1"
		rmdir "$nvmet/subsystems/$nqn"
	fi
	wipefs -qa "$DEV_B"
}
tear_down() {
	# Without udev nobody else takes the name away.
	[[ ! -b $md ]] || { mdadm --stop "$md" 2>&1 && rm -f "$md"; }
	[[ -z ${controller:-} ]] || echo 1 >"/sys/class/nvme/$controller/delete_controller"
	wipefs -qa "$DEV_A"
	at_b nvmet_remove
}
