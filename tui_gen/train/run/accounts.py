"""What a run's time goes into, written down every few seconds, with what its machine is at."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import msgspec
import torch

from tui_gen import events
from tui_gen.machine import Gauge, resident_bytes
from tui_gen.train.engine.devices import allocated, memory_of, named, reserved, uuid_of, wait_for
from tui_gen.train.engine.laps import Laps
from tui_gen.train.run import holding
from tui_gen.usage import Gpu, Spent

OFTEN, SELDOM = 2.0, 30.0
"""Seconds between two accounts, at first and at most."""
PART = 60
"""In between an account is made after so much of a run: 1 / PART."""


class Accounts:
    """Where one run's training time goes. Steps are timed by `laps`, what is done between them by `doing`.

    `on_wait` is called after each wait with its seconds.
    """

    def __init__(
        self, device: torch.device, laps: Laps, on_wait: Callable[[float], None] = lambda seconds: None
    ) -> None:
        self._device, self._laps, self._on_wait = device, laps, on_wait
        self._gauge = Gauge(uuid_of(device))
        self._parts: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._inside = False
        self.waited = 0.0
        """Seconds of waits so far: they are no part of what they interrupted."""
        self._step, self._seconds, self._waited = 0, 0.0, 0.0

    def begin(self, step: int, seconds: float) -> None:
        """Training begins at a step, `seconds` of training after the run's beginning: waits are none."""
        self._step, self._seconds, self._waited = step, seconds, self.waited
        self._parts, self._counts = {}, {}

    @contextlib.contextmanager
    def doing(self, part: str) -> Iterator[None]:
        """What happens inside belongs to this part, and what that does in turn as well."""
        if self._inside:
            yield
            return
        wait_for(self._device)  # or steps that are still on their way would count for it
        self._inside, started = True, holding.now() - self.waited
        try:
            yield
        finally:
            self._inside = False
            self._add(part, holding.now() - self.waited - started)

    @contextlib.contextmanager
    def waiting(self, part: str) -> Iterator[None]:
        """What happens inside is a wait, whatever it interrupts: its time belongs to this part, and to no other."""
        before, self._inside, started = self._inside, True, holding.now()
        try:
            yield
        finally:
            seconds = holding.now() - started
            self._inside, self.waited = before, self.waited + seconds
            self._add(part, seconds)
            self._on_wait(seconds)

    def _add(self, part: str, seconds: float) -> None:
        self._parts[part] = self._parts.get(part, 0.0) + seconds
        self._counts[part] = self._counts.get(part, 0) + 1

    def account(self, step: int, seconds: float, per_second: float | None = None) -> list[events.Usage]:
        """What there is to write down after `step` steps and `seconds` of training, if it is time for it.

        The time in it is that of training and of waits. `per_second` is how many steps are made in a second; without it
        the run is over, and the rest is told.
        """
        if per_second is not None:
            self._laps.pace(per_second)
            if seconds - self._seconds < min(SELDOM, max(OFTEN, seconds / PART)):
                return []
        if seconds <= self._seconds or step <= self._step:
            return []
        span = seconds - self._seconds + self.waited - self._waited
        spent = self._laps.collect(step - self._step) + Spent(span, 0, self._parts, self._counts)
        self.begin(step, seconds)
        return [events.Usage(step, _rounded(spent), self._gauge.read(self._gpu()))]

    def pace(self, step: int, seconds: float, per_second: float, batch_size: int) -> events.System:
        """How fast it goes after `step` steps and `seconds` of training, and the memory that it takes."""
        return events.System(
            step=step,
            steps_per_second=round(per_second, 3),
            images_per_second=round(per_second * batch_size, 1),
            memory=resident_bytes(),
            device_memory=allocated(self._device),
            seconds=round(seconds, 3),
        )

    def _gpu(self) -> Gpu | None:
        free, total = (0, 0) if self._device.type == "cpu" else memory_of(self._device)
        if not total:
            return None
        return Gpu(named(self._device), used=total - free, total=total, own=reserved(self._device))


def _rounded(spent: Spent) -> Spent:
    """The same, to a tenth of a millisecond: a log needs no more. Parts of steps are made to fit into the time."""
    between = sum(spent.parts.get(name, 0.0) for name in spent.counts)
    steps = sum(spent.parts.values()) - between
    fit = min(1.0, max(0.0, spent.seconds - between) / steps) if steps > 0 else 1.0
    parts = {
        name: round(seconds * (1.0 if name in spent.counts else fit), 4) for name, seconds in spent.parts.items()
    }
    return msgspec.structs.replace(spent, seconds=round(spent.seconds, 4), parts=parts)


class Accounted(Protocol):
    """What keeps accounts."""

    accounts: Accounts


Self = TypeVar("Self", bound=Accounted)
Given = ParamSpec("Given")
Result = TypeVar("Result")
Method = Callable[Concatenate[Self, Given], Result]


def counts_as(part: str) -> Callable[[Method[Self, Given, Result]], Method[Self, Given, Result]]:
    """Have the time that a method takes counted as this part."""

    def counted(method: Any) -> Any:
        @functools.wraps(method)
        def call(self: Accounted, *args: Any, **kwargs: Any) -> Any:
            with self.accounts.doing(part):
                return method(self, *args, **kwargs)

        return call

    return counted
