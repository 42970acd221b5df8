"""Command lines whose output meets a full disk: one line that says so, a status that is not 0, no half of a file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.attack.disk import small
from tests.attack.kills import undisturbed
from tests.attack.outcome import Attack, Outcome, Plan

FULL = Path("/dev/full")
PRINTED = (
    "--runs . runs", "--runs . runs --json", "models", "models vae", "recipes", "recipe vae-digits", "datasets",
    "attach RUN --plain", "attach RUN --json", "export RUN", "sample RUN -o grid.png", "zoo table", "--help",
    "--version",
)  # fmt: skip
"""What is printed to a device that is full."""
WRITTEN = (
    "sample RUN -n 64 -o DISK/grid.png", "export RUN --csv DISK/out.csv", "--run vae-digits --runs DISK/runs",
    *(f"export RUN --as {name} -o DISK/out" for name in ("parquet", "tensorboard", "npz", "onnx", "safetensors")),
)  # fmt: skip
"""What writes a file, or a run's folder, on a disk that is full."""


def _call(words: str, run: Path, disk: Path | None) -> tuple[subprocess.CompletedProcess[bytes], list[str]]:
    """Run a command line; its output goes to a full device where no disk is named."""
    given = [word.replace("RUN", str(run)).replace("DISK", str(disk)) for word in words.split()]
    with open(FULL if disk is None else os.devnull, "wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "tui_gen", *given],
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, cwd=run.parent, check=False, timeout=120,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(one for one in sys.path if one)},
        )  # fmt: skip
    said = done.stderr.decode("utf-8", "replace").strip()
    wrong = [] if done.returncode else ["status 0"]
    if "Traceback" in said or "please report" in said or "Exception ignored" in said:
        wrong.append(f"it says {said[-200:]!r}")
    elif not any(word in said for word in ("space", "room", "large")):
        wrong.append(f"it says only {said[-200:]!r}")
    return done, wrong


def outputs(plan: Plan) -> Iterator[Outcome]:
    """A row for standard output, one for files."""
    run = undisturbed("VAE", plan.folder("outputs")).run
    if FULL.exists():
        row = Outcome("full disk", "standard output of command lines")
        for words in PRINTED:
            if plan.over():
                break
            row.take(_call(words, run, None)[1], f"tui-gen {words} > {FULL}")
        yield row
    with small(plan.folder("outputs") / "disk") as disk:
        if disk.limit:
            return
        row = Outcome("full disk", "files that command lines write")
        for how in ("blocks", "inodes"):
            disk.fill(os.getpid(), how)
            for words in WRITTEN:
                if plan.over():
                    break
                _, wrong = _call(words, run, disk.path)
                left = [path for path in sorted(disk.path.rglob("*")) if path.is_file() and path.name != "ballast"]
                row.take([*wrong, *(f"it left {path.name}" for path in left)], f"tui-gen {words}, no {how} left")
                for path in left:
                    path.unlink()
            disk.empty()
    yield row


ATTACKS: dict[str, Attack] = {"outputs": outputs}
