"""Checks what the demo left behind, independently of the workers: verify.py OUT_DIR VICTIM TASK.

The ledger has a line per event, "verb task worker epoch pid"; run.sh added "kill TASK VICTIM" when it killed the victim
in the middle of that task. Prints a table and the checks; exits 1 if a check fails.
"""
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path


def wc(path):
    return int(subprocess.run(["wc", "-w", path], capture_output=True, check=True, text=True).stdout.split()[0])


def tasks_of(ledger, verb, worker=None):
    return [task for v, task, w, *_ in ledger if v == verb and worker in (None, w)]


def print_shares(before, after, orphaned):
    print("  files finished  before the kill  after it  of these, taken over")
    for worker in sorted({line[2] for line in before + after}):
        late = tasks_of(after, "done", worker)
        print(f"    {worker:<14}{len(tasks_of(before, 'done', worker)):>15}{len(late):>10}{len(orphaned & set(late)):>24}")


def main(out, victim, task):
    files = {p.stem: p for p in Path("data").glob("*.txt")}
    results = {p.stem: json.loads(p.read_text()) for p in (out / "results").glob("[!.]*.json")}
    ledger = [line.split() for line in (out / "ledger").read_text().splitlines()]
    killed_at = ledger.index(["kill", task, victim])
    before, after = ledger[:killed_at], ledger[killed_at:]
    orphaned = set(tasks_of(before, "owns", victim)) - set(tasks_of(before, "done"))
    begun_twice = {t: n for t, n in Counter(tasks_of(ledger, "start")).items() if n > 1}
    by_others = {t for t in orphaned if results.get(t, {}).get("worker", victim) != victim}

    print_shares(before, after, orphaned)
    checks = [
        (f"{len(results)} of {len(files)} files have a result", set(results) == set(files)),
        ("each was processed to its end exactly once",
         Counter(tasks_of(ledger, "done")) == Counter(set(files)) and not tasks_of(ledger, "duplicate")),
        (f"only {task}, which {victim} died in, was begun twice", begun_twice == {task: 2}),
        (f"{len(by_others)} of the {len(orphaned)} files that {victim} left went to others",
         task in orphaned and by_others == orphaned),
        ("every count agrees with wc -w", all(wc(files[t]) == r["words"] for t, r in results.items())),
    ]
    print()
    for text, passed in checks:
        print(f"  {'ok  ' if passed else 'FAIL'}  {text}")
    return 0 if all(passed for _, passed in checks) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
