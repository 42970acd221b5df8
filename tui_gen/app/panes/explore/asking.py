"""The conversation with the process that decodes: what is open, the newest wish, what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from tui_gen import checkpoints
from tui_gen.app.panes.explore.helper import Helper
from tui_gen.app.panes.explore.place import Stay
from tui_gen.exploring import Axes, Dots, Failure, Hurry, Look, Open, Space, Spread, View
from tui_gen.quantities import count

SLOW = 0.3
"""Seconds of decoding that are told of, and after which a newer wish cuts it short."""


class Teller(Protocol):
    """Shows what there is now; `doing` is what is being waited for, in words."""

    def __call__(self, doing: str = "") -> None: ...


class Asking:
    """One run's `stay`, and how it is looked at. The newest wish wins; `tell` is called after every answer."""

    def __init__(self, helper: Helper, tell: Teller | Callable[..., None]) -> None:
        self.helper = helper
        self.stay = Stay()
        self.trouble = ""
        """Why there is nothing to see, or why the last wish could not be met."""
        self.step: int | None = None
        """The checkpoint that is looked at; None for the newest."""
        self.opened = False
        """Whether the process has those weights."""
        self.threads = 1
        self._run: Path | None = None
        self._tell = tell
        self._patience: float | None = None  # until when the present wish is waited for in peace
        self._excuse = ""  # what is to be said beside the first picture
        self._wish: Look | None = None
        self._busy: asyncio.Task[None] | None = None
        self._slow: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is open, and nothing is being opened."""
        return not self.opened and self._busy is None

    @property
    def looking(self) -> bool:
        """Whether a place is being decoded."""
        return self._busy is not None

    def begin(self, run: Path | None) -> None:
        """Another run, or none."""
        self.leave()
        self._run = run.absolute() if run is not None else None
        self.stay, self.step, self.trouble = Stay(), None, ""

    def leave(self) -> None:
        """End the process, and forget what it was asked."""
        for task in (self._busy, self._slow):
            if task is not None:
                task.cancel()
        self._busy = self._slow = self._wish = None
        self.opened = False
        self.helper.close()

    def look(self, wish: Look | None = None) -> None:
        """Have the place where one is, or something else, decoded."""
        if self._run is not None:
            self._wish = wish or self.stay.look()
            if self._busy is None:
                self._busy = asyncio.create_task(self._work())
            elif self._patience is not None and time.monotonic() > self._patience:
                self._patience = None  # what takes so long is not wanted any more
                asyncio.create_task(self.helper.tell(Hurry())).add_done_callback(_heard)

    async def _work(self) -> None:
        """Ask until the newest wish is met."""
        try:
            while (wish := self._wish) is not None:
                self._wish = None
                fresh = not self.opened
                if fresh and not await self._open():
                    return
                if fresh:
                    wish = msgspec.structs.replace(wish, axes=self.stay.axes)
                if self.stay.view.seconds > SLOW or wish.scene != self.stay.view_of:
                    self._tell("Decoding …")
                self._patience = time.monotonic() + SLOW
                answer = await self.helper.ask(wish)
                self._patience = None
                if isinstance(answer, Failure) and answer.hurried:
                    self._wish = self._wish or wish
                    continue
                if isinstance(answer, Failure) and answer.lost and not fresh:  # the process had ended, idle or killed
                    self.opened = False
                    self._wish = self._wish or wish
                    continue
                if isinstance(answer, View):
                    self.trouble = self._excuse
                    self._excuse = ""
                    self.stay.arrived(answer, wish)
                    if self.stay.pin_due and self._wish is None:
                        self.stay.pin_due = False
                        self.stay.pin()
                        self._wish = self.stay.look()
                    if self._wish is None and self.stay.axes != wish.axes:
                        self._wish = self.stay.look()
                    self._spread()
                elif isinstance(answer, Failure):
                    self.stay.pin_due = False
                    self._failed(answer)
                self._tell()
        finally:
            if self._busy is asyncio.current_task():
                self._busy = None

    async def _open(self) -> bool:
        """Open the checkpoint; whether it is. No process is started for a run that has none."""
        if self._run is not None and not checkpoints.found(self._run):
            words = f"There is no checkpoint of {self._run.name}, and so no weights to look at."
            self._failed(Failure(words, lost=True))
            self._tell()
            return False
        self._tell("Opening the newest weights …" if self.step is None else f"Opening step {count(self.step)} …")
        self.opened = True  # unless another checkpoint comes meanwhile
        answer = await self.helper.ask(Open(str(self._run), self.step, self.threads))
        stay = self.stay
        if isinstance(answer, Space):
            stay.space, stay.dots, stay.tile = answer, None, None
            if stay.scene not in stay.scenes():
                stay.scene = "point"
            if not stay.chosen and space_of_codes(answer):
                stay.axes = Axes("component")
            if stay.guidance is None:
                stay.guidance = answer.guidance
            self.trouble = answer.warnings[0] if answer.warnings else ""
            return True
        self.opened = False
        self._failed(answer)
        self._tell()
        return False

    def _failed(self, failure: Failure) -> None:
        """Say why, and go back to where there was something to see."""
        stay = self.stay
        self.trouble, stay.at = failure.words, None
        if failure.lost:
            self.opened = False
        elif stay.scene != "point":
            stay.scene, stay.tile = "point", None
        else:
            stay.back_to("dimension")
            if not stay.view.path:  # nothing was seen yet: there is something to see without what failed
                stay.chosen, self._wish, self._excuse = True, self._wish or stay.look(), failure.words

    # -- codes of data

    def _spread(self) -> None:
        """Have codes of data put on the plane, where this plane has none yet."""
        space = self.stay.space
        if self._slow is None and space is not None and space.encodes and not self._scattered:
            self._slow = asyncio.create_task(self._scatter())

    @property
    def _scattered(self) -> bool:
        """Whether it is known where codes of data lie on this very plane."""
        return self.stay.dots is not None and self.stay.dots.axes == self.stay.axes

    def _turn(self) -> None:
        """Show the place on other axes: that which is asked for, once it is there, where one is on the way."""
        if self._wish is not None:
            self._wish = msgspec.structs.replace(self._wish, axes=self.stay.axes)
        elif self._busy is None:
            self.look()

    async def _scatter(self) -> None:
        stay = self.stay
        try:
            while self.opened and not self._scattered:
                axes = stay.axes
                answer = await self.helper.ask(Spread(axes, tuple(stay.pins[:3]) if axes.sort == "pins" else ()))
                if isinstance(answer, Dots):
                    stay.dots = answer
                    if stay.begin_with(answer.spread):
                        self._turn()
                    continue
                if isinstance(answer, Failure) and not answer.lost:
                    self.trouble = answer.words
                    stay.dots = Dots(axes, b"", b"", b"", ())
                break
            self._tell()
        finally:
            if self._slow is asyncio.current_task():
                self._slow = None


def space_of_codes(space: Space) -> bool:
    """Whether only data tell where codes lie: one begins along their components."""
    return space.encodes and not space.normal


def _heard(task: asyncio.Task[None]) -> None:
    """What was told needs no answer, and whoever was told may be gone."""
    if not task.cancelled():
        task.exception()
