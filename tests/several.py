"""Runs of several processes whose processes are forked: real ones, with the real connections, up within a second."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch.fx.experimental.symbolic_shapes  # noqa: F401 - the first gradient imports it, for seconds in each child

from tests.attack import forked
from tui_gen.train.run import following, peers, stopping
from tui_gen.train.run.peer_link import PeerLink
from tui_gen.world import SLURM, TORCHRUN, World, hand_over


class Forked:
    """As much of a `subprocess.Popen` as rank 0 asks of one."""

    def __init__(self, pid: int) -> None:
        self.child, self.pid = forked.Child(pid), pid

    def wait(self, timeout: float) -> int:
        status = self.child.wait(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("a process", timeout)
        return status

    def kill(self) -> None:
        self.child.end()


def _fork(self: peers.Peers, peer: peers.Peer) -> None:
    """Instead of `Peers._start`: fork the process, and leave its number in a file beside the run."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if not pid:
        status = 70
        try:
            ours.close()
            for other in self.peers:
                if other.link is not None:
                    other.link._socket.close()  # not `close`, which would end it for rank 0 as well
            count = self.world.count
            stopping.leave = sys.exit
            status = following.Following(World(peer.rank, count, peer.rank, count), self.path, PeerLink(theirs)).main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    theirs.close()
    peer.process = Forked(pid)
    place(self.path, peer.rank).write_text(str(pid))
    self._take(peer, PeerLink(ours))


def place(run: Path, rank: int) -> Path:
    """The file that tells the process of a rank."""
    return run.parent / f"{run.name}.rank-{rank}"


def process(run: Path, rank: int) -> int:
    """The process of a rank that is not the first; 0 while there is none."""
    with contextlib.suppress(OSError, ValueError):
        return int(place(run, rank).read_text())
    return 0


@contextlib.contextmanager
def forking() -> Iterator[None]:
    """Within it, rank 0 forks the others."""
    with patch.object(peers.Peers, "_start", _fork):
        yield


def worker(
    run: Path, *, resume: bool = False, around: Callable[[], AbstractContextManager[Any]] = nullcontext
) -> forked.Child:
    """Fork rank 0 of a run, which forks the others."""
    for rank in range(1, 9):
        place(run, rank).unlink(missing_ok=True)

    @contextlib.contextmanager
    def both() -> Iterator[None]:
        with forking(), around():
            yield

    return forked.worker(run, resume=resume, around=both)


def met(run: Path, store: int = 0) -> tuple[forked.Child, forked.Child]:
    """Rank 0 of a run and another process, as srun starts both: they find each other at a port. Or as torchrun does,
    which has a `store` at one."""
    if not (port := store):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
    launcher = TORCHRUN if store else SLURM
    places = [World(rank, 2, rank, 2, "127.0.0.1", port, launcher) for rank in (0, 1)]
    pid = os.fork()
    if not pid:
        status = 70
        try:
            status = following.Following(places[1]).main()
        finally:
            os._exit(status)
    return first(run, places[0]), forked.Child(pid)


def first(run: Path, place: World, **settings: float) -> forked.Child:
    """Rank 0 of a run in this place; `settings` are other values for those of `peers`."""

    @contextlib.contextmanager
    def placed() -> Iterator[None]:
        hand_over(place)
        with patch.multiple(peers, **settings) if settings else nullcontext():
            yield

    return forked.worker(run, around=placed)
