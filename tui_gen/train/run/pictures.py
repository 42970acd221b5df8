"""Rows of previews that the processes of a run make: each its share, of the weights that all have.

A picture must not depend on who made it, and a product of fewer rows rounds otherwise. So they are always made in as
many parts as there are processes, by rank 0 alone where that takes no time, or the others are at another step. It does
not need them: what one of them cannot make, or has not made in time, it makes itself. What a model of somebody's own
makes, of whose rows nobody knows whether they depend on each other, it makes whole and alone, as one process does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from tui_gen.model import Model
from tui_gen.runs import RunError
from tui_gen.train.cutting import Check, Cut, Stopped
from tui_gen.train.engine.building import ours
from tui_gen.train.engine.devices import evaluating, put_random_state, random_state, wait_for
from tui_gen.train.engine.ranks import share_of
from tui_gen.train.run.peer_link import Message
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
        """How long rows take this process alone, by what they are."""
        self._alone: set[tuple[Any, ...]] = set()
        """Those with which the others were of no help."""
        self._whole: set[tuple[Any, ...]] = set()
        """Those that cannot be made in parts."""

    @property
    def wanted(self) -> bool:
        return any(self._costly(kind) for kind in self._seconds)

    def _costly(self, kind: tuple[Any, ...]) -> bool:
        return kind not in self._alone and self._seconds.get(kind, 0.0) >= COSTLY

    def made(self, model: Model, method: str, noise: Tensor, labels: Tensor | None, *more: Any) -> Tensor:
        """Raises PeerError where another process is gone, and what the check raises."""
        trainer, kind, count = self.trainer, (method, tuple(noise.shape), *more), self.peers.world.count
        if not ours(model) or kind in self._whole or len(noise) < count:
            return super().made(model, method, noise, labels, *more)
        shares = [slice(share.start, share.stop) for share in (share_of(n, count, len(noise)) for n in range(count))]
        before, rows = random_state(trainer.device), None
        if (model is trainer.average or model is trainer.model) and self._costly(kind) and self.settled():
            rows = self._shared(shares, model, method, noise, labels, *more)
            if rows is None:
                self._alone.add(kind)
        if rows is None:
            start = time.perf_counter()
            rows = self._own(shares, before, model, method, noise, labels, *more)
            wait_for(trainer.device)
            self._seconds[kind] = time.perf_counter() - start
        if rows is None:
            self._whole.add(kind)
            put_random_state(trainer.device, before)
            return super().made(model, method, noise, labels, *more)
        return torch.cat(rows, ALONG[method])

    def _own(self, shares: Sequence[slice], before: tuple[Tensor, ...], *what: Any) -> list[Tensor] | None:
        """The rows of all shares, made here, which all draw alike; None where they do not."""
        rows, after = [], before
        for number, share in enumerate(shares):
            put_random_state(self.trainer.device, before)
            model, method, *arguments = what
            try:
                rows.append(part(model, method, share, *arguments))
            except (Cut, Stopped, RunError):
                raise
            except Exception:  # as a whole it may be made all the same; else that is told
                return None
            state = random_state(self.trainer.device)
            if number and not all(map(torch.equal, after, state)):
                return None
            after = state
        return rows

    def _shared(
        self, shares: Sequence[slice], model: Model, method: str, noise: Tensor, labels: Tensor | None, *more: Any
    ) -> list[Tensor] | None:
        """The rows of all shares, each made by its process; None where one has none."""
        device, this = self.trainer.device, next(self.rounds)
        before = random_state(device)
        inputs = {"noise": in_bytes(noise), "labels": None if labels is None else in_bytes(labels)}
        for peer in self.peers.peers:
            peer.tell(
                "rows", round=this, averaged=model is self.trainer.average, method=method, more=list(more),
                start=shares[peer.rank].start, stop=shares[peer.rank].stop,
                random=[in_bytes(state) for state in before], **inputs,
            )  # fmt: skip
        start = time.monotonic()
        rows = self._own(shares[:1], before, model, method, noise, labels, *more)
        wait_for(device)
        deadline = time.monotonic() + 2 * (time.monotonic() - start) + LATE
        for peer in self.peers.peers:
            answer = self.peers.answer_by(peer, self.check, deadline)
            while answer is not None and answer.get("round") != this:  # of a round that was cut
                answer = self.peers.answer_by(peer, self.check, deadline)
            if rows is None or answer is None or "problem" in answer:
                return None
            rows.append(from_bytes(answer["rows"]).to(device))
        return rows


def made(trainer: Trainer, request: Message) -> dict[str, Any]:
    """Make the share of another process that a `Together` asks for: the answer."""
    model = trainer.average if request["averaged"] and trainer.average is not None else trainer.model
    device = trainer.device
    try:
        labels = None if request["labels"] is None else from_bytes(request["labels"]).to(device)
        noise, rows = from_bytes(request["noise"]).to(device), slice(request["start"], request["stop"])
        with evaluating(model, device):
            put_random_state(device, tuple(from_bytes(state) for state in request["random"]))
            out = in_bytes(part(model, request["method"], rows, noise, labels, *request["more"]))
    except Exception as error:  # a fault in a model's sampler, memory: training must not end for it
        return {"round": request["round"], "problem": f"{type(error).__name__}: {error}"}
    return {"round": request["round"], "rows": out}


def in_bytes(tensor: Tensor) -> dict[str, Any]:
    """A tensor of a type that NumPy has as plain values."""
    array = tensor.detach().cpu().contiguous().numpy()
    return {"data": array.tobytes(), "shape": list(array.shape), "type": str(array.dtype)}


def from_bytes(plain: dict[str, Any]) -> Tensor:
    """The tensor that `in_bytes` took apart, on the CPU."""
    array = np.frombuffer(bytearray(plain["data"]), dtype=plain["type"])
    return torch.from_numpy(array.reshape(plain["shape"]))
