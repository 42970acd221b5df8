"""A group of processes that run one function each: forked from this one, where PyTorch is loaded already."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.fx.experimental.symbolic_shapes  # the first gradient imports it, for seconds in each child

from tui_gen.train.engine import ranks
from tui_gen.train.engine.ranks import Ranks

TIMEOUT = 60.0


def run(count: int, folder: Path, act: Callable[[Ranks], Any], timeout: float = TIMEOUT) -> list[Any]:
    """What `act` returned on each of `count` ranks, each a process with one thread; None of one that ended itself.

    They meet at a file in `folder`. Raises AssertionError with the traceback of the first rank in which it raised.
    """
    address = f"file://{folder}/meet-{count}-{os.urandom(4).hex()}"
    children = []
    for rank in range(count):
        reads, writes = os.pipe()
        pid = os.fork()
        if not pid:
            _child(rank, count, address, timeout, act, writes)
        os.close(writes)
        children.append((pid, reads))
    answers: list[Any] = []
    try:
        for _, reads in children:
            with os.fdopen(reads, "rb") as file:
                data = file.read()
            answers.append(pickle.loads(data) if data else None)
    finally:
        for pid, _ in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    for rank, answer in enumerate(answers):
        assert not isinstance(answer, str), f"rank {rank} of {count}:\n{answer}"
    return [None if answer is None else answer[0] for answer in answers]


def _child(rank: int, count: int, address: str, timeout: float, act: Callable[[Ranks], Any], writes: int) -> None:
    try:
        torch.set_num_threads(1)
        joined = ranks.join(rank, count, address, torch.device("cpu"), timeout=timeout)
        answer: Any = (act(joined),)
        if joined.group is not None:
            joined.wait()
    except BaseException:
        answer = traceback.format_exc()
    with os.fdopen(writes, "wb") as file:
        pickle.dump(answer, file)
    os._exit(0)
