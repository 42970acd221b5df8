"""What is due in a run, decided by its step and by times that are handed in: nothing here looks at a clock, or acts.

What is decided is plain data: where several processes train one run, one of them decides and tells the others, which
could not agree if each asked its own clock.
"""

from __future__ import annotations

import msgspec

from tui_gen.config import RunConfig

FLUSH = 0.1
"""Seconds between flushes of metrics; the first step's leave at once."""
SYSTEM = 1.0
"""Seconds between figures of speed and memory."""
PREVIEW_PART = 10
"""Previews by time take at most this part (1 / n) of a run, however slow its sampler is."""
VALIDATION_PART = 50
"""A validation takes at most this part (1 / n) of the examples trained on between two of them: a hundredth of a run's
time or so. A run that began with another keeps it, or its curves would jump."""
FEWEST = 256
"""Examples that a validation takes at least."""


class Due(msgspec.Struct, frozen=True):
    """What is to be done now, in this order. `untrained` is the picture of the model as it began, `quality` the next
    slice of a measurement."""

    flush: bool = False
    untrained: bool = False
    validate: bool = False
    preview: bool = False
    checkpoint: bool = False
    quality: bool = False


class Agenda:
    """The cadences of one run, of `total` steps where its length is not a time.

    Every `step` is the number of steps made, every `now` the seconds of one clock. `config` is read each time: it may
    be edited. What was done is told (`flushed`, `previewed`, `checkpointed`), for the next time counts from then.
    """

    def __init__(self, config: RunConfig, total: int | None, steps_per_epoch: int, now: float) -> None:
        self.config, self.total, self.steps_per_epoch = config, total, steps_per_epoch
        self.seconds = 0.0
        """Training before the clock was last started, in earlier sessions too."""
        self._since: float | None = None
        self._last_flush = self._last_preview = self._last_checkpoint = self._last_speed = now
        self._last_speed_step = self._start = 0
        self._first, self._untrained = True, False
        self._preview_cost = 0.0
        self.validation_part = VALIDATION_PART

    # -- training time

    def begin(self, step: int, now: float) -> None:
        """Training begins, or a run is gone on with."""
        self.go(step, now)
        self._last_preview = self._last_checkpoint = now
        self._start, self._first, self._untrained = step, True, step == 0

    def go(self, step: int, now: float) -> None:
        """The clock runs from here on."""
        self._since = self._last_speed = now
        self._last_speed_step = step

    def halt(self, now: float) -> None:
        """The clock stands still: a pause."""
        self.seconds, self._since = self.elapsed(now), None

    def waited(self, seconds: float) -> None:
        """So many of the last seconds were a wait for a disk: no time of training either."""
        if self._since is not None:
            self._since += seconds
            self._last_speed += seconds

    def elapsed(self, now: float) -> float:
        """Seconds of training so far, pauses and waits left out, earlier sessions counted in."""
        since = self._since
        return self.seconds + (now - since if since is not None else 0.0)

    def over(self, step: int, now: float) -> bool:
        """Whether the run has its length."""
        if self.config.train.minutes:
            return self.elapsed(now) >= 60 * self.config.train.minutes
        return step >= (self.total or 0)

    def fraction(self, now: float) -> float | None:
        """How much of the run is done, where its length is a time."""
        minutes = self.config.train.minutes
        return self.elapsed(now) / (60 * minutes) if minutes else None

    # -- what is due

    def due(self, step: int, now: float, quality: bool = False, later: bool = False) -> Due:
        """What is to be done after a step; `quality` says whether a measurement could go on, `later` whether a preview
        that is due by time should wait for another step."""
        flush = self._first or now - self._last_flush >= FLUSH
        untrained = flush and self._untrained
        preview, cadence = self.config.preview, self.config.checkpoint
        pause = max(preview.every_seconds, PREVIEW_PART * self._preview_cost)
        wait_over = now - self._last_preview >= pause
        by_time = preview.every_seconds and not preview.every_steps and not untrained and wait_over and not later
        saving = cadence.every_minutes and now - self._last_checkpoint >= 60 * cadence.every_minutes
        return Due(
            flush,
            untrained,
            validate=_falls_on(step, self.validation_steps),
            preview=bool(by_time) or _falls_on(step, preview.every_steps),
            checkpoint=bool(saving) or _falls_on(step, cadence.every_steps),
            quality=quality,
        )

    def missed(self, step: int, validated: bool, drawn: bool) -> Due:
        """What was due after the step that a run goes on from and was left off, as a stop does: `validated` and
        `drawn` say what was not."""
        return Due(
            validate=not validated and _falls_on(step, self.validation_steps),
            preview=not drawn and _falls_on(step, self.config.preview.every_steps),
        )

    def last(self, step: int, finished: bool = True, kept: bool = True) -> Due:
        """What is due when a run ends: of one that has its length everything, but a second validation of the same step;
        of one that is stopped what a resume needs, where that is `kept`."""
        if not finished:
            return Due(flush=True, checkpoint=kept)
        validate = not _falls_on(step, self.validation_steps)
        return Due(flush=True, validate=validate, preview=True, checkpoint=kept, quality=True)

    @property
    def validation_steps(self) -> int:
        """Steps between two validations."""
        return self.config.train.validate_every or self.steps_per_epoch

    @property
    def validation_examples(self) -> int:
        """The examples that a validation takes at most."""
        return max(FEWEST, max(1, self.validation_steps // self.validation_part) * self.config.train.batch_size)

    # -- what was done

    def flushed(self, step: int, now: float) -> float | None:
        """Metrics were flushed. The steps a second since the last such figure, None before it is time for another."""
        self._last_flush = now
        self._first = self._first and step == self._start
        span = now - self._last_speed
        if span < SYSTEM:
            return None
        speed = (step - self._last_speed_step) / span
        self._last_speed, self._last_speed_step = now, step
        return speed

    def previewed(self, now: float, cost: float, untrained: bool = False) -> None:
        """Pictures were drawn, which took `cost` seconds."""
        self._last_preview, self._preview_cost = now, cost
        self._untrained = self._untrained and not untrained

    def went_back(self, step: int, now: float) -> None:
        """The run goes on from an earlier step; time that was spent stays spent."""
        self._last_speed, self._last_speed_step, self._start = now, step, step

    def checkpointed(self, now: float) -> None:
        """A checkpoint was written, or is not needed, or cannot be."""
        self._last_checkpoint = now


def _falls_on(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
