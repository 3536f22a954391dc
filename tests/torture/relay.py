# SPDX-License-Identifier: BSD-3-Clause
"""The wire between two native daemons: a TCP relay that can be cut, or go silent one way or both.

A silent direction keeps what is under way: when it is mended, old bytes may still arrive, as they
may on a real network.
"""
import socket
import threading

CHUNK = 256 * 1024


class Relay:
    """Listens for one node's dials to the other. Direction "out" is that of the one that dials."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.target = None
        self.is_cut = False
        self.open_gate = {"out": threading.Event(), "in": threading.Event()}
        self.connections = set()
        self.lock = threading.Lock()
        self.mend()
        threading.Thread(target=self._accept, daemon=True).start()

    def mend(self):
        self.is_cut = False
        for gate in self.open_gate.values():
            gate.set()

    def silence(self, *directions):
        for direction in directions:
            self.open_gate[direction].clear()

    def cut(self):
        self.is_cut = True
        with self.lock:
            for one in self.connections:
                _shut(one)

    def _accept(self):
        while True:
            near, _ = self.listener.accept()
            far = None
            try:
                if self.is_cut or not self.target:
                    raise OSError("the wire is cut")
                far = socket.create_connection(self.target, timeout=5)
                far.settimeout(None)
            except OSError:
                near.close()
                continue
            for one in (near, far):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.connections |= {near, far}
            for way in ((near, far, "out"), (far, near, "in")):
                threading.Thread(target=self._pump, args=way, daemon=True).start()

    def _pump(self, source, sink, direction):
        try:
            while True:
                data = source.recv(CHUNK)
                # Behind the read: what waits at a closed gate is under way.
                self.open_gate[direction].wait()
                if not data:
                    break
                sink.sendall(data)
        except OSError:
            pass
        # Both ends: the daemons know no half-open session.
        _shut(source)
        _shut(sink)
        with self.lock:
            gone = {source} & self.connections
            self.connections -= gone
        for one in gone:
            one.close()


def _shut(one):
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
