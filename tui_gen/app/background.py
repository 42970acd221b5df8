"""Work away from the UI's thread: in daemon threads, so that neither a slow worker nor a dead disk can hold up an exit.

Textual's thread workers share a few slots, and the event loop waits for them when it closes; a request that a worker
answers after a minute must do neither.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def away(work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call `work` in a thread of its own and wait for its result; its exceptions are raised here."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def deliver(setter: Callable[[Any], None], value: Any) -> None:
        if not future.done():
            setter(value)

    def body() -> None:
        outcome: Callable[[Any], None]
        value: Any
        try:
            outcome, value = future.set_result, work(*args, **kwargs)
        except Exception as error:
            outcome, value = future.set_exception, error
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
            loop.call_soon_threadsafe(deliver, outcome, value)

    threading.Thread(target=body, name=getattr(work, "__name__", "away"), daemon=True).start()
    return await future
