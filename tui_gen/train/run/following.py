"""A process that trains a run together with its rank 0, and does what that one says: `--rank R` of a worker.

It writes nothing but what it prints (`worker-R.log`), answers nobody, asks no clock, decides nothing. It ends with rank
0, however that one ends; what goes wrong here it tells it before. A signal that is to stop it is handed on: rank 0 ends
the run for all, with a checkpoint.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from tui_gen.batch import TERMINATED
from tui_gen.quantities import span
from tui_gen.train.run import output, stopping
from tui_gen.train.run.peer_link import Message, PeerLink
from tui_gen.train.run.peers import ARRIVAL, BEAT, LEAST, LOST, hello
from tui_gen.world import SLURM, TORCHRUN, World

if TYPE_CHECKING:
    from tui_gen.train.engine.trainer import Trainer

LAST_WORD = 5.0
"""Seconds that one which lost another waits to be told why."""
PATIENCE = 0.5
"""Seconds between two attempts to reach rank 0, which may be coming up."""


class Unmet(Exception):
    """Rank 0 cannot be reached, or ended before it had a run."""


class Following:
    """One such process. `run` is the run's folder where it is known, else rank 0 tells it."""

    def __init__(self, world: World, run: Path | None = None, link: PeerLink | None = None) -> None:
        self.world, self.run = world, run
        self._link = link
        self._said: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.trainer: Trainer | None = None
        self.stop_reason = ""
        self._told = False
        """Whether rank 0 has said what to do: until then it may be loading PyTorch, and say nothing for long."""
        self._heard = threading.Event()

    # -- being stopped: what a `stopping.SignalWatch` asks of it

    @property
    def begun(self) -> bool:
        """Rank 0 says when this ends."""
        return True

    def ask_to_stop(self, reason: str) -> None:
        """Hand it on to rank 0."""
        if self._link is None:
            os._exit(TERMINATED)  # there is no run yet
        self._link.send("stop", reason=reason)

    def end_now(self) -> None:
        """Never asked: see `begun`."""

    # -- its life

    def main(self) -> int:
        """Train until rank 0 says that the run has ended; the exit status."""
        if self.run is not None:
            output.redirect(self.run, f"worker-{self.world.rank}.log")
        stopping.SignalWatch(self)
        if self._link is not None:
            _wake_with_parent()
        try:
            link = self._link or self._met()
            link.send("hello", **hello(self.world))
            self._link = link
            threading.Thread(target=self._listen, name="rank 0", daemon=True).start()
            threading.Thread(target=self._beat, name="beat", daemon=True).start()
            self._train()
        except Unmet as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except BaseException as error:
            return self._failed(error)
        return 0

    def _met(self) -> PeerLink:
        """A connection to rank 0, which something else started. Raises Unmet."""
        port = self.world.port
        if self.world.launcher == TORCHRUN:
            from tui_gen.train.engine import ranks
            from tui_gen.train.engine.building import TrainingError

            try:
                port = int(ranks.published(self.world.address, port, "hub", ARRIVAL))
            except TrainingError as error:
                raise Unmet(f"rank 0 cannot be found: {error}") from None
        patience = self.world.patience + LEAST if self.world.launcher == SLURM else ARRIVAL
        deadline = time.monotonic() + patience
        while True:
            try:
                end = socket.create_connection((self.world.address, port), PATIENCE * 10)
                end.settimeout(None)
                return PeerLink(end)
            except OSError as error:
                if time.monotonic() > deadline:
                    where = f"{self.world.address}:{port}"
                    raise Unmet(f"rank 0 cannot be reached at {where}: {error.strerror or error}") from None
            time.sleep(PATIENCE)

    def _failed(self, error: BaseException) -> int:
        """Tell rank 0; where this may only be what another process did, wait to be told."""
        from tui_gen.train.engine.ranks import RankLost
        from tui_gen.train.run.worker import Worker

        second = isinstance(error, RankLost)
        words = Worker._why(error).replace("worker.log", f"worker-{self.world.rank}.log")
        if not second:
            traceback.print_exc()
            print(f"error: {words}", file=sys.stderr)
        assert self._link is not None
        self._link.send("failed", words=words, second=second)
        if second:
            self._heard.wait(LAST_WORD)
        return 1

    def _listen(self) -> None:
        """Hear what rank 0 says. When it ends, so does this process, whatever its main thread waits for."""
        assert self._link is not None
        while (message := self._link.receive()) is not None:
            if message["do"] == "end":
                failed, words = bool(message.get("failed")), str(message.get("words", ""))
                own = words.startswith(f"rank {self.world.rank} ")
                print(f"error: stopped because {words}" if failed and not own else words, file=sys.stderr)
                self._leave(int(failed))
            if message["do"] != "beat":
                self._told = True
                self._said.put(message)
        print("error: stopped because rank 0 is gone", file=sys.stderr)
        self._leave(1)

    def _leave(self, status: int) -> None:
        self._heard.set()
        sys.stderr.flush()
        os._exit(status)

    def _beat(self) -> None:
        """Give a sign of life every BEAT seconds, and look for those of rank 0."""
        assert self._link is not None
        last = time.monotonic()
        while True:
            trainer = self.trainer
            step = trainer.step if trainer is not None else 0
            waits, at = (False, ()) if trainer is None else (bool(trainer.ranks.since), tuple(trainer.ranks.at))
            self._link.beat(step=step, waits=waits, at=at)
            time.sleep(BEAT)
            now = time.monotonic()
            if now - last > 3 * BEAT:  # this process was held
                self._link.last_heard = now
            last = now
            limit = LOST if self._told else ARRIVAL
            if now - self._link.last_heard > limit:
                words = f"rank 0 has given no sign of life for {span(limit)}"
                self._link.last("failed", words=words)  # it may have been held, and would miss this one for no reason
                print(f"error: stopped because {words}", file=sys.stderr)
                self._leave(1)

    # -- training

    def _next(self) -> Message:
        return self._said.get()

    def _train(self) -> None:
        """Build what rank 0 has built, and do as it says; returns never but by an error: the end comes in `_listen`."""
        assert self._link is not None
        import torch

        import tui_gen.train.data  # noqa: F401
        from tui_gen.train.run.computing import Computing
        from tui_gen.train.run.lockstep import follow, take_state
        from tui_gen.train.run.processes import build

        order = self._next()
        if self.run is None:
            self.run = Path(order["run"])
            if self.run.is_dir():
                output.redirect(self.run, f"worker-{self.world.rank}.log")
        self.trainer = trainer = build(self.world, order, self._link.send)
        how = self._next()
        torch.set_num_threads(how["threads"])
        computing = Computing()
        computing.take(how)
        computing.prepare(trainer, lambda words: print(words, file=sys.stderr))
        take_state(trainer)
        follow(trainer, self._next, self._link.send)


def _wake_with_parent() -> None:
    """Have Linux wake this process when rank 0 ends, which started it: held by a signal, it would not hear of that."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGCONT)
