"""A client of ProcGuard's bus: one question, one answer, in the clear or with CURVE."""
import json
import os

import zmq


def key(name):
    """A key from the file that the environment variable NAME names; None where there is no such variable."""
    path = os.environ.get(name)
    if not path:
        return None
    with open(path) as f:
        return f.read().strip().encode()


def connect(kind, endpoint):
    """A socket that shows our key, if there is one, and accepts no server but ours."""
    s = zmq.Context.instance().socket(kind)
    s.linger = 0
    server = key("SERVER_PUBLIC")
    if server:
        s.curve_serverkey = server
        s.curve_publickey = key("CLIENT_PUBLIC")
        s.curve_secretkey = key("CLIENT_SECRET")
    s.connect(endpoint)
    return s


def ask(endpoint, command, worker, timeout=2.0, **kwargs):
    """The answer as a dictionary. A REQ socket that was not answered is of no more use, so each has its own."""
    s = connect(zmq.REQ, endpoint)
    try:
        s.send_json({"command": command, "worker_id": worker, "kwargs": kwargs})
        if not s.poll(int(timeout * 1000)):
            raise TimeoutError(f"no answer from {endpoint} within {timeout} s")
        return json.loads(s.recv())
    finally:
        s.close()
