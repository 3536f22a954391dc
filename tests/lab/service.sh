#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Goal: lockstepd.service and lockstep-attach@.service start as they are installed, hardening and all, over RDMA and NVMe;
# what happens is in the journal with its fields; an engine that hangs is started again by the
# watchdog, with its volume; a wrong configuration is not started again and again; it stops in order.  So does the exporter.
#
# usage: service.sh [PACKAGES]    a folder with the Debian packages: they are installed, and removed under
#                                 the engine that runs; without it: what `cmake --install` installs
#
# The guest's first program is not systemd: here one runs as the first of its own namespaces.
. "$(dirname "$0")/../system/lib.sh"

need root rdma systemctl journalctl udevadm nsenter unshare pgrep cmake
[[ -n $LS_DEVS_A ]] || skip "is about NVMe devices"
manager="" packages=${1:-} prefix=/usr/local
[[ -z $packages ]] || prefix=/usr

# In a machine that other tests use, too.
undo() {
	local rc=$?
	set +e
	if ((rc != 0 && rc != 77)) && [[ -n $manager ]]; then
		echo "--- the journal, last lines"
		in_there journalctl --no-pager -n 40
	fi
	# With the first process of its namespace all others there end.
	[[ -z $manager ]] || kill -KILL "$manager"
	if [[ -n $packages ]]; then dpkg --purge lockstep liblockstep0 >/dev/null 2>&1; fi
	rm -rf /etc/lockstep /var/lib/lockstep
	xargs -r rm -f <"$work/installed"
	(exit $rc)
	cleanup
}
trap undo EXIT

in_there() { timeout "${LIMIT:-180}" nsenter -t "$manager" -m -p -C -- "$@"; }
lockstep_there() { in_there "$prefix/bin/lockstep" "$@"; }
property() { in_there systemctl show --value -p "$1" "${2:-lockstepd}"; } # PROPERTY [UNIT]

# boot: systemd with the journal, and nothing else that it would start by itself.
boot() {
	local fd
	cat >"$work/lab.target" <<-UNIT
		[Unit]
		Requires=systemd-journald.service lab-up.service
		After=systemd-journald.service
	UNIT
	cat >"$work/lab-up.service" <<-UNIT
		[Unit]
		DefaultDependencies=no
		After=systemd-journald.service
		[Service]
		Type=oneshot
		ExecStart=/bin/sh -c 'echo up >$work/booted'
	UNIT
	mkfifo "$work/booted"
	exec {fd}<>"$work/booted"
	# shellcheck disable=SC2016 # for the shell in there
	env -i container=lockstep-lab PATH="$PATH" WORK="$work" unshare --fork --pid --mount --cgroup --mount-proc bash -c '
		mount -t tmpfs -o mode=755 tmpfs /run
		mkdir -p /run/systemd/system /run/lock /run/log/journal
		# It would empty /tmp, and the others are slow here.
		for unit in systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service systemd-sysusers.service \
			systemd-binfmt.service proc-sys-fs-binfmt_misc.automount systemd-update-utmp.service; do
			ln -s /dev/null "/run/systemd/system/$unit"
		done
		cp "$WORK"/lab.target "$WORK"/lab-up.service /run/systemd/system/
		mount -t cgroup2 cgroup2 /sys/fs/cgroup
		exec /lib/systemd/systemd --system --unit=lab.target --show-status=no' >"$work/boot.log" 2>&1 &
	background+=($!)
	read -rt 60 -u "$fd" _ || fail "systemd did not start: $(tail -n 5 "$work/boot.log")"
	exec {fd}<&-
	manager=$(pgrep -P $!)
}

boot
: >"$work/installed"
if [[ -n $packages ]]; then
	rm -f /var/lib/man-db/auto-update # its index of pages takes minutes in emulation
	LIMIT=200 in_there dpkg -i "$packages"/lockstep_*.deb "$packages"/liblockstep0_*.deb
else
	cmake --install "$LS_BUILD" --prefix $prefix >"$work/installing"
	sed -n 's/^-- \(Installing\|Up-to-date\): //p' "$work/installing" >"$work/installed"
	in_there systemctl daemon-reload
	mkdir -p /etc/lockstep
fi
same "inactive disabled" "$(property ActiveState) $(property UnitFileState)" "the service, installed"
printf '%s\n' "node = a" "listen = rdma://$LS_HOST:7610" >>/etc/lockstep/lockstepd.conf

# It starts, and has what it needs: the NIC, passthrough, locked memory.
in_there systemctl start lockstepd
same active "$(property ActiveState)" "the service"
lockstep_there pool create pool "$(device a)" --force
lockstep_there --json status >"$work/status"
same "rdma locked on" "$(jq -r '[.fabric.backend, .machine.memory, .machine.io_flusher] | join(" ")' "$work/status")" "what it runs on"
same nvme "$(jq -r '.pools[0].devices[0].backend' "$work/status")" "the store"

# A mirror with an engine outside.
start b
pool b pool-b
on b key create "$work/key" >/dev/null
cp "$work/key" /etc/lockstep/key
lockstep_there peer add b --address "${node_uri[b]#*://}" --key-file /etc/lockstep/key
on b peer add a --address "$LS_HOST:7610" --key-file "$work/key" >/dev/null
lockstep_there volume create vol --size 16M
lockstep_there pair vol --peer b
lockstep_there pattern write vol --seed 7 --bytes 4M
lockstep_there pattern check vol --seed 7 --bytes 4M
same synced "$(volume_field b vol mirror)" "the mirror, at b"

