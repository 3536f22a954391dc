# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # variables of lib.sh and its systems
# md raid1 of the local device and of the other one, which the kernel's NVMe target exports to this
# same machine over $md_transport.  A write-intent bitmap, as the others keep one; no resync, no write-behind.
mirrored=yes kinds+=" pgbench"
nqn=lockstep-bench nvmet=/sys/kernel/config/nvmet md=/dev/md/peers

why_not() { missing mdadm kernel:raid1 "kernel:nvmet-$md_transport" "kernel:nvme-$md_transport"; }

nvmet_export() {
	mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
	mkdir "$nvmet/subsystems/$nqn" "$nvmet/subsystems/$nqn/namespaces/1" "$nvmet/ports/1"
	echo 1 >"$nvmet/subsystems/$nqn/attr_allow_any_host"
	echo "$DEV_B" >"$nvmet/subsystems/$nqn/namespaces/1/device_path"
	echo 1 >"$nvmet/subsystems/$nqn/namespaces/1/enable"
	echo "$md_transport" >"$nvmet/ports/1/addr_trtype"
	echo ipv4 >"$nvmet/ports/1/addr_adrfam"
	echo "$IP_A" >"$nvmet/ports/1/addr_traddr"
	echo 4420 >"$nvmet/ports/1/addr_trsvcid"
	ln -s "$nvmet/subsystems/$nqn" "$nvmet/ports/1/subsystems/$nqn"
}

# What nvme-cli would do.  Sets imported to the block device.
nvme_connect() {
	local fd answer
	exec {fd}<>/dev/nvme-fabrics
	echo "transport=$md_transport,traddr=$IP_A,trsvcid=4420,nqn=$nqn" >&"$fd"
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
	modprobe -a configfs nvme-fabrics raid1 "nvmet-$md_transport" "nvme-$md_transport"
	nvmet_export
	nvme_connect
	export MDADM_NO_UDEV=1
	mkdir -p /dev/md /run/mdadm
	mdadm --create "$md" --level=1 --raid-devices=2 --metadata=1.2 --assume-clean --bitmap=internal \
		--bitmap-chunk=64M --homehost=any --run "$DEV_A" "$imported" 2>&1
	TARGET=$(readlink -f "$md")
	OFFSET_A=$(md_offset "$DEV_A")
	OFFSET_B=$(md_offset "$imported")
}
# Where the data begins on a member, in bytes.
md_offset() { echo $(($(<"/sys/block/${TARGET##*/}/md/dev-${1##*/}/offset") * 512)); }

tear_down() {
	[[ ! -b $md ]] || mdadm --stop "$md" 2>&1
	[[ -z ${controller:-} ]] || echo 1 >"/sys/class/nvme/$controller/delete_controller"
	if [[ -d $nvmet/ports/1 ]]; then
		rm -f "$nvmet/ports/1/subsystems/$nqn"
		rmdir "$nvmet/ports/1" "$nvmet/subsystems/$nqn/namespaces/1" "$nvmet/subsystems/$nqn"
	fi
	wipefs -qa "$DEV_A" "$DEV_B"
}
