"""Exports that need the model: written by a process with PyTorch, which ends with them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec

from tui_gen import children, events, launch, runs
from tui_gen.exporting import UNWRITABLE
from tui_gen.report.exports import Order

QUIET = {"ORT_DISABLE_TELEMETRY": "1"}
"""ONNX Runtime 1.32 keeps telemetry, begins with it when it is imported, and leaves marks in the home folder and in the
one for temporary files; whoever wants to take part says so in the environment."""


def make(form: str, order: Order, target: Path) -> None:
    """Have `tui_gen.train.offline.exports.FORM` write a file and read it back. Raises RunError with what it says,
    and OSError.
    """
    words = [form, order.run, target.absolute(), msgspec.json.encode(order.options).decode()]
    if order.beside is not None:
        words += [order.beside.absolute(), order.name]
    faults: list[str] = []
    with children.start(
        "tui_gen.train.offline.exports", *words, env=QUIET | launch.environment_beside(order.model_dirs),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
    ) as process:  # fmt: skip
        assert process.stderr is not None  # as asked for: a pipe
        try:
            for line in map(str.rstrip, process.stderr):
                if faults or line.startswith(children.FAULT):
                    faults.append(line)
                elif isinstance(event := events.decode(line.encode()), events.Note | events.Progress):
                    order.tell(event)
        except BaseException:
            process.kill()  # nobody waits for it any more, and its file is about to go
            raise
    if process.returncode < 0:
        reason = f"signal {-process.returncode} ended the process (too little memory?)"
        raise runs.RunError(f"nothing was exported: {reason}")
    if process.returncode == UNWRITABLE:
        raise OSError(children.fault(faults))
    if process.returncode:
        raise runs.RunError(children.fault(faults) or "nothing was exported")
