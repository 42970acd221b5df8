"""When a run's samples are measured: by the clock within a share of its time, when somebody asks, and at its end."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

import msgspec

from tui_gen.control import Request
from tui_gen.events import Event
from tui_gen.quality import Report
from tui_gen.runs import RunError
from tui_gen.train.cutting import Check, Cut, cuttable, never
from tui_gen.train.quality.evaluate import Sampler, measure, refuse
from tui_gen.train.quality.reference import WAITING, QualityError

if TYPE_CHECKING:
    from tui_gen.model import Model
    from tui_gen.train.engine.trainer import Trainer

ASKED_SHARE = 0.5
"""The share of the time that a measurement may take which somebody waits for."""


class QualitySchedule:
    """Measures a run between its training steps, one short slice at a time.

    After every step it is to be asked whether a slice is `due`, and then to `go_on`. A measurement is of a copy of the
    weights that previews use, made when it begins; no slice of it begins while it has taken more than its share of the
    time since then. So training never waits for longer than one slice, and goes on with the very bits that it would
    have had without.
    """

    def __init__(
        self,
        trainer: Trainer,
        tell: Callable[[Event], None],
        check: Check = never,
        sampler: Sampler | None = None,
    ) -> None:
        self.trainer, self.tell, self.check = trainer, tell, check
        self.sampler = sampler or Sampler()
        self.trouble = ""
        """Why the last measurement failed, in words; empty where it did not."""
        self.blocked = False
        """Whether another process prepares what is needed."""
        self._work: Generator[str, None, Report] | None = None
        self._model: Model | None = None
        self._requests: list[Request] = []
        self._waiting: list[Request] = []
        self._cost = 0.0
        self._since = 0.0
        self._last: float | None = None
        self._last_step = -1

    @property
    def busy(self) -> bool:
        """Whether there is something to do at once."""
        return self._work is not None or bool(self._waiting)

    def ask(self, request: Request) -> None:
        """Measure the weights as they are at the next turn; answered with the report when that is done."""
        try:
            refuse(self.trainer.model, self.trainer.data)
        except QualityError as error:
            request.refuse(str(error))
        else:
            self._waiting.append(request)

    def due(self, elapsed: float, idle: bool = False) -> bool:
        """Whether it is time for a slice; does nothing, but that the time to the first measurement counts from the
        first such question.

        `elapsed` is the run's training time in seconds; when `idle`, nothing is held up and every slice may be done.
        """
        settings = self.trainer.config.quality
        if not (self.busy or settings.every_seconds):
            return False
        if self._last is None:
            self._last = elapsed
        if self._work is None:
            by_time = settings.every_seconds and elapsed - self._last >= settings.every_seconds
            return bool(self._waiting or by_time)
        share = ASKED_SHARE if self._requests else settings.share
        return idle or self._cost <= share * (elapsed - self._since)

    def go_on(self, elapsed: float) -> Report | None:
        """Do the next slice, of a new measurement where none has begun; the report where that was the last one."""
        if self._work is None and not self._begin(elapsed):
            return None
        return self._slice()

    def turn(self, elapsed: float, idle: bool = False) -> Report | None:
        """Do the next slice if it is due; the report where that was the last one."""
        return self.go_on(elapsed) if self.due(elapsed, idle) else None

    def rest(self) -> Iterator[Report | None]:
        """What is still to be done when a run has finished, slice by slice: what was asked for, and the measurement of
        the last step where the config wants one. None after a slice that was not the last of a measurement."""
        if self._work is not None and not self._requests:
            self.drop()  # of earlier weights, and nobody waits for it
        last = self.trainer.config.quality.at_end and self._last_step != self.trainer.step
        while self.busy or last:
            if self._work is None:
                last = False
                if not self._begin(0.0):
                    continue
            yield self._slice()
            if self.blocked:
                time.sleep(0.1)

    def drop(self, words: str = "") -> None:
        """Leave off what has begun; with `words`, refuse everybody who waits."""
        if self._work is not None:
            self._work.close()
            self._work = None
        if words:
            for request in (*self._requests, *self._waiting):
                request.refuse(words)
            self._requests, self._waiting = [], []

    def went_back(self) -> None:
        """The run goes on from an earlier step: what was measured since was of other weights."""
        self.drop("the run went back to an earlier step")
        self._last_step = -1

    def _begin(self, elapsed: float) -> bool:
        """Begin a measurement of the weights as they are; False where there can be none."""
        trainer, settings = self.trainer, self.trainer.config.quality
        self._requests, self._waiting = self._waiting, []
        self._cost, self._since, self._last = 0.0, elapsed, elapsed
        try:
            refuse(trainer.model, trainer.data)
        except QualityError as error:
            self._failed(str(error))
            return False
        self._model = copy.deepcopy(trainer.eval_model)
        self.sampler.begin(self._model)
        self._work = measure(
            self._model,
            trainer.data,
            trainer.device,
            step=trainer.step,
            samples=settings.samples,
            seed=settings.seed,
            tell=self.tell,
            sampler=self.sampler,
        )
        return True

    def _slice(self) -> Report | None:
        start, model, work = time.perf_counter(), self._model, self._work
        assert model is not None and work is not None  # as `_begin` left them
        try:
            with cuttable(model, self.check):
                self.blocked = next(work) == WAITING
            return None
        except StopIteration as stop:
            report: Report = stop.value
        except Cut:  # should the run go on all the same, who asked is answered from a new measurement
            self._work, self.blocked = None, False
            self._waiting, self._requests = [*self._requests, *self._waiting], []
            raise
        except RunError:  # another process of the run is gone: the run ends, and a resume measures
            self._work, self.blocked = None, False
            raise
        except Exception as error:  # a fault in a model's sampler, memory: training must not end for it
            words = str(error) if isinstance(error, QualityError) else f"{type(error).__name__}: {error}"
            self._work = None
            self._failed(words)
            return None
        finally:
            self._cost += time.perf_counter() - start
        self._work, self.blocked, self.trouble = None, False, ""
        self._last_step = report.step
        for request in self._requests:
            request.answer(step=report.step, report=msgspec.to_builtins(report))
        self._requests = []
        return report

    def _failed(self, words: str) -> None:
        self.trouble, self.blocked = words, False
        for request in self._requests:
            request.refuse(words)
        self._requests = []
