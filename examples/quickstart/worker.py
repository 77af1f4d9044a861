"""Counts the words of the files that ProcGuard assigned to this worker.

Needs Python 3.8 and its standard library. It obeys three rules, and any worker that does is safe to kill at any time:

  * what to do comes from PROCGUARD_TASKS_FILE, read again before each file, for it may change;
  * a result appears whole or not at all, and only once: hard-linking fails if it exists already;
  * exit code 0 means that all my files are done. Asked to stop, I leave with 143 (128 + SIGTERM) instead.
"""
import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

WORKER = os.environ["PROCGUARD_WORKER_ID"]
EPOCH = os.environ.get("PROCGUARD_EPOCH", "0")
OUT = Path(os.environ.get("OUT_DIR", "out"))
PACE = float(os.environ.get("SECONDS_PER_FILE", "0.15"))

stopping = False


def on_sigterm(signum, frame):
    global stopping
    stopping = True


def my_tasks():
    return json.loads(Path(os.environ["PROCGUARD_TASKS_FILE"]).read_text())


def next_task():
    """The first of my tasks that has no result yet, or None."""
    return next((t for t in my_tasks() if not result_path(t["task_id"]).exists()), None)


def result_path(task_id):
    return OUT / "results" / f"{task_id}.json"


def note(verb, task_id):
    """Adds a line to the ledger that all workers share; one write to a file opened for append is never torn."""
    line = f"{verb} {task_id} {WORKER} {EPOCH} {os.getpid()}\n"
    fd = os.open(OUT / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


def count(path):
    data = Path(path).read_bytes()
    time.sleep(PACE)  # stands for real work, so that there is a middle to be killed in
    return {"words": len(data.split()), "lines": data.count(b"\n"), "sha256": hashlib.sha256(data).hexdigest()}


def publish(task_id, result):
    """Makes the result visible; False if another worker had already done so."""
    final = result_path(task_id)
    private = final.with_name(f".{task_id}.{WORKER}.{os.getpid()}")
    private.write_text(json.dumps({**result, "worker": WORKER, "epoch": EPOCH}) + "\n")
    try:
        os.link(private, final)
        return True
    except FileExistsError:
        return False
    finally:
        private.unlink()


def process(task):
    task_id, path = task["task_id"], task["payload"]["file"]
    note("start", task_id)
    result = count(path)
    fresh = publish(task_id, result)
    note("done" if fresh else "duplicate", task_id)
    print(f"epoch {EPOCH}: {path} has {result['words']} words", flush=True)


def main():
    signal.signal(signal.SIGTERM, on_sigterm)
    (OUT / "results").mkdir(parents=True, exist_ok=True)
    for task in my_tasks():
        note("owns", task["task_id"])
    while not stopping:
        task = next_task()
        if task is None:
            print(f"epoch {EPOCH}: all my files are done", flush=True)
            return 0
        process(task)
    print("asked to stop: finished the file in hand, leaving the rest", flush=True)
    return 128 + signal.SIGTERM


if __name__ == "__main__":
    sys.exit(main())
