"""How far several processes may train before the next word of rank 0, which alone decides what is done between steps.

Rank 0 lets the others go on for a few steps at a time, and extends that while nothing is to be done, before they come
to its end: so nobody waits for word as a rule, and no step costs a message. What concerns all (an edit, a rollback,
samples that are drawn together, a pause) is done where the steps that were granted are made: the others wait there,
`settled`. What concerns rank 0 alone (metrics, validation, previews, checkpoints, the end) is done after any step.
"""

from __future__ import annotations

import copy
import io
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from tui_gen.model import Model
from tui_gen.train.cutting import Check
from tui_gen.train.quality.evaluate import SampleBatch, Sampler, sampled
from tui_gen.train.quality.reference import QualityError
from tui_gen.train.run import pictures
from tui_gen.train.run.peer_link import Message
from tui_gen.train.run.pictures import from_bytes, in_bytes
from tui_gen.train.shown.rows import Rows

if TYPE_CHECKING:
    from tui_gen.train.engine.trainer import Trainer
    from tui_gen.train.run.peers import Peers

AHEAD_SECONDS = 0.05
"""How much of training the others are granted at a time, about."""
DRAIN = 64
"""Steps after which the others throw their metrics away: rank 0 has the same."""
MOST = 64
"""Steps that they are granted at a time at most."""


class Lockstep(Protocol):
    """What a loop asks before, and tells of, its steps."""

    def check(self) -> None:
        """Raise PeerError where another process failed."""

    def begin(self, trainer: Trainer, how: dict[str, Any], check: Check) -> None:
        """Have all begin with the state of this process; `how` is what else they must do alike."""

    def settled(self, step: int) -> bool:
        """Whether the others wait for word after `step` steps."""

    def go_on(self, step: int, until: int, fraction: float | None) -> None:
        """Let all go on after `step` steps, by `until` at the longest; `fraction` is how much of the run is done."""

    def extend(self, step: int, until: int, fraction: float | None) -> None:
        """The same before the others wait: nothing is to be done between the next steps."""

    def fraction(self, step: int, fraction: float | None) -> float | None:
        """How much of the run is done, as all take it for a step, which begins now."""

    def edit(self, key: str, value: Any) -> None:
        """A live setting was changed."""

    def passed_over(self, step: int, batches: int) -> None:
        """So many batches of the data are passed over before a step."""

    def restored(self, trainer: Trainer) -> None:
        """The trainer holds another state: that of a checkpoint."""

    def validate(self, trainer: Trainer, limit: int, check: Check) -> dict[str, float]:
        """Metrics of the validation examples. Only where the others are settled."""

    def sampler(self, check: Check) -> Sampler:
        """What draws the samples that are measured; raises what `check` does. Only where the others are settled."""

    def rows(self, trainer: Trainer, check: Check) -> Rows:
        """What makes the rows of previews; raises what `check` does."""


class OneProcess:
    """A run of one process: nobody waits, nobody is told."""

    def check(self) -> None:
        """Nobody can fail."""

    def begin(self, trainer: Trainer, how: dict[str, Any], check: Check) -> None:
        """Nobody is told."""

    def settled(self, step: int) -> bool:
        """Always."""
        return True

    def go_on(self, step: int, until: int, fraction: float | None) -> None:
        """Nobody waits."""

    def extend(self, step: int, until: int, fraction: float | None) -> None:
        """Nobody waits."""

    def fraction(self, step: int, fraction: float | None) -> float | None:
        """As it is."""
        return fraction

    def edit(self, key: str, value: Any) -> None:
        """Nobody is told."""

    def passed_over(self, step: int, batches: int) -> None:
        """Nobody is told."""

    def restored(self, trainer: Trainer) -> None:
        """Nobody is told."""

    def validate(self, trainer: Trainer, limit: int, check: Check) -> dict[str, float]:
        """Those that this process computes."""
        return trainer.validate(limit, check)

    def sampler(self, check: Check) -> Sampler:
        """One that draws in this process."""
        return Sampler()

    def rows(self, trainer: Trainer, check: Check) -> Rows:
        """What makes them in this process."""
        return Rows()


