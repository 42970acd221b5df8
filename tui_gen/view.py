"""A run as a reader sees it: the one place that turns events into series, samples, marks and a status.

Used by the workbench, the headless display and the reports alike, for live and for ended runs. Knows no widget.
"""

from __future__ import annotations

import errno
import os
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np

from tui_gen import events, forks, hosts, quality, rollbacks, runs
from tui_gen.catalog import counted
from tui_gen.draw.series import Series
from tui_gen.fetched import FetchedPreviews
from tui_gen.headline import headline
from tui_gen.log import event_log, prefetch
from tui_gen.log.gathering import Gathering
from tui_gen.log.rows import LogBlock, LogRow, Reader
from tui_gen.moments import Moments
from tui_gen.params import show
from tui_gen.quantities import count
from tui_gen.text import clean, cleaned

SPEED = 30.0
PATIENCE = 0.05
"""Seconds after which a poll leaves the rest of a long log for the next one."""
MOMENT = 0.02
"""The same of the first one: somebody waits for the first picture of the run."""
PART = 1 << 18
"""Bytes of a log that are read at a time: what comes of them stays near the processor until it is in curves."""
MOST_CURVES = 1000
"""Metrics of other names are not kept: nobody could look at them, and garbage may have any number."""
MOST = 100_000
"""Samples, log lines and so on that are kept; of more the oldest are forgotten."""
MOST_USAGE = 2000
"""Accounts of a run's time that are kept; of more, two older ones become one."""


