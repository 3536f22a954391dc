#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A service manager as far as its notify socket: starts a daemon and prints each notification on a line.

usage: service_manager.py WATCHDOG_USEC CMD...     ends with CMD, with its exit status
"""
import os
import socket
import subprocess
import sys
import tempfile
import threading


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(path)
            env = dict(os.environ, NOTIFY_SOCKET=path, WATCHDOG_USEC=sys.argv[1])
            daemon = subprocess.Popen(sys.argv[2:], env=env, stdout=subprocess.DEVNULL)
            status = []

            def reap():
                status.append(daemon.wait())
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
                    end.sendto(b"END", path)

            threading.Thread(target=reap).start()
            while True:
                message = sock.recv(4096)
                if message == b"END":
                    return status[0]
                for line in message.decode().splitlines():
                    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