# A block device as a service: as it is installed, too. It does not stop with the engine that is restarted below.
in_there systemctl start lockstep-attach@vol
same active "$(property ActiveState lockstep-attach@vol)" "the block device's service"
same $((16 << 20)) "$(blockdev --getsize64 /dev/lockstep/vol)" "the block device"
# What udev makes of it, where it runs: the same name.
in_there udevadm test "/sys/block/$(basename "$(readlink /dev/lockstep/vol)")" >"$work/udev" 2>&1 || fail "udevadm test: status $?"
grep -qE "^DEVLINKS=(.* )?/dev/lockstep/vol( |$)" "$work/udev" || fail "udev's rule does not name the device: $(tail -n 5 "$work/udev")"

# The journal knows what each entry is about, and explains it.
in_there journalctl -o json VOLUME=vol PEER=b TO=synced | jq -r '[._SYSTEMD_UNIT, .SYSLOG_IDENTIFIER, .MESSAGE_ID, .EVENT] | join(" ")' >"$work/said"
same "lockstepd.service lockstepd c500c027857546e194387f6b01ffcc7e mirror" "$(cat "$work/said")" "the entry"

# The exporter's unit, with all that it gives up.
if [[ -z $packages ]]; then
	in_there systemctl start lockstep-exporter
	grep -qm 1 "^ready http://127.0.0.1:7619/metrics" < <(in_there journalctl -f -n all -o cat -u lockstep-exporter) ||
		fail "the exporter did not start"
	python3 "$here/metrics.py" get http://127.0.0.1:7619/metrics >"$work/page"
	for sample in "lockstep_up 1" 'lockstep_peer_up{peer="b"} 1' 'lockstep_mirror_state{volume="vol",peer="b",state="synced"} 1'; do
		grep -qxF "$sample" "$work/page" || fail "the exporter does not say '$sample': $(head -n 4 "$work/page")"
	done
	in_there systemctl stop lockstep-exporter
	same "inactive success" "$(in_there systemctl show --value -p ActiveState -p Result lockstep-exporter | sort | xargs)" "the exporter after a stop"
fi

# The watchdog: one that hangs is killed and started again; clients and peer go on.
in_there mkdir -p /run/systemd/system/lockstepd.service.d
in_there bash -c 'printf "%s\n" "[Service]" WatchdogSec=5s >/run/systemd/system/lockstepd.service.d/lab.conf'
in_there systemctl daemon-reload
in_there systemctl restart lockstepd
first=$(property MainPID)
mark b
in_there kill -STOP "$first"
grep -qm 1 "Watchdog timeout" < <(in_there journalctl -f -n all -o cat -u lockstepd) || fail "the watchdog did not notice"
await_log b "volume 'vol': .*-> synced"
same active "$(property ActiveState)" "the service after the watchdog"
[[ $(property MainPID) != "$first" ]] || fail "the engine that hung is still there"
same 1 "$(property NRestarts)" "restarts"
lockstep_there pattern check vol --seed 7 --bytes 4M

dd if=/dev/lockstep/vol of=/dev/null bs=64k count=8 iflag=direct status=none
in_there systemctl stop lockstep-attach@vol
same "inactive success" "$(property ActiveState lockstep-attach@vol) $(property Result lockstep-attach@vol)" "the block device, stopped"
[[ ! -e /dev/lockstep/vol ]] || fail "the block device is there still"

# An orderly end; a wrong configuration is refused once.
in_there systemctl stop lockstepd
same "inactive success" "$(property ActiveState) $(property Result)" "the service after a stop"
echo "slots = many" >>/etc/lockstep/lockstepd.conf
! in_there systemctl start lockstepd 2>"$work/said" || fail "a wrong configuration was started"
same "failed 2 0" "$(property ActiveState) $(property ExecMainStatus) $(property NRestarts)" "the service with a wrong configuration"
in_there journalctl -o cat -u lockstepd | grep -E "lockstepd.conf:[0-9]+: slots: 'many' is not a number" ||
	fail "the journal does not say what is wrong"
[[ -n $packages ]] || passed

# A package that is removed stops its engine; one that is purged leaves the data.
if [[ -n $packages ]]; then
	sed -i '$d' /etc/lockstep/lockstepd.conf
	in_there systemctl enable --now lockstepd
	lockstep_there pattern check vol --seed 7 --bytes 4M
	# A host that is a container itself forbids packages to touch services; what counts here is what they ask for.
	[[ ! -e /usr/sbin/policy-rc.d ]] || in_there mount --bind /dev/null /usr/sbin/policy-rc.d
	LIMIT=200 in_there dpkg --remove lockstep
	same "inactive" "$(property ActiveState)" "the service of a package that was removed"
	in_there rm -r /run/systemd/system/lockstepd.service.d # this test's own
	LIMIT=200 in_there dpkg --purge lockstep
	[[ -e /var/lib/lockstep/node.json && -e /etc/lockstep/key && ! -e /etc/lockstep/lockstepd.conf ]] ||
		fail "the purge left too little or too much: $(ls /var/lib/lockstep /etc/lockstep)"
	[[ -z $(in_there find /etc/systemd /run/systemd/system /lib/systemd/system -name 'lockstepd*') ]] || fail "something of the unit is left"
	passed
fi
