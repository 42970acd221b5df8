"""What only a GPU can show: `make gpu`, or `python -m tests.gpu [--only resume,vae] [--out results.json]`.

Correctness first (exact resumes, what is captured in CUDA graphs, half precision, lack of memory, yielding), then
speed against plain loops and the device's own limit. Each check is a process of its own with a limit; what fails, or
takes too long, does not keep the others from being made. Prints a table in Markdown. The status is 1 where something
did not hold, and 0 where there is no GPU: then it says so. `--device cpu --quick` runs the checks' own code anywhere.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import msgspec

from tests.bench import mnist_folder, private_world
from tests.gpu.checking import Check, Result, Setting

TOTAL = 480.0
"""Seconds that all checks may take together."""
LONGEST = 120.0
"""Seconds that a check may take, where nobody says otherwise."""
MARKS = {True: "held", False: "**NOT**", None: ""}
ANSWER = "result: "


def checks() -> dict[str, Check]:
    """Name → check, in the order in which they are made: what matters most comes first."""
    from tests.gpu import exactness, speeds

    return {
        "worker": speeds.worker, "captured": exactness.captured, "resume": exactness.resume,
        "memory": exactness.memory, "yield": exactness.yielded, "waits": speeds.waits,
        "precision": exactness.precision, "average": exactness.average, "limit": speeds.limit,
        **{family: speeds.speed(family) for family in speeds.FAMILIES}, "attached": speeds.attached,
    }  # fmt: skip


def machine(device: str) -> str:
    """The device and the versions, in a line."""
    import torch

    from tui_gen.train.engine import devices

    place = devices.pick_device(device)
    name = devices.named(place) or platform.processor() or platform.machine()
    driver = f", CUDA {torch.version.cuda}" if place.type == "cuda" else ""
    return f"{name} ({place}), PyTorch {torch.__version__}{driver}, Python {platform.python_version()}"


def made(name: str, setting: Setting, limit: float) -> list[Result]:
    """The results of a check that is made in a process of its own, ended with all of its own after `limit` seconds."""
    command = [sys.executable, "-m", "tests.gpu", "--one", name, "--setting", msgspec.json.encode(setting).decode()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    late = False
    try:
        out, faults = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        late = True
        os.killpg(process.pid, signal.SIGKILL)
        out, faults = process.communicate()
    lines = out.decode(errors="replace").splitlines()
    found = [msgspec.json.decode(line[len(ANSWER) :], type=Result) for line in lines if line.startswith(ANSWER)]
    if late:
        found.append(Result(name, False, "too late", f"not done after {limit:.0f} s"))
    elif process.returncode:
        last = faults.decode(errors="replace").strip().splitlines()[-1:] or [f"status {process.returncode}"]
        found.append(Result(name, False, "failed", last[0][:300]))
        sys.stderr.buffer.write(faults)
    return found


def make_one(name: str, setting: Setting) -> Iterator[Result]:
    """The results of a check, made here."""
    yield from checks()[name](setting)


def row(result: Result) -> str:
    """A line of the table."""
    return f"| {result.name} | {MARKS[result.held]} | {result.figure} | {result.words.replace('|', '/')} |"


def main(words: list[str] | None = None) -> int:
    """Make the checks that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument("--only", default="", metavar="NAME,…", help="only these checks")
    parser.add_argument("--device", default="auto", help="auto, cuda, cuda:1, …; cpu to try the checks themselves")
    parser.add_argument("--quick", action="store_true", help="the least of each check: shows that it runs")
    parser.add_argument("--limit", type=float, default=LONGEST, metavar="SECONDS", help="the most that one may take")
    parser.add_argument("--total", type=float, default=TOTAL, metavar="SECONDS", help="the most that all of them may")
    parser.add_argument("--out", type=Path, help="a file for the results, as JSON")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--setting", default="{}", help=argparse.SUPPRESS)
    given = parser.parse_args(words)
    if given.one:
        for result in make_one(given.one, msgspec.json.decode(given.setting, type=Setting)):
            print(ANSWER + msgspec.json.encode(result).decode(), flush=True)
        return 0
    names = [name for name in given.only.split(",") if name] or list(checks())
    if unknown := [name for name in names if name not in checks()]:
        parser.error(f"no check {', '.join(unknown)}; there are: {', '.join(checks())}")
    import torch

    if given.device == "auto" and not torch.accelerator.is_available():
        print("skipped: PyTorch finds no GPU here (--device cpu --quick tries the checks themselves)")
        return 0
    results, left_out, started = [], [], time.monotonic()
    with private_world() as base:
        root, _ = mnist_folder(base)
        setting = Setting(given.device, given.quick, str(base), root)
        print(f"{machine(given.device)}\n\n| check | | figure | |\n|---|---|---|---|", flush=True)
        for name in names:
            limit = min(given.limit, given.total - (time.monotonic() - started))
            if limit < 5:
                left_out.append(name)
                continue
            try:
                found = made(name, setting, limit)
            except Exception as error:  # the others are still worth having
                traceback.print_exc()
                found = [Result(name, False, "failed", f"{type(error).__name__}: {error}")]
            results += found
            print("\n".join(map(row, found)), flush=True)
    print(f"\n{time.monotonic() - started:.0f} s" + (f"; no time for {', '.join(left_out)}" if left_out else ""))
    if given.out:
        report: dict[str, Any] = {"machine": machine(given.device), "results": msgspec.to_builtins(results)}
        given.out.write_text(json.dumps(report | {"left_out": left_out}, indent=1) + "\n")
    return int(any(result.held is False for result in results))


if __name__ == "__main__":
    sys.exit(main())
