"""The thread that reads what is typed: it sleeps until there is something, and ends as soon as it is to."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import signal
import tty
from collections.abc import Iterator
from threading import Thread, current_thread
from typing import Any

import pytest
from textual.app import App
from textual.events import Key

from tests.waiting import wait_for
from tui_gen.app.terminal.private import TerminalDriver


class Reading:
    """A driver at a terminal of its own: what was typed, and for how many seconds it wanted to sleep each time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hand, end = pty.openpty()
        tty.setraw(end)
        self.keys: list[str] = []
        self.sleeps: list[float | None] = []
        self.driver = asyncio.run(self.made())
        self.driver.fileno = end
        monkeypatch.setattr(self.driver, "process_message", self.take)
        self._select = select.select
        monkeypatch.setattr(select, "select", self.sleep)
        self.thread = Thread(target=self.driver.run_input_thread, daemon=True)

    async def made(self) -> TerminalDriver:
        """A driver, which is made where a loop runs; what it does with signals is undone."""
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTSTP, signal.SIGCONT)}
        try:
            return TerminalDriver(App())
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def take(self, message: Any) -> None:
        """A message for the app."""
        if isinstance(message, Key):
            self.keys.append(message.key)

    def sleep(self, files: list[int], writers: list[int], others: list[int], seconds: float | None) -> Any:
        """Sleep, and remember for how long."""
        if current_thread() is self.thread:
            self.sleeps.append(seconds)
        return self._select(files, writers, others, seconds)


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reading]:
    found = Reading(monkeypatch)
    found.thread.start()
    yield found
    found.driver.exit_event.set()
    found.thread.join(60)
    assert not found.thread.is_alive()
    for file in {found.hand, found.driver.fileno}:
        os.close(file)


def test_it_sleeps_until_something_is_typed(reading: Reading) -> None:
    """A key, the halves of a letter and what is no letter wake it once each; nothing else does."""
    for turn, (typed, keys) in enumerate(((b"a", 1), (b"\xc3", 1), (b"\xa9", 2), (b"\xff", 3)), 2):
        os.write(reading.hand, typed)
        wait_for(lambda count=turn: len(reading.sleeps) == count, 60)
        assert len(reading.keys) == keys
    assert reading.sleeps == [None] * 5


def test_escape_alone_is_known_as_soon_as_no_more_can_belong_to_it(reading: Reading) -> None:
    os.write(reading.hand, b"\x1b")
    wait_for(lambda: reading.keys == ["escape"], 60)
    wait_for(lambda: reading.sleeps[-1] is None, 60)
    first, due, *_ = reading.sleeps
    assert first is None
    assert due is not None and 0 < due <= 0.1


def test_it_ends_when_it_is_to_and_can_begin_again(reading: Reading) -> None:
    for turn in (1, 2):
        reading.driver.exit_event.set()
        reading.thread.join(60)
        assert not reading.thread.is_alive()
        reading.driver.exit_event.clear()
        os.write(reading.hand, b"x")
        reading.thread = Thread(target=reading.driver.run_input_thread, daemon=True)
        reading.thread.start()
        wait_for(lambda count=turn: len(reading.keys) == count, 60)
    assert reading.keys == ["x", "x"]


def test_a_terminal_that_is_gone_is_not_read_without_end(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, end = os.pipe()
    os.close(end)  # at its end, as a terminal that was closed
    read, reads = os.read, []

    def counted(file: int, most: int) -> bytes:
        reads.append(file)
        return read(file, most)

    reading.driver.exit_event.set()
    reading.thread.join(60)
    reading.driver.exit_event.clear()
    monkeypatch.setattr(os, "read", counted)
    os.close(reading.driver.fileno)
    reading.driver.fileno = gone
    reading.sleeps.clear()
    reading.thread = Thread(target=reading.driver.run_input_thread, daemon=True)
    reading.thread.start()
    wait_for(lambda: len(reading.sleeps) == 2, 60)
    assert reads.count(gone) == 1
