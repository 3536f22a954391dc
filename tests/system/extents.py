#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Prints "PATH OFFSET LENGTH" for each extent of a volume; standard input is `lockstep --json volume list`."""
import json
import sys

volumes = [v for v in json.load(sys.stdin)["volumes"] if v["name"] == sys.argv[1]]
if not volumes:
    sys.exit(f"extents: there is no volume {sys.argv[1]}")
for extent in volumes[0]["extents"]:
    path = volumes[0]["devices"][extent["device"]].removeprefix("file:")
    # NVMe's character device has no read(); the block device is the same bytes.
    print(path.replace("/dev/ng", "/dev/nvme"), extent["offset"], extent["length"])
