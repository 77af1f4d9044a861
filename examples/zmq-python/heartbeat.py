"""A worker that says over ZeroMQ that it is alive, until it is told to be silent."""
import os
import time

import client

endpoint = os.environ["PROCGUARD_ZMQ"]
worker = os.environ["PROCGUARD_WORKER_ID"]
silent = os.environ["RUN_DIR"] + "/silent"
beats = 0
while True:
    time.sleep(0.2)
    if os.path.exists(silent):
        print("silent from now on", flush=True)
        os.remove(silent)
        time.sleep(3600)
    try:
        answer = client.ask(endpoint, "heartbeat", worker)
    except TimeoutError as late:
        print(late, flush=True)  # training goes on; ProcGuard may be restarting
        continue
    if answer["status"] == "error":
        print(f"not accepted: {answer['error']}", flush=True)
    beats += 1
    if beats == 3:
        print(f"three heartbeats, and I am {answer['status']}", flush=True)
