"""What ends a run before its length, and work that is left off then: validations, pictures, figures."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import nn

T = TypeVar("T")
LOOK = 0.25
"""Seconds between two looks, while a disk is waited for, whether the run is to stop."""
Check = Callable[[], None]
"""Raises Cut where what is being done is to be left off."""


class Cut(Exception):
    """What was being done is left off, because the run is to stop. Nothing of the training itself is ever cut."""


class TooSlow(Cut):
    """What was being done is left off, because it takes longer than it is worth."""


class Stopped(Exception):
    """The run ends before its length: `state` (stopped or failed) and why."""

    def __init__(self, state: str, reason: str) -> None:
        self.state, self.reason = state, reason
        super().__init__(reason)


def never() -> None:
    """The check of work that nobody cuts."""


def patient(check: Check, seconds: float) -> Check:
    """A check that also raises TooSlow once this thread has computed for so many seconds.

    What others take of the machine meanwhile does not count: what is drawn in time is drawn in time everywhere.
    """
    deadline = time.thread_time() + seconds

    def look() -> None:
        check()
        if time.thread_time() > deadline:
            raise TooSlow

    return look


@contextlib.contextmanager
def cuttable(model: nn.Module, check: Check) -> Iterator[None]:
    """Have `check` called before every layer of a model: a sampler may go through it a thousand times."""
    handles = [module.register_forward_pre_hook(lambda *_: check()) for module in model.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def awaited(future: Future[T], check: Check) -> T:
    """The result of what a thread does, which may wait for a disk that does not answer."""
    while True:
        try:
            return future.result(timeout=LOOK)
        except TimeoutError:
            if future.done():  # it is the thread's own
                raise
            check()
