"""The process that decodes for the latent explorer: `python -m tui_gen.train.offline.explore`.

It reads asks from its standard input and writes answers to its standard output (see `tui_gen.exploring`). It lets
everybody else go first, computes on the CPU, and ends when its input does, whatever it is doing then: it never outlives
who started it. It also ends by itself when nothing is asked for PATIENCE seconds, and is started anew for the next ask.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from tui_gen.exploring import LENGTH, Answer, Ask, Failure, Film, Hurry, Spread

PATIENCE = 300.0
"""Seconds without an ask after which the process ends: its memory is worth more than its readiness."""
LEAST_URGENT = 10
"""What it adds to its nice value."""


def serve(source: BinaryIO, target: BinaryIO, explorer: Any, leave: Callable[[], None], patience: float) -> None:
    """Answer asks until the input ends, or nothing is asked for `patience` seconds; then `leave`, at once.

    What is slow has a thread of its own, so that moving about waits for nothing but its own decoding.
    """
    quick: queue.Queue[Ask | None] = queue.Queue()
    slow: queue.Queue[Ask | None] = queue.Queue()
    encoder, writing = msgspec.msgpack.Encoder(), threading.Lock()

    def reply(ask: Ask) -> None:
        data = encoder.encode(Answer(ask.number, explorer.answer(ask.what)))
        with writing, contextlib.suppress(BrokenPipeError, ValueError):
            target.write(LENGTH.pack(len(data)) + data)
            target.flush()

    def listen() -> None:
        decoder = msgspec.msgpack.Decoder(Ask)
        while len(head := source.read(LENGTH.size)) == LENGTH.size:
            body = source.read(LENGTH.unpack(head)[0])
            try:
                ask = decoder.decode(body)
            except msgspec.DecodeError:
                break  # whoever speaks otherwise is of another version
            if isinstance(ask.what, Hurry):
                explorer.hurry()
                continue
            (slow if isinstance(ask.what, Spread | Film) else quick).put(ask)
        leave()
        quick.put(None)
        slow.put(None)

    def work(asks: queue.Queue[Ask | None]) -> None:
        while (ask := asks.get()) is not None:
            reply(ask)

    threading.Thread(target=listen, name="asks", daemon=True).start()
    threading.Thread(target=work, args=(slow,), name="slow", daemon=True).start()
    while True:
        try:
            ask = quick.get(timeout=patience)
        except queue.Empty:
            leave()
            return
        if ask is None:
            return
        reply(ask)


class Late:
    """An explorer whose PyTorch is imported with the first ask."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._explorer: Any = None
        self._importing = threading.Lock()

    def hurry(self) -> None:
        """Cut the present look short."""
        if self._explorer is not None:
            self._explorer.hurry()

    def answer(self, ask: Any) -> Any:
        """The explorer's answer."""
        with self._importing:
            if self._explorer is None:
                try:
                    from tui_gen.train.offline.explore.service import Explorer
                except ImportError as error:
                    return Failure(f"PyTorch cannot be imported: {error}", lost=True)
                self._explorer = Explorer(self._folder)
        return self._explorer.answer(ask)


def main() -> None:
    """Serve on the standard streams; nothing else may write to them."""
    for number in (signal.SIGINT, signal.SIGHUP):  # these are the workbench's; with it the input ends
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.nice(LEAST_URGENT)
    folder = Path(tempfile.mkdtemp(prefix="tui-gen-explore-"))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a model file prints is no answer

    def leave() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)

    signal.signal(signal.SIGTERM, lambda *_: leave())
    serve(sys.stdin.buffer, answers, Late(folder), leave, PATIENCE)


if __name__ == "__main__":
    main()
