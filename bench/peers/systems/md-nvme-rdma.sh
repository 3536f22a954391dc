# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # variables of lib.sh and its systems
md_transport=rdma
. "$peers/md.sh"