class RunView:
    """Follows one run directory. `poll()` reads what is new and says which parts changed.

    Parts: `series`, `samples`, `log`, `marks`, `status`, `progress`, `usage`. `revision[part]` counts their changes, so
    that a pane redraws only when its number moved. `series` maps `phase/metric` and `val/phase/metric` to curves over
    the number of steps made (the value of the first step is at 1); `clock` has the seconds of training by then, `wall`
    those since the run began, pauses and all.

    With `points`, curves have no more than about that many in all, the newest at full density: for those who only need
    to know where a run is, however long it becomes. Without, every step's value is there, at 12 bytes each.
    """

    PARTS = ("series", "samples", "log", "marks", "status", "progress", "usage")

    def __init__(self, path: Path, points: int | None = None) -> None:
        self.path = Path(path)
        self._points = points
        self._follower = prefetch.follower(self.path / "events.jsonl", Reader().decode)
        self._unit: tuple[str, int] | None = None
        self.revision = dict.fromkeys(self.PARTS, 0)
        self._last_check = 0.0
        self.children: list[forks.Child] = []
        """Forks of the run, as far as somebody looked for them."""
        self.previews: FetchedPreviews | None = None
        self.trouble = ""
        """Why the log cannot be read, as of the last poll."""
        self._reset()

    @classmethod
    def read(cls, path: Path, points: int | None = None) -> RunView:
        """A run as it is now, read up to its last event; its curves as `points` at most, or with every value."""
        view = cls(path, points)
        view.read_all()
        return view

    @classmethod
    def begin(cls, path: Path) -> Self:
        """A run as far as it is read in a moment: `poll` goes on while it is `behind`."""
        view = cls(path)
        view.poll(MOMENT)
        return view

    def _reset(self) -> None:
        self.series: dict[str, Series] = {}
        self.moments = Moments()
        self.samples: list[events.Sample] = []
        self.checkpoints: list[events.Checkpoint] = []
        self.edits: list[events.Edit] = []
        self.alerts: list[events.Alert] = []
        self.resumes: list[events.Resume] = []
        self.forks: list[events.Fork] = []
        """That of the run and those of the runs before it, its own first; empty where it is nobody's fork."""
        self.hosts: list[events.Host] = []
        self.rollbacks: list[events.Rollback] = []
        self.quality: list[quality.Report] = []
        self.log: list[tuple[float, str, str]] = []
        self.log_offset = 0
        """How many log lines are no longer kept: they came before `log[0]`."""
        self._values = Gathering(self._curve)
        self.progress: events.Progress | None = None
        self.plan: events.Plan | None = None
        self._parting: events.Fork | None = None
        """What the run was forked for, until its past has been read."""
        self.system: events.System | None = None
        self.usage: list[events.Usage] = []
        self._senseless = 0
        self.logged_state = ""
        self._logged_reason = ""
        self.state = "starting"
        self.reason = ""
        self.step = 0
        self.last_event_time = 0.0

    @property
    def clock(self) -> Series:
        """Seconds of training by each step."""
        return self.moments.clock

    @property
    def wall(self) -> Series:
        """Seconds since the run began by each step."""
        return self.moments.wall

    @property
    def begun(self) -> float:
        """When its first event was written, in seconds since the epoch."""
        return self.moments.begun

    @property
    def garbage(self) -> int:
        """Lines of the log that held no event, or one that makes no sense."""
        return self._follower.garbage + self._senseless

    @property
    def live(self) -> bool:
        """Whether its worker is alive, as of the last poll."""
        return self.state in runs.LIVE

    @property
    def replaying(self) -> str:
        """How it is replayed, in words; empty where this is no replay."""
        return ""

    def poll(self, patience: float | None = None) -> set[str]:
        """Read what was appended since the last call; the parts that changed. Leaves the rest after `patience` seconds,
        else after PATIENCE.
        """
        patience = PATIENCE if patience is None else patience
        changes: set[str] = set()
        start, has_news = time.monotonic(), False
        while True:
            new = self._follower.poll(PART)
            if self._follower.restarted:
                self._reset()
                changes |= set(self.PARTS)
            if self._follower.trouble != self.trouble:
                self.trouble = self._follower.trouble
                if self.trouble:
                    self._say(time.time(), "error", self.trouble)
                    changes.add("log")
            for event in new:
                self._take(readable(event), changes)
            self._add_new()
            if new:
                has_news = True
                self._tidy()
            if not self.behind or time.monotonic() - start > patience:
                break
        now = time.monotonic()
        if has_news or now - self._last_check > 0.5:
            self._last_check = now
            if self._settle():
                changes.add("status")
        if self.previews is not None and self.previews.came():
            changes.add("samples")
        for part in changes:
            self.revision[part] += 1
        return changes

    @property
    def behind(self) -> bool:
        """Whether there was more to read than the last poll had the time for."""
        return self._follower.behind

    def read_all(self) -> None:
        """Poll until nothing more comes."""
        while self.poll() or self.behind:
            pass

    def follow_on(self, follower: event_log.Follower) -> None:
        """Let a follower of the same log go on from where this view is."""
        follower.go_to(self._follower.place)

    def file(self, name: str) -> Path:
        """A file of the run that an event names. Raises OSError where it lies outside, or is still to come."""
        path = self.path / name
        if not os.path.realpath(path).startswith(os.path.join(os.path.realpath(self.path), "")):
            raise OSError(errno.EXDEV, "it lies outside the run's folder", str(path))
        return path if self.previews is None else self.previews.wanted(path, name)

    def _settle(self) -> bool:
        """Hold the logged state against the process: a live word without a live worker is `interrupted`.

        What stands in the middle of a log that is still being read is of the past.
        """
        before = (self.state, self.reason)
        if self.logged_state in runs.ENDED and not self.behind:
            self.state, self.reason = self.logged_state, self._logged_reason
            return before != (self.state, self.reason)
        state, _, reason = runs.state_of(self.path)
        if self.behind or state in ("starting", "interrupted") or not self.logged_state:
            self.state, self.reason = state, reason
        else:
            standing = runs.standing(reason)
            logged = "" if standing.startswith(runs.HELD) else self._logged_reason
            self.state, self.reason = self.logged_state, logged or standing
        return before != (self.state, self.reason)

    def _take(self, event: events.Event, changes: set[str]) -> None:
        before, self.last_event_time = self.last_event_time, event.t
        self.moments.begun = self.moments.begun or event.t
        if isinstance(event, events.System | events.State | events.Fork):
            self.moments.take(event, before)
        match event:
            case LogRow():
                self._values.take_row(event)
                if not event.NAMES[0].startswith("val/"):
                    self.step = max(self.step, events.made(event.start))
                changes.update(("series", "status"))
            case LogBlock():
                self._values.take_block(event)
                if event.values.size and not event.names[0].startswith("val/"):
                    self.step = max(self.step, event.end)
                changes.update(("series", "status"))
            case events.Metrics():
                self._values.end_rows()
                for name, column in event.values.items():
                    self._values.add(name, event, column)
                if any(event.values.values()) and not next(iter(event.values)).startswith("val/"):
                    self.step = max(self.step, event.end)
                changes |= {"series", "status"}
            case events.System():
                self.system = event
                self.step = max(self.step, event.step)
                changes.add("status")
            case events.State():
                if self._parting is not None:
                    self._part()
                self.logged_state = self.state = event.state
                self.reason = self._logged_reason = event.reason
                if event.state != "starting":  # nothing is loaded yet, so its step is always 0
                    self.step = event.step
                words = f"{event.state} at step {count(event.step)}" + (f": {event.reason}" if event.reason else "")
                self._say(event.t, "error" if event.state == "failed" else "state", words)
                if event.state != "starting":
                    self.progress = None
                changes |= {"status", "log", "progress"}
            case events.Host():
                self.hosts.append(event)
                if news := hosts.news(self.hosts, len(self.hosts) - 1):
                    self._say(event.t, "info", news)
                    changes.add("log")
            case events.Resume():
                self._truncate(event.step)
                self.resumes.append(event)
                self._say(event.t, "state", f"resumed from step {count(event.step)}")
                changes |= set(self.PARTS)
            case events.Rollback():
                self._truncate(event.to)
                self.rollbacks.append(event)
                self._say(event.t, "warning", rollbacks.words(event))
                changes |= set(self.PARTS)
            case events.Fork():
                self._parting = self._parting or event
                self.forks.append(event)
                self._say(event.t, "state", forks.words(event))
                changes |= {"marks", "log"}
            case events.Plan():
                self.plan = event
                changes.add("status")
            case events.Sample():
                self.samples.append(event)
                changes.add("samples")
            case events.Checkpoint():
                self.checkpoints.append(event)
                self._say(event.t, "info", f"checkpoint at step {count(event.step)} ({event.reason})")
                changes |= {"marks", "log"}
            case events.Edit():
                self.edits.append(event)
                self._say(
                    event.t, "edit", f"{event.key}: {show(event.old)} → {show(event.new)} from step {count(event.step)}"
                )
                changes |= {"marks", "log"}
            case events.Uses():
                what = "is trained first" if event.step is None else f"is used as it was at step {count(event.step)}"
                self._say(event.t, "info", f"{event.key}: {event.run} {what}")
                changes.add("log")
            case events.Alert():
                self.alerts.append(event)
                self._say(event.t, event.level, f"step {count(event.at)}: {event.words}. {event.advice}".strip())
                changes |= {"marks", "log"}
            case events.Note():
                self._say(event.t, event.level, event.text)
                changes.add("log")
            case events.Quality():
                self._take_quality(event, changes)
            case events.Usage():
                self.usage.append(event)
                changes.add("usage")
            case events.Progress():
                self.progress = None if event.done >= event.total > 0 else event
                changes.add("progress")

    def _add_new(self) -> None:
        """Put values that waited onto their curves."""
        self._values.flush()
        self.moments.flush()

    def _curve(self, name: str) -> Series | None:
        if name not in self.series:
            if len(self.series) >= MOST_CURVES:
                self._senseless += 1
                return None
            self.series[name] = Series(dtype=np.float32)
        return self.series[name]

    def _tidy(self) -> None:
        """Forget what is more than anybody can look at."""
        if self._points is not None:
            most = max(1000, self._points // (len(self.series) + 1))
            for curve in (*self.series.values(), self.clock, self.wall):
                curve.thin(most)
        if len(self.log) > MOST:
            self.log_offset += len(self.log) - MOST // 2
            del self.log[: -MOST // 2]
        if len(self.usage) > MOST_USAGE:
            self.usage = thinned(self.usage)
        for some in (self.samples, self.checkpoints, self.edits, self.alerts, self.resumes, self.hosts, self.quality):
            if len(some) > MOST:
                del some[: -MOST // 2]

    def _take_quality(self, event: events.Quality, changes: set[str]) -> None:
        """Figures become curves: `quality/fid` and so on, with `val/quality/fid` for those of held-out data."""
        report, at = event.report, event.report.step
        self.quality.append(report)
        for figure in report.figures:
            for name, value in ((f"quality/{figure.name}", figure.value), (f"val/quality/{figure.name}", figure.real)):
                if value is not None:
                    if name not in self.series:
                        if len(self.series) >= MOST_CURVES:
                            continue
                        self.series[name] = Series()
                    curve = self.series[name]
                    curve.truncate(at - 1)  # measured again at the same step: the newer one counts
                    curve.append(at, value)
        self._say(event.t, "info", f"quality at step {count(report.step)}: {quality.summary(report)}")
        changes |= {"series", "log"}

    def _say(self, t: float, level: str, text: str) -> None:
        self.log.append((t, level, text))

    def _part(self) -> None:
        """The length of a fork that has not begun is that of its own config: its log has the plan of the other run."""
        fork, self._parting = self._parting, None
        if fork is not None and self.plan is not None and not forks.LENGTH.isdisjoint(fork.changes):
            self.plan = msgspec.structs.replace(self.plan, steps=headline(f"{self.path}/{runs.CONFIG}").get("steps"))

    def _truncate(self, step: int) -> None:
        """Forget what was done after the checkpoint that training goes on from: by a crashed session, or undone."""
        self._add_new()
        for curve in self.series.values():
            curve.truncate(step)
        self.moments.truncate(step)
        self.samples = [sample for sample in self.samples if sample.step <= step]
        self.checkpoints = [checkpoint for checkpoint in self.checkpoints if checkpoint.step <= step]
        self.resumes = [resume for resume in self.resumes if resume.step <= step]
        self.quality = [report for report in self.quality if report.step <= step]
        self.usage = [usage for usage in self.usage if usage.step <= step]
        # An edit counts from its step, an alert tells of the step after it: both belong to what is done again.
        self.edits = [edit for edit in self.edits if edit.step < step]
        self.alerts = [alert for alert in self.alerts if alert.step < step]
        self.step = step

    @property
    def throughput(self) -> tuple[float, str] | None:
        """How many images, points or characters pass in a second, and which of these; None before that is known."""
        if self.system is None:
            return None
        if self._unit is None:
            self._unit = counted(str(self.path / "config.toml"))
        unit, each = self._unit
        return self.system.images_per_second * each, unit

    @property
    def epoch(self) -> float:
        """Passes over the data so far."""
        return self.step / self.plan.steps_per_epoch if self.plan and self.plan.steps_per_epoch > 0 else 0.0

    @property
    def fraction(self) -> float | None:
        """Share of the planned length that is done, or None before the plan is known."""
        if self.state == "finished":
            return 1.0
        if self.plan is None:
            return None
        if self.plan.steps:
            return min(1.0, self.step / self.plan.steps)
        if self.plan.minutes and self.system:
            return min(1.0, self.system.seconds / (60 * self.plan.minutes))
        return None

    @property
    def eta(self) -> float | None:
        """Seconds to the end at the speed of the last half a minute, or None where nobody knows."""
        if self.plan is None or self.system is None or not self.live:
            return None
        if self.plan.steps:
            rate = self._speed()
            return max(0, self.plan.steps - self.step) / rate if rate > 0 else None
        if self.plan.minutes:
            return max(0.0, 60 * self.plan.minutes - self.system.seconds)
        return None

    def _speed(self) -> float:
        """Steps per second over the last SPEED seconds of training: that of one second alone jumps about."""
        steps, seconds = self.clock.steps, self.clock.values
        if len(steps) > 1:
            first = max(0, int(seconds.searchsorted(seconds[-1] - SPEED)) - 1)
            if seconds[-1] > seconds[first] and steps[-1] > steps[first]:
                return float((steps[-1] - steps[first]) / (seconds[-1] - seconds[first]))
        return self.system.steps_per_second if self.system is not None else 0.0

    def worst_log_lines(self, count: int = 8) -> list[str]:
        """The last `count` lines of the worker's own output, for a run that ended badly."""
        return runs.last_log_lines(self.path, count)


def thinned(accounts: list[events.Usage]) -> list[events.Usage]:
    """The same time in fewer accounts: of the older half, two become one, with what the later says of the machine."""
    half = len(accounts) // 4 * 2
    pairs = zip(accounts[0:half:2], accounts[1:half:2])
    together = [msgspec.structs.replace(later, spent=earlier.spent + later.spent) for earlier, later in pairs]
    return together + accounts[half:]


MANY_LINES = {"text", "reason", "advice", "what", "words", "notes"}
"""Texts of events that may have several lines; all others are names, which have one."""


_name = lru_cache(MOST_CURVES)(clean)
"""Names of metrics come again and again."""


def readable(event: events.Event) -> events.Event:
    """An event whose texts can be shown: whatever a terminal would obey is gone, as a log may be anybody's."""
    if isinstance(event, (LogRow, LogBlock, events.System)):  # those names are clean; a system event has no texts
        return event
    if isinstance(event, events.Metrics):
        event.values = {_name(name): column for name, column in event.values.items()}
        return event
    result: events.Event = _readable(event)
    return result


def _readable(value: Any, many: bool = False) -> Any:
    match value:
        case msgspec.Struct():
            fields = {name: getattr(value, name) for name in value.__struct_fields__}
            clean_ones = {
                name: _readable(item, name in MANY_LINES)
                for name, item in fields.items()
                if not isinstance(item, int | float | None)
            }
            if value.__struct_config__.frozen:
                return msgspec.structs.replace(value, **clean_ones)
            for name, item in clean_ones.items():
                setattr(value, name, item)
            return value
        case str():
            return cleaned(value) if many else clean(value)
        case list() | tuple():
            return type(value)(_readable(item, many) for item in value)
        case dict():
            return {_readable(key): _readable(item, many) for key, item in value.items()}
    return value
