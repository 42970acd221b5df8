"""The whole suite again and again under conditions that find tests which pass by luck: `make repeat`.

    python -m tests.repeat --runs 10
    python -m tests.repeat --only "random order" --runs 3 -- tests/test_runs.py

Each run is one line of a table: the condition, what pytest counted, the seconds, and which tests failed. The exit
status is 1 where any did. Output of runs with failures is kept; the table says where.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LONG = 100
"""Characters of a long TMPDIR: as long as some systems' own, too long for a socket's path below it."""
SPIN = "while True: pass"


@dataclass
class Condition:
    """How a run differs from a plain one."""

    name: str
    arguments: list[str] = field(default_factory=list)
    environ: dict[str, str | None] = field(default_factory=dict)
    """Variables set, or unset where None."""
    busy: int = 0
    """Processes beside it that keep a core busy each."""
    long_tmpdir: bool = False
    umask: int = -1
    background: bool = False
    """Signals are ignored as in a shell's background job under `nohup`."""


def conditions(seed: int) -> list[Condition]:
    """Every condition, the plain one first."""
    bare: dict[str, str | None] = {
        "HOME": None, "USER": None, "LOGNAME": None, "TERM": None, "LANG": None, "LC_ALL": None, "TZ": "Asia/Kathmandu",
    }  # fmt: skip
    told: dict[str, str | None] = {"CI": "true", "NO_COLOR": "1", "TERM": "dumb", "TMUX": "/nowhere,1,0"}
    return [
        Condition("plain"),
        Condition("busy core", busy=1),
        Condition("long TMPDIR", long_tmpdir=True),
        Condition("random order", ["--shuffle", str(seed)]),
        Condition("bare environment", environ=bare),
        Condition("another order", ["--shuffle", str(seed + 1)]),
        Condition("environment that says much", environ=told),
        Condition("umask 077", umask=0o077),
        Condition("busy cores, random order", ["--shuffle", str(seed + 2)], busy=os.cpu_count() or 1),
        Condition("background job", background=True),
    ]


@contextlib.contextmanager
def surroundings(condition: Condition) -> Iterator[dict[str, str]]:
    """The environment of a run under this condition, with the processes that keep cores busy beside it."""
    environ = {**os.environ, **{key: value for key, value in condition.environ.items() if value is not None}}
    for key, value in condition.environ.items():
        if value is None:
            environ.pop(key, None)
    with contextlib.ExitStack() as ending:
        if condition.long_tmpdir:
            base = tempfile.mkdtemp(prefix="tg-", dir="/tmp")
            ending.callback(shutil.rmtree, base, ignore_errors=True)
            environ["TMPDIR"] = f"{base}/{'long-' * LONG}"[:LONG].rstrip("-")
            os.makedirs(environ["TMPDIR"])
        for _ in range(condition.busy):
            busy = subprocess.Popen([sys.executable, "-c", SPIN])
            ending.callback(busy.wait)
            ending.callback(busy.kill)
        yield environ


def run(condition: Condition, more: list[str], log: Path) -> tuple[str, list[str], float]:
    """Run pytest under a condition: its last line, the tests that failed, and the seconds it took."""
    command = [sys.executable, "-m", "pytest", "-n", "auto", "--dist", "loadgroup", "-p", "no:cacheprovider", "-rfE"]
    begun = time.monotonic()
    with surroundings(condition) as environ, open(log, "w") as file:
        subprocess.run(
            [*command, *condition.arguments, *more], cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=file,
            stderr=subprocess.STDOUT, umask=condition.umask, check=False,
            preexec_fn=_ignore if condition.background else None,
        )  # fmt: skip
    text = log.read_text(errors="replace")
    counts = re.findall(r"^(?:=+ )?((?:\d+ [a-z]+,? ?)+)in [\d.]+s", text, re.M)
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", text, re.M)
    return (counts[-1].strip() if counts else "no result"), failed, time.monotonic() - begun


def _ignore() -> None:
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.repeat", description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=10, help="how many; the conditions take turns (default: 10)")
    parser.add_argument("--only", metavar="CONDITION", help="only this one")
    parser.add_argument("--seed", type=int, default=1, help="of the random orders (default: 1)")
    parser.add_argument("--list", action="store_true", help="list the conditions")
    parser.add_argument("more", nargs="*", help="more for pytest, after --: files, options")
    given = parser.parse_args()
    known = conditions(given.seed)
    if given.list:
        print("\n".join(condition.name for condition in known))
        return 0
    chosen = [one for one in known if given.only in (None, one.name)]
    if not chosen:
        parser.error(f"no such condition: {given.only}; one of {', '.join(one.name for one in known)}")
    logs = Path(tempfile.mkdtemp(prefix="tg-repeat-", dir="/tmp"))
    bad = 0
    print("| run | condition | result | seconds | failed |\n|---|---|---|---|---|", flush=True)
    for number in range(given.runs):
        condition, log = chosen[number % len(chosen)], logs / f"{number + 1}.txt"
        result, failed, seconds = run(condition, given.more, log)
        good = bool(re.search(r"\bpassed\b", result)) and not failed
        bad += not good
        words = "" if good else f"{' '.join(f'`{one}`' for one in failed)} ({log})"
        print(f"| {number + 1} | {condition.name} | {result} | {seconds:.0f} | {words} |", flush=True)
        if good:
            log.unlink()
    with contextlib.suppress(OSError):
        logs.rmdir()
    print(f"\n{given.runs - bad} of {given.runs} runs without a failure")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
