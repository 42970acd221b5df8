"""What a run takes: where its time goes, and what its process and its machine are at. Plain data, kept in the log.

So a run on another machine, or one that is over, shows them as a live one does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from tui_gen.bounds import Amount, Count, Name, Share

DATA, GRADIENTS, OPTIMISER = "data", "gradients", "optimiser"
"""The parts of a step: the batch; the losses and their gradients; the update of the weights and of their average."""
STEP_PARTS = (DATA, GRADIENTS, OPTIMISER)
PREVIEW, VALIDATION, CHECKPOINT, QUALITY, LOG = "preview", "validation", "checkpoint", "quality", "log"
"""What is done between steps."""
ROOM, WRITABLE = "room", "writable"
"""What is waited for whatever is done: room on a full disk, and that what cannot be written can be again."""

Parts = Annotated[dict[Name, Amount], Meta(max_length=32)]
Counts = Annotated[dict[Name, Count], Meta(max_length=32)]


class Spent(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where `seconds` of training went that made `steps` steps.

    `parts` has the seconds of each part, those of a step estimated from some of the steps; what is left is none of
    them. `counts` is how often each was done that is done between steps. At `idle` of `looks` steps the device had
    already finished what it was given before (0 of 0 where that is the process itself).
    """

    seconds: Amount = 0.0
    steps: Count = 0
    parts: Parts = {}
    counts: Counts = {}
    idle: Count = 0
    looks: Count = 0

    def __add__(self, other: Spent) -> Spent:
        """Both together."""
        parts, counts = dict(self.parts), dict(self.counts)
        for name, seconds in other.parts.items():
            parts[name] = parts.get(name, 0.0) + seconds
        for name, count in other.counts.items():
            counts[name] = counts.get(name, 0) + count
        return Spent(
            self.seconds + other.seconds, self.steps + other.steps, parts, counts,
            self.idle + other.idle, self.looks + other.looks,
        )  # fmt: skip

    def share(self, *names: str) -> float:
        """The share of the time that went into these parts, 0 to 1."""
        return min(1.0, sum(self.parts.get(name, 0.0) for name in names) / self.seconds) if self.seconds > 0 else 0.0

    @property
    def rest(self) -> float:
        """Seconds that are none of the parts'."""
        return max(0.0, self.seconds - sum(self.parts.values()))

    @property
    def per_step(self) -> float:
        """Seconds of a step, all its parts together; 0 where none was made."""
        return sum(self.parts.get(name, 0.0) for name in STEP_PARTS) / self.steps if self.steps else 0.0


class Account(Protocol):
    """What was spent, and what the process and its machine were at meanwhile."""

    @property
    def spent(self) -> Spent: ...

    @property
    def load(self) -> Load: ...


def processor_seconds(accounts: Iterable[Account]) -> float:
    """For how many seconds a run kept a CPU busy, those of all CPUs together."""
    return sum(account.spent.seconds * account.load.cpu for account in accounts)


class Gpu(msgspec.Struct, frozen=True, omit_defaults=True):
    """The GPU that a run computes on. Memory in bytes: `used` by anybody, `own` held by the run; 0 is not known.

    `busy` is the share of the time that it computed at all, None where nobody tells.
    """

    name: Name = ""
    busy: Share | None = None
    used: Count = 0
    total: Count = 0
    own: Count = 0
    watts: Amount = 0.0
    celsius: Amount = 0.0


class Load(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a process and its machine are at. Memory in bytes; 0 is not known.

    `cpus` is how many CPUs the process may use, `cpu` how many it kept busy; `all_cpus` is the share of all that
    anybody kept busy, None where nobody tells. `memory` is the process's, `free` and `total` the machine's, or those
    that its container is given.
    """

    host: Name = ""
    cpus: Amount = 0.0
    cpu: Amount = 0.0
    all_cpus: Share | None = None
    memory: Count = 0
    free: Count = 0
    total: Count = 0
    gpu: Gpu | None = None
