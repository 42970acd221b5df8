"""Waiting in tests: for a condition, with a deadline, never for a length of time."""

from __future__ import annotations

import asyncio
import os
import select
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from tui_gen import presence, runs

T = TypeVar("T")
POLL = 0.01
"""Seconds between two looks at a condition."""
SLACK = 4
"""A deadline is for an idle machine: before a test gives up it waits so many times as long, as others may be busy."""


def wait_for(condition: Callable[[], T], timeout: float = 30.0, what: str | Callable[[], str] = "") -> T:
    """The first true result of `condition()`, asked every few milliseconds.

    Raises AssertionError after SLACK × `timeout` seconds, with `what` was waited for (a text, or a function that makes
    one).
    """
    deadline = time.monotonic() + SLACK * timeout
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(_in_vain(timeout, what, condition))
        select.select([], [], [], POLL)
    return result


def wait_until_listening(run: Path) -> None:
    """Until a run's worker answers, or has ended."""

    def there() -> bool:
        info = runs.worker_of(run)
        if info is None or not presence.about(info, run):
            return False
        return (runs.live(run) and os.path.exists(info.socket)) or runs.state_of(run)[0] in runs.ENDED

    wait_for(there, what=f"the worker of {run.name}, see {run / 'worker.log'}")


async def wait_for_async(
    condition: Callable[[], T | Awaitable[T]],
    timeout: float = 30.0,
    what: str | Callable[[], str] = "",
    tick: Callable[[], Awaitable[object]] | None = None,
) -> T:
    """As `wait_for`, inside an event loop; `condition` may be a coroutine function.

    `tick` is awaited between two looks instead of a short pause: `pilot.pause`, say.
    """
    deadline = time.monotonic() + SLACK * timeout
    while True:
        result = condition()
        if isinstance(result, Awaitable):
            result = await result
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(_in_vain(timeout, what, condition))
        if tick is not None:
            await tick()
        await asyncio.sleep(POLL)


def _in_vain(timeout: float, what: str | Callable[[], str], condition: object) -> str:
    words = what() if callable(what) else what
    return f"waited {SLACK * timeout:g} s in vain for {words or condition}"
