"""Exports of every family: what others make of them is what PyTorch does. Killed at any moment they leave no half."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.attack.outcome import Attack, Outcome, Plan
from tui_gen.train.offline.exports import __main__ as exporter

ALONE = """
import runpy, sys
sys.modules["tui_gen"] = None  # as if it were not installed
runpy.run_path(sys.argv[1], run_name="__main__")
"""
KILLS, SAMPLES, ROOM = 8, 40_000, 120.0
"""Exports that are killed; samples of a large one, and the megabytes that it may take beyond a small one."""


def _made(form: str, run: Path, target: Path, options: str, *second: object) -> list[str]:
    """Have the exporter write a file, in this process; what went wrong."""
    said, sys.argv = io.StringIO(), ["", form, str(run), str(target), options, *map(str, second)]
    with contextlib.redirect_stderr(said):
        status = exporter.main()
    if status:
        return [said.getvalue().strip().rpartition("\n")[2]]
    return [line for line in said.getvalue().splitlines() if "the snippet lacks" in line]


def functions(plan: Plan) -> Iterator[Outcome]:
    """A row for ONNX, one for Python without tui-gen: every function of every family, from its checkpoint."""
    from tests import small_runs
    from tests.test_restore import saved
    from tui_gen.train.offline.restore import restore

    graphs = Outcome("exports", "functions as ONNX, run by ONNX Runtime")
    snippets = Outcome("exports", "weights with Python, run where tui-gen is not installed")
    names = []
    for family in small_runs.SMALL:
        if plan.over():
            break
        run, _ = saved(plan.folder(f"exports-{family}"), family, steps=(3,))
        for function in restore(run).model.functions():
            names.append(f"{family} {function.name}")
            target = run.parent / f"{function.name}.onnx"
            graphs.take(_made("onnx", run, target, f'{{"function": "{function.name}"}}'), names[-1])
        target, code = run.parent / "weights.safetensors", run.parent / "weights.py"
        wrong = _made("safetensors", run, target, "{}", code, target.name)
        if not wrong:
            words = [sys.executable, "-P", "-c", ALONE, str(code)]
            done = subprocess.run(words, capture_output=True, text=True, cwd="/", check=False)
            wrong = [done.stderr.strip()[-200:]] if done.returncode else []
        snippets.take(wrong, family)
    graphs.detail = ", ".join(names)
    yield graphs
    yield snippets


def killed(plan: Plan) -> Iterator[Outcome]:
    """A row: samples that are exported over an earlier file, which a kill leaves as it was, or whole and new."""
    from tests.test_restore import saved

    row, dice, new = Outcome("SIGKILL", "an export over an earlier one"), plan.dice("exports"), 0
    run, _ = saved(plan.folder("exports-killed"), "vae", steps=(3,))
    target = run.parent / "samples.npz"
    words = ["export", str(run), "--as", "npz", "-n", "200000", "--force", "-o", str(target)]
    begun = time.monotonic()
    subprocess.run([sys.executable, "-m", "tui_gen", *words], capture_output=True, check=True)
    took = time.monotonic() - begun
    for trial in range(KILLS):
        if plan.over():
            break
        target.write_bytes(b"from before")
        process = subprocess.Popen(
            [sys.executable, "-m", "tui_gen", *words],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(dice.uniform(0.2, 1.1) * took)
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        new += not (same := target.read_bytes() == b"from before")
        row.take([] if same else _whole(target), f"trial {trial}")
    row.detail = f"{new} were done by then"
    yield row


def _whole(target: Path) -> list[str]:
    try:
        with np.load(target) as file:
            return [] if file["samples"].shape[0] == 200_000 else [f"it has {file['samples'].shape}"]
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        return [f"it is half: {error}"]


def memory(plan: Plan) -> Iterator[Outcome]:
    """A row: however many samples are exported, they take the memory of some."""
    from tests.bench_logs import Measured
    from tests.test_restore import saved

    row = Outcome("exports", "memory of many samples")
    run, _ = saved(plan.folder("exports-memory"), "vae", steps=(3,), dataset__size=28)
    peaks = []
    for count in (1000, SAMPLES):
        target = run.parent / f"{count}.npz"
        words = ["export", str(run), "--as", "npz", "--pixels", "float32", "-n", str(count), "-o", str(target)]
        done = Measured(sys.executable, "-m", "tui_gen", *words)
        peaks.append(done.worker)
        if done.status:
            row.take([done.output[-200:]], f"{count} samples")
            yield row
            return
    more = peaks[1] - peaks[0]
    row.detail = f"{target.stat().st_size / 1e6:.0f} MB of {SAMPLES:,} samples took {more:.0f} MB more than 1,000"
    row.take([] if more < ROOM else [row.detail], "npz")
    yield row


ATTACKS: dict[str, Attack] = {"exports": functions, "exports-killed": killed, "exports-memory": memory}
