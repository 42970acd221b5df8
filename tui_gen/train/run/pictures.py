"""Rows of previews that the processes of a run make together, each its share, of the weights that all have.

A picture must not depend on who made it. So what takes long is first made by all and by rank 0 alone, and only where
both have the same bits do the others help from then on: a row comes out the same then, however many there are. Rank 0
does not need them: what one of them cannot make, or has not made in time, it makes itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from tui_gen.model import Model
from tui_gen.runs import RunError
from tui_gen.train.cutting import Check, Cut, Stopped
from tui_gen.train.engine.devices import put_random_state, random_state, random_state_kept, wait_for
from tui_gen.train.engine.ranks import share_of
from tui_gen.train.run.link import Message
from tui_gen.train.shown.rows import ALONG, Rows, part

if TYPE_CHECKING:
    from tui_gen.train.engine.trainer import Trainer
    from tui_gen.train.run.peers import Peers

COSTLY = 0.2
"""Seconds that rows take from which on it is worth asking others, who may have to be waited for."""
LATE = 30.0
"""Seconds more than twice as long as rank 0 took for its share, after which it makes that of another itself."""


class Together(Rows):
    """Rank 0's side. `settled` says whether the others wait for word; `rounds` counts what they are asked for."""

    def __init__(
        self, trainer: Trainer, peers: Peers, settled: Callable[[], bool], rounds: Iterator[int], check: Check
    ) -> None:
        self.trainer, self.peers, self.settled, self.rounds, self.check = trainer, peers, settled, rounds, check
        self._seconds: dict[tuple[Any, ...], float] = {}
        """How long rows take one process, by what they are."""
        self._alike: dict[tuple[Any, ...], bool] = {}
        """Whether those that all made came out as those of one."""

    @property
    def wanted(self) -> bool:
        return any(self._helps(kind) for kind in self._seconds)

    def _helps(self, kind: tuple[Any, ...]) -> bool:
        return self._alike.get(kind, True) and self._seconds.get(kind, 0.0) >= COSTLY

    def made(self, model: Model, method: str, noise: Tensor, labels: Tensor | None, *more: Any) -> Tensor:
        """Raises PeerError where another process is gone, and what the check raises."""
        trainer, kind = self.trainer, (method, tuple(noise.shape), *more)
        averaged = model is trainer.average
        known = averaged or model is trainer.model
        if not (known and self._helps(kind) and len(noise) >= self.peers.world.count and self.settled()):
            start = time.perf_counter()
            out = super().made(model, method, noise, labels, *more)
            wait_for(trainer.device)
            self._seconds[kind] = time.perf_counter() - start
            return out
        before = random_state(trainer.device)
        shared = self._shared(model, averaged, method, noise, labels, *more)
        if shared is not None and kind in self._alike:
            return shared
        after = random_state(trainer.device)
        put_random_state(trainer.device, before)
        out = super().made(model, method, noise, labels, *more)
        drawn_alike = all(map(torch.equal, after, random_state(trainer.device)))
        self._alike[kind] = shared is not None and drawn_alike and torch.equal(shared, out)
        return out

    def _shared(
        self, model: Model, averaged: bool, method: str, noise: Tensor, labels: Tensor | None, *more: Any
    ) -> Tensor | None:
        """The rows of all processes; None where one has none."""
        device, count, this = self.trainer.device, self.peers.world.count, next(self.rounds)
        shares = [share_of(rank, count, len(noise)) for rank in range(count)]
        random = [in_bytes(state) for state in random_state(device)]
        given = {"noise": in_bytes(noise), "labels": None if labels is None else in_bytes(labels), "random": random}
        for peer in self.peers.peers:
            share = shares[peer.rank]
            peer.tell(
                "rows", round=this, averaged=averaged, method=method, start=share.start, stop=share.stop,
                more=list(more), **given,
            )  # fmt: skip
        start = time.monotonic()
        try:
            rows = [part(model, method, slice(shares[0].start, shares[0].stop), noise, labels, *more)]
        except (Cut, Stopped, RunError):
            raise
        except Exception:  # as a whole it may be made all the same; else that is told
            return None
        wait_for(device)
        deadline = time.monotonic() + 2 * (time.monotonic() - start) + LATE
        for peer in self.peers.peers:
            answer = self.peers.answer_by(peer, self.check, deadline)
            while answer is not None and answer.get("round") != this:  # of a round that was cut
                answer = self.peers.answer_by(peer, self.check, deadline)
            if answer is None or "problem" in answer:
                return None
            rows.append(from_bytes(answer["rows"]).to(device))
        return torch.cat(rows, ALONG[method])


def made(trainer: Trainer, asked: Message) -> dict[str, Any]:
    """Make the share of another process that a `Together` asks for: the answer."""
    model = trainer.average if asked["averaged"] and trainer.average is not None else trainer.model
    was, device = model.training, trainer.device
    model.eval()
    try:
        labels = None if asked["labels"] is None else from_bytes(asked["labels"]).to(device)
        noise, rows = from_bytes(asked["noise"]).to(device), slice(asked["start"], asked["stop"])
        with torch.no_grad(), random_state_kept(device, 0):
            put_random_state(device, tuple(from_bytes(state) for state in asked["random"]))
            out = in_bytes(part(model, asked["method"], rows, noise, labels, *asked["more"]))
    except Exception as error:  # a fault in a model's sampler, memory: training must not end for it
        return {"round": asked["round"], "problem": f"{type(error).__name__}: {error}"}
    finally:
        model.train(was)
    return {"round": asked["round"], "rows": out}


def in_bytes(tensor: Tensor) -> dict[str, Any]:
    """A tensor of a type that NumPy has as plain values."""
    array = tensor.detach().cpu().contiguous().numpy()
    return {"data": array.tobytes(), "shape": list(array.shape), "type": str(array.dtype)}


def from_bytes(plain: dict[str, Any]) -> Tensor:
    """The tensor that `in_bytes` took apart, on the CPU."""
    array = np.frombuffer(bytearray(plain["data"]), dtype=plain["type"])
    return torch.from_numpy(array.reshape(plain["shape"]))
