# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # variables of lib.sh and its systems
# What who does not tune them has.
md_transport=rdma md_tuned=
. "$peers/md.sh"
