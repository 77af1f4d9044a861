"""command.py ENDPOINT COMMAND WORKER [KEY=VALUE...], or command.py ENDPOINT listen TOPIC for the first event of it.

The commands are heartbeat, status, start, stop and restart; `stop` takes force=true.
"""
import json
import sys

import zmq

import client


def main(endpoint, command, worker, *pairs):
    if command == "listen":
        s = client.connect(zmq.SUB, endpoint)
        s.subscribe(worker)
        print("listening", flush=True)
        topic, body = s.recv_multipart()
        print(topic.decode(), body.decode())
        return 0
    kwargs = {k: json.loads(v) for k, v in (p.split("=", 1) for p in pairs)}
    try:
        answer = client.ask(endpoint, command, worker, **kwargs)
    except TimeoutError as late:
        print(late, file=sys.stderr)
        return 3
    print(json.dumps(answer))
    return 1 if answer["status"] == "error" else 0


if len(sys.argv) < 4:
    sys.exit(__doc__)
sys.exit(main(*sys.argv[1:]))
