"""A worker that dies by SIGKILL in a training step: `python -m tui_gen.train.offline.mortal RUN --die-at STEP`.

For `tui-gen verify-resume`. Otherwise it is the worker of any run; it also dies where whoever started it does, which
holds the other end of its standard input.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from tui_gen.train.run import stopping
from tui_gen.train.run.worker import Worker


def main() -> int:
    """The command line; people use `tui-gen verify-resume`."""
    parser = argparse.ArgumentParser(prog="python -m tui_gen.train.offline.mortal", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--die-at", type=int, metavar="STEP", help="the step in which it is killed, counted from 0")
    arguments = parser.parse_args()
    threading.Thread(target=_die_with, args=(os.dup(0),), daemon=True).start()
    worker = Worker(arguments.run, arguments.resume)
    if arguments.die_at is not None:
        die_at(arguments.die_at)
    return stopping.leave(worker.main())


def die_at(step: int) -> None:
    """Have this process killed when it has made step number `step`, before anything is written of it."""
    from tui_gen.train.engine.trainer import Trainer

    original = Trainer.train_step

    def train_step(self: Trainer, *args: Any, **more: Any) -> None:
        original(self, *args, **more)
        if self.step > step:
            os.kill(os.getpid(), signal.SIGKILL)

    Trainer.train_step = train_step  # type: ignore[method-assign]


def _die_with(pipe: int) -> None:
    """Wait for the end of a pipe that nobody writes to: whoever held it is gone."""
    while os.read(pipe, 64):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
