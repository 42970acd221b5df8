"""Small runs to explore, and an explorer's process that is a thread of this one: what decodes, without a start."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from typing import Any

from PIL import Image, ImageSequence

from tui_gen.train.offline.explore.__main__ import serve
from tui_gen.train.offline.explore.service import Explorer


def frames_of(path: Path) -> int:
    """How many frames of a twentieth of a second a GIF takes: of frames that are alike the file has only one."""
    with Image.open(path) as film:
        return sum(int(frame.info["duration"]) for frame in ImageSequence.Iterator(film)) // 50


class InThread:
    """As much of `subprocess.Popen` as the workbench uses, around `serve` on two pipes."""

    def __init__(self, folder: Path, patience: float = 600.0) -> None:
        folder.mkdir(exist_ok=True)
        asks, answers = os.pipe(), os.pipe()
        self.stdin, self.stdout = os.fdopen(asks[1], "wb", 0), os.fdopen(answers[0], "rb", 0)
        source, target = os.fdopen(asks[0], "rb"), os.fdopen(answers[1], "wb")
        self.pid, self._over = os.getpid(), threading.Event()

        def run() -> None:
            try:
                serve(source, target, Explorer(folder), lambda: None, patience)
            finally:
                target.close()
                self._over.set()

        threading.Thread(target=run, daemon=True).start()

    def poll(self) -> int | None:
        """0 when it is over."""
        return 0 if self._over.is_set() else None

    def wait(self, timeout: float | None = None) -> int:
        """Until it is over. Raises subprocess.TimeoutExpired."""
        if not self._over.wait(timeout):
            raise subprocess.TimeoutExpired("explorer", timeout or 0)
        return 0

    def kill(self) -> None:
        """End it."""
        self.stdin.close()


def starter(folder: Path) -> Any:
    """What starts one, and the list of those that it started."""
    started: list[InThread] = []

    def start(model_dirs: list[str] | None = None) -> Any:
        started.append(InThread(folder / f"pictures{len(started)}"))
        return started[-1]

    return start, started
