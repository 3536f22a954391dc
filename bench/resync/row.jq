# SPDX-License-Identifier: BSD-3-Clause
# One row of `run`, for people.
def mbps: if . == null then "? (it ended first: make the volume larger)" else "\(round) MB/s" end;
def us: round;
if .qd then
	"qd \(.qd): p99 \(.without.p99_us | us) -> \(.beside.p99_us | us) us, p50 \(.without.p50_us | us) -> \(.beside.p50_us | us) us, IOPS \(.without.iops | round) -> \(.beside.iops | round); resync \(.resync_mbps | mbps)"
else
	"round \(.round): alone \(.resync_mbps | mbps)" + if .wire_mbps then ", the wire \(.wire_mbps | mbps)" else "" end
end
