"""A worker that says that it is alive, with Python's standard library alone.

It takes ten steps. In its first life it falls asleep for ever at the fifth.
"""
import os
import socket
import threading
import time


def notify(*lines):
    """Tells ProcGuard something, see sd_notify(3). Without ProcGuard nothing happens."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        try:
            s.sendto("\n".join(lines).encode(), path)
        except OSError:
            pass  # ProcGuard is being restarted; training goes on


def beat(step):
    """A heartbeat, two ways; one is enough. The step must grow, else there is no progress."""
    notify("WATCHDOG=1", f"X_STEP={step}", f"STATUS=step={step} of 10")
    path = os.environ.get("PROCGUARD_HEARTBEAT_FILE")
    if path:
        with open(path, "w"):
            pass


first = os.environ.get("PROCGUARD_RESTART_COUNT", "0") == "0"
notify("READY=1", "STATUS=model loaded")
for step in range(1, 11):
    time.sleep(0.3)
    beat(step)
    if step == 3:
        # Longer than heartbeat_timeout, and announced: nobody is alarmed.
        notify("X_PHASE=checkpoint", "X_PHASE_USEC=30000000")
        time.sleep(7)
        notify("X_PHASE=")
        beat(step)
    if step == 5 and first:
        print("python: waits for a lock that nobody holds", flush=True)
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()
notify("STOPPING=1")
print("python: ten steps done", flush=True)
