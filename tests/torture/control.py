# SPDX-License-Identifier: BSD-3-Clause
"""The control socket of an engine: one request, or its events. engine/doc/control.md."""
import json
import socket


def ask(path, limit_s, request):
    """(answer, "") or (None, why not)."""
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(limit_s)
            s.connect(path)
            s.sendall((json.dumps(request) + "\n").encode())
            for line in s.makefile():
                answer = json.loads(line)
                if "ok" in answer:
                    return (answer, "") if answer["ok"] else (None, answer["error"])
    except (OSError, ValueError) as e:
        return None, str(e)
    return None, "no answer"


def follow_states(path, on_change):
    """
    Calls on_change() at each change of a state since the engine began, until it is gone. That a
    command began or failed is none: who asks again at each change would never end.
    """
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
            s.sendall(b'{"command": "events", "since": 0}\n')
            for line in s.makefile():
                if json.loads(line).get("event") not in ("operation", "client", None):
                    on_change()
    except (OSError, ValueError):
        pass
