"""The training images nearest to what a preview shows, found by another process when they are asked for.

It needs the run's data, so it works on live, ended and copied runs alike; nothing of it stays in this process, nor
anything of it in the run's folder.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tui_gen import children
from tui_gen.app.background import away
from tui_gen.events import Sample
from tui_gen.neighbours import MODULE, Neighbours
from tui_gen.text import clean

if TYPE_CHECKING:
    from tui_gen.view import RunView

SEARCHING = "finding nearest …"
NONE = "no nearest images"
MOST = 200
"""Characters of a fault that are shown."""


class Wish(NamedTuple):
    """The tiles of a preview of a run: its file as it is now, `grid` = (columns, rows), the first so many `tiles`."""

    run: str
    file: str
    mtime_ns: int
    grid: tuple[int, int]
    gap: int
    tiles: int


class NearestImages:
    """Answers which training images are nearest; one search at a time, and only of what is wanted last.

    `on_answer` is called where there is an answer that was not there before. `on`: whether anybody wants to see them.
    """

    def __init__(self, on_answer: Callable[[], None]) -> None:
        self.on = False
        self._on_answer = on_answer
        self._answers: dict[Wish, Neighbours | str] = {}
        self._wish: Wish | None = None
        self._task: asyncio.Task[None] | None = None
        self._process: subprocess.Popen[str] | None = None
        self._folder = ""

    def of(self, view: RunView, sample: Sample, count: int) -> Neighbours | str:
        """The neighbours of a preview's first `count` tiles, or in words why there are none (yet)."""
        if sample.tiles.plot:
            return f"{NONE}: this is a plot"
        try:
            file = os.path.abspath(view.file(sample.path))
            mtime_ns = os.stat(file).st_mtime_ns
        except OSError as error:
            return f"{NONE}: {error.strerror}"
        grid = (max(1, sample.columns), max(1, sample.rows))
        wish = Wish(os.path.abspath(view.path), file, mtime_ns, grid, sample.gap, count)
        if wish in self._answers:
            return self._answers[wish]
        self._wish = wish
        if self._task is None:
            self._task = asyncio.create_task(self._search())
        return SEARCHING

    async def _search(self) -> None:
        try:
            while (wish := self._wish) is not None and wish not in self._answers:
                self._answers[wish] = await away(self._ask, wish)
                self._on_answer()
        finally:
            self._task = None

    def _ask(self, wish: Wish) -> Neighbours | str:
        """What the process says that looks for them, or its fault in words."""
        try:
            self._folder = self._folder or tempfile.mkdtemp(prefix="tui-gen-nearest-")
            target = os.path.join(self._folder, f"{len(self._answers)}.png")
            self._process = children.start(
                MODULE, wish.run, wish.file, "--grid", *wish.grid, "--gap", wish.gap, "-n", wish.tiles, "-o", target,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
            )  # fmt: skip
            out, err = self._process.communicate()
            if self._process.returncode == 0:
                return msgspec.json.decode(out, type=Neighbours)
        except (OSError, ValueError, msgspec.DecodeError) as error:
            return clean(f"{NONE}: {error}")[:MOST]
        words = " ".join(children.fault(err.strip().splitlines()).split())
        return clean(f"{NONE}: {words or 'the process that looks for them ended'}")[:MOST]

    def stop(self) -> None:
        """End the search, and leave nothing behind."""
        self.on = False
        self._wish = None
        self._answers.clear()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = ""