class Grants:
    """How far a process may go, and with which fractions of the run: the same on rank 0 and on the others."""

    def __init__(self) -> None:
        self.until = 0
        self._grants: list[tuple[int, float | None]] = []

    def take(self, until: int, fraction: float | None) -> None:
        """Steps before `until` may be made; those that could not be before have this fraction."""
        self.until = until
        self._grants.append((until, fraction))

    def forget(self, step: int) -> None:
        """The next step is to be granted anew."""
        self.until = step
        self._grants = []

    def fraction(self, step: int) -> float | None:
        """Of a step that may be made; asked in the order of steps."""
        while len(self._grants) > 1 and self._grants[0][0] <= step:
            del self._grants[0]
        return self._grants[0][1] if self._grants else None


class Leading:
    """Rank 0 of several processes."""

    def __init__(self, peers: Peers) -> None:
        self.peers = peers
        self.grants = Grants()
        self._ahead = 1
        self._timed_from = 0, 0.0
        self._passed_at = -1
        self._rounds = itertools.count(1)

    def check(self) -> None:
        """Raise PeerError where another process failed."""
        self.peers.check()

    def begin(self, trainer: Trainer, how: dict[str, Any], check: Check) -> None:
        """Have all begin with the state of this process. Raises PeerError, and what `check` raises."""
        self.peers.answered("ready", check)
        self.peers.step, self.peers.collective = lambda: trainer.step, lambda: trainer.ranks.since
        self.peers.at = lambda: trainer.ranks.at
        self.peers.trains = True
        self.peers.tell_all("begin", threads=torch.get_num_threads(), **how)
        self._share(trainer)

    def settled(self, step: int) -> bool:
        """Whether the others wait for word after `step` steps."""
        return step >= self.grants.until

    def go_on(self, step: int, until: int, fraction: float | None) -> None:
        """Let all go on after `step` steps, by `until` at the longest."""
        if self.settled(step):
            self._timed_from = step, 0.0  # what was between the steps is no part of them
            self._grant(step, until, fraction)

    def extend(self, step: int, until: int, fraction: float | None) -> None:
        """The same before the others wait."""
        if self.grants.until - step <= max(1, self._ahead // 2):
            self._grant(step, until, fraction)

    def _grant(self, step: int, until: int, fraction: float | None) -> None:
        (since, at), now = self._timed_from, time.perf_counter()
        if at and step > since and now > at:
            self._ahead = min(MOST, max(1, round(AHEAD_SECONDS * (step - since) / (now - at))))
        self._timed_from = step, now
        goal = max(step + 1, min(step + 1 + self._ahead, until))
        if goal > self.grants.until:
            self.grants.take(goal, fraction)
            self.peers.tell_all("go", until=goal, fraction=fraction)

    def fraction(self, step: int, fraction: float | None) -> float | None:
        """As it was granted: the others have the same."""
        return self.grants.fraction(step)

    def edit(self, key: str, value: Any) -> None:
        """A live setting was changed: for all from the next step on."""
        self.peers.tell_all("edit", key=key, value=value)

    def passed_over(self, step: int, batches: int) -> None:
        """So many batches of the data are passed over before a step; told once, however often it is attempted."""
        if self._passed_at != step and batches:
            self._passed_at = step
            self.peers.tell_all("pass", batches=batches)

    def restored(self, trainer: Trainer) -> None:
        """All take the state that this process went back to."""
        self._passed_at = -1
        self.peers.tell_all("restore")
        self._share(trainer)

    def validate(self, trainer: Trainer, limit: int, check: Check) -> dict[str, float]:
        """Those that all compute together. What `check` raises must end the run: the others would wait."""
        self.peers.tell_all("validate", limit=limit)
        return trainer.validate(limit, check)

    def sampler(self, check: Check) -> Sampler:
        """One that has every process draw a batch."""
        return _Shared(self.peers, check, self._rounds)

    def rows(self, trainer: Trainer, check: Check) -> Rows:
        """What has every process make its share, where they are settled."""
        return pictures.Together(trainer, self.peers, lambda: self.settled(trainer.step), self._rounds, check)

    def _share(self, trainer: Trainer) -> None:
        self.grants.forget(trainer.step)
        trainer.ranks.broadcast(packed(trainer))


class _Shared(Sampler):
    """Has the other processes draw a batch each while this one draws one."""

    def __init__(self, peers: Peers, check: Check, rounds: Iterator[int]) -> None:
        self.peers, self.check, self._rounds = peers, check, rounds
        self.width = peers.world.count

    def begin(self, model: Model) -> None:
        self.peers.tell_all("keep")

    def draw(self, model: Model, device: torch.device, batches: Sequence[SampleBatch]) -> list[Tensor]:
        """Raises QualityError where another process cannot draw, PeerError, and what the check raises."""
        this = next(self._rounds)  # answers to a round that was cut are passed over
        others = self.peers.peers[: len(batches) - 1]
        for peer, batch in zip(others, batches[1:]):
            labels = None if batch.labels is None else in_bytes(batch.labels)
            peer.tell("draw", round=this, noise=in_bytes(batch.noise), labels=labels, seed=batch.seed)
        samples = [sampled(model, device, batches[0])]
        for peer in others:
            answer = self.peers.answer(peer, self.check)
            while answer.get("round") != this:
                answer = self.peers.answer(peer, self.check)
            if "problem" in answer:
                raise QualityError(f"{peer.words}: {answer['problem']}")
            samples.append(from_bytes(answer["samples"]).to(device))
        return samples


def draw(model: Model, device: torch.device, request: Message) -> dict[str, Any]:
    """Draw what a `_Shared` asks for: the answer."""
    labels = request["labels"]
    batch = SampleBatch(
        from_bytes(request["noise"]), None if labels is None else from_bytes(labels), request["seed"]
    )
    try:
        out = sampled(model, device, batch)
    except Exception as error:  # a fault in a model's sampler, memory: training must not end for it
        return {"round": request["round"], "problem": f"{type(error).__name__}: {error}"}
    return {"round": request["round"], "samples": in_bytes(out.float())}


def packed(trainer: Trainer) -> bytes:
    """All that a trainer goes on from, in bytes."""
    now, file = trainer.snapshot(), io.BytesIO()
    torch.save({"state": now.state, "weights": now.weights, "average": now.average}, file)
    return file.getvalue()


def unpacked(data: bytes, trainer: Trainer) -> None:
    """Put into a trainer what `packed` made of another process's. Raises TrainingError."""
    tensors = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    trainer.restore(tensors["state"], tensors["weights"], tensors["average"])


def take_state(trainer: Trainer) -> None:
    """Take over the state of rank 0, which gives it now."""
    unpacked(trainer.ranks.broadcast(), trainer)
    trainer.meter.flush()


def follow(trainer: Trainer, said: Callable[[], Message], answer: Callable[..., Any]) -> None:
    """Train as rank 0 says, until it says that this is the end. `said` gives the next message, waited for."""
    grants = Grants()
    grants.forget(trainer.step)
    model = trainer.eval_model
    while True:
        while trainer.step >= grants.until:
            message = said()
            match message["do"]:
                case "go":
                    grants.take(message["until"], message["fraction"])
                case "edit":
                    trainer.edit(message["key"], message["value"])
                case "pass":
                    for _ in range(message["batches"]):
                        trainer.stream.next()
                case "restore":
                    take_state(trainer)
                    grants.forget(trainer.step)
                case "validate":
                    trainer.validate(message["limit"])
                case "keep":
                    model = copy.deepcopy(trainer.eval_model)
                case "draw":
                    answer("drew", **draw(model, trainer.device, message))
                case "rows":
                    answer("made", **pictures.made(trainer, message))
                case "end":
                    return
        trainer.train_step(grants.fraction(trainer.step))
        if trainer.step % DRAIN == 0:
            trainer.meter.flush()
