# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Shared by tools/quickstart and tools/check: what they say, the packages, the builds.
# The caller has `set -euo pipefail` and its current folder is the top of the checkout.

readonly log_dir=build/log
: "${LS_JOBS:=$(nproc)}"

# "[  12 s] words": how long so far, and what begins now.
say() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }
die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# run_logged NAME CMD...: output goes to a file; the end of it is shown when CMD fails.
run_logged() {
	local log=$log_dir/$1.log rc=0
	shift
	mkdir -p "$log_dir"
	"$@" >"$log" 2>&1 </dev/null || rc=$?
	((rc == 0)) && return
	tail -n 40 "$log" >&2
	die "\`$*\` failed with status $rc; all of its output is in $log."
}

as_root() {
	if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi
}

can_be_root() {
	((EUID == 0)) || sudo -n true 2>/dev/null
}

# packages_for PURPOSE...: the names in tools/packages.
packages_for() {
	awk -v "want=$*" 'BEGIN { n = split(want, w); for (i = 1; i <= n; i++) ok[w[i]] }
		!/^#/ && ($2 in ok) { print $1 }' tools/packages
}

missing_packages() {
	local installed
	# A virtual package (pkg-config is one) counts when something provides it.
	installed=$(dpkg-query -W -f '${db:Status-Status} ${Package} ${Provides}\n' |
		awk '$1 == "installed" { $1 = ""; gsub(/,|\([^)]*\)/, " "); print }' | tr ' ' '\n' | sort -u)
	packages_for "$@" | sort -u | comm -23 - <(echo "$installed")
}

apt_quietly() {
	run_logged "apt-$1" as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get -y -q -o DPkg::Lock::Timeout=300 "$@"
}

# install_packages PURPOSE...: leaves when it cannot.
install_packages() {
	local missing count
	if ! type dpkg-query >/dev/null 2>&1; then
		say "packages: this is no Debian; I go on with what is installed (the list is tools/packages)"
		return
	fi
	missing=$(missing_packages "$@" | xargs)
	if [[ -z $missing ]]; then
		say "packages: all $(packages_for "$@" | wc -l) are installed"
	else
		count=$(wc -w <<<"$missing")
		if ! can_be_root; then
			echo "$count Debian packages are missing, and I am neither root nor allowed to sudo. Run this, then try again:" >&2
			echo "  apt-get update && apt-get install --no-install-recommends $missing" >&2
			exit 1
		fi
		say "packages: installing $count with what they need: $missing"
		apt_quietly update
		# shellcheck disable=SC2086 # a list of words
		apt_quietly install --no-install-recommends $missing
	fi
	[[ " $* " != *" lab "* ]] || know_kernel
}

# The lab downloads Debian's kernel once; for that apt must know of it.
know_kernel() {
	[[ -z ${LAB_KERNEL_DEB:-} ]] || return 0
	compgen -G "${XDG_CACHE_HOME:-$HOME/.cache}/lockstep-lab/kernel/*/ready" >/dev/null && return
	apt-cache depends linux-image-amd64 2>/dev/null | grep -q '^ *Depends: linux-image-[0-9]' && return
	can_be_root || die "apt knows no package linux-image-amd64, whose kernel the lab runs. Run \`apt-get update\` as root, then try again."
	say "packages: apt-get update, so that the lab finds Debian's kernel"
	apt_quietly update
}

# The engine for fio is built against headers that no package has.
fetch_fio_headers() {
	say "fio's headers: $(tools/fio/source || echo "none, so its engine is not built")"
}

# build_preset PRESET [TARGET...]
build_preset() {
	local preset=$1
	shift
	type cmake >/dev/null 2>&1 || die "cmake is not installed; tools/packages lists what the build needs."
	say "building $preset in build/$preset ($LS_JOBS jobs)"
	run_logged "configure-$preset" cmake --preset "$preset"
	run_logged "build-$preset" cmake --build --preset "$preset" -j "$LS_JOBS" ${*:+--target "$@"}
}
