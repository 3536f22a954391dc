# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# How `run` and `profile` begin, on the host; behind tools/lib.sh.

know_systems() { # NAME...
	local name
	for name; do
		[[ -f bench/peers/systems/$name.sh ]] || die "there is no system '$name'; there are: $(cd bench/peers/systems && echo *.sh | sed 's/\.sh//g')"
	done
}

is_load_job() { [[ $1 =~ ^(randwrite|randread|randrw|fsync):[0-9]+:[0-9]+$ ]]; }

# With LS_BUILD neither installs nor builds; sets it otherwise.
have_build() { # PACKAGE-GROUP...
	if [[ -n ${LS_BUILD:-} ]]; then
		LS_BUILD=$(cd "$LS_BUILD" && pwd -P)
	else
		LS_BUILD=$PWD/build/release
		install_packages build bench "$@"
		build_preset release lockstepd lockstep answer bench-load bench-floor
	fi
}
