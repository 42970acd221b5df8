"""Trials: recipes that are trained, and what they reach held against what they should.

A recipe says so itself, in its `[recipe]` table: `figure` and `source` in words; `check` (overrides that make it
small), `metric` (from the run's log), `better` (`lower` or `higher`), `reach` (what the small version must reach) and
`aim` (what the recipe as written must), or `aims` (the same by dataset, with a metric each). The value that counts is
the last of the run, not its best.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tui_gen import catalog as catalogs
from tui_gen import children, datasets, launch, runs
from tui_gen import config as configs
from tui_gen.alarms import value_of
from tui_gen.catalog import Check, Recipe
from tui_gen.config import RunConfig
from tui_gen.params import Problem, nearest
from tui_gen.report import headless, records
from tui_gen.report.records import Result
from tui_gen.report.stdout import hang_up
from tui_gen.signals import Signals
from tui_gen.usage import processor_seconds
from tui_gen.view import RunView

POLL = 0.1
COMMON = (
    "train.threads=1", "train.compile=off", "train.validate_every=200", "preview.every_seconds=0",
    "checkpoint.every_minutes=0",
)  # fmt: skip
"""What every small version sets, before what its recipe says: one core each, and nothing but training."""
HARMLESS = (
    "dataset.root", "train.device", "train.threads", "train.compile", "train.precision", "preview.", "checkpoint.",
)  # fmt: skip
"""Settings that may differ from a recipe as written without its figure meaning something else."""


def choose(only: list[str], catalog: catalogs.Catalog) -> list[Recipe]:
    """The recipes that `--only` names (with commas and wildcards), all without it. Raises ConfigError."""
    patterns = [name for words in only for name in words.split(",") if name]
    problems = [
        Problem("--only", name, "no such recipe", nearest(name, catalog.recipes))
        for name in patterns
        if not fnmatch.filter(catalog.recipes, name)
    ]
    if problems:
        raise configs.ConfigError("command line", problems)
    return [
        recipe
        for recipe in catalog.recipes.values()
        if not patterns or any(fnmatch.fnmatchcase(recipe.name, name) for name in patterns)
    ]


# -- one recipe


@dataclass
class Trial:
    """A recipe to train: its config, or None where its `result` says already why it is not."""

    result: Result
    config: RunConfig | None = None
    full: bool = False


def trial_of(
    recipe: Recipe, catalog: catalogs.Catalog, assignments: list[str], *, full: bool = False, jobs: int = 1
) -> Trial:
    """What is to be trained of a recipe, small or in `full`, with settings of its own, so many at a time."""
    check = recipe.check
    assert check is not None
    reach = None if full else check.reach
    result = Result(recipe.name, metric=check.metric, better=check.better, expected=reach)
    trial = Trial(result, full=full)
    try:
        config = config_of(recipe, catalog, [*([] if full else small(check)), *assignments])
    except configs.ConfigError as error:
        result.verdict, result.words = records.FAILED, " ".join(str(error).split())
        return trial
    result.dataset = config.dataset.name
    if full:
        aim = recipe.aim_on(result.dataset)
        harmless = HARMLESS if aim is None else (*HARMLESS, "dataset.name=")
        as_written, as_trained = configs.to_tables(config_of(recipe, catalog, [])), configs.to_tables(config)
        deviations = [
            assignment
            for assignment in assignments
            if not assignment.startswith(harmless) and not _stays(assignment, as_written, as_trained)
        ]
        result.words = f"with {', '.join(deviations)}" if deviations else ""
        result.expected = None if aim is None or deviations else aim.reach
        if aim is not None:
            result.metric, result.better = aim.metric, aim.better
    if not datasets.at_hand(catalog.datasets[config.dataset.name], config.dataset.root):
        result.verdict, result.words = records.NO_DATA, f"{config.dataset.name}; set dataset.root to a copy of it"
        return trial
    if jobs > 1 and not config.train.threads:
        config.train.threads = max(1, (os.cpu_count() or 1) // jobs)
    trial.config = config
    return trial


def _stays(assignment: str, before: Any, after: Any) -> bool:
    """Whether what is assigned is what a recipe has already, by the tables of its config before and after."""
    for name in assignment.partition("=")[0].strip().split("."):
        if not isinstance(before, dict) or not isinstance(after, dict) or name not in before or name not in after:
            return False
        before, after = before[name], after[name]
    return bool(before == after)


def small(check: Check) -> list[str]:
    """The overrides that make a recipe small."""
    return [*COMMON, *check.overrides]


def config_of(recipe: Recipe, catalog: catalogs.Catalog, overrides: list[str]) -> RunConfig:
    """A recipe's config with overrides. Raises ConfigError."""
    tables = configs.override(recipe.tables, overrides, catalog)
    return configs.load(tables | {"name": recipe.name}, catalog, recipe.name)


@dataclass
class Running:
    """A trial whose worker trains, or whose model, as written and trained, is measured on all validation examples."""

    trial: Trial
    process: subprocess.Popen[bytes]
    view: RunView
    start_time: float
    earlier: float = 0.0
    """Seconds of training that it had already, where it goes on."""
    seconds: float | None = None
    """How long it trained, once that is over."""


class TrialKeeper:
    """Trains the trials, `jobs` of them at a time, and reports each result as it comes."""

    def __init__(
        self, trials: list[Trial], root: Path, jobs: int, deadline: float | None, report: Callable[[Result], None],
        tell: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.root, self.jobs, self.deadline, self.report, self.tell = root, jobs, deadline, report, tell
        self.waiting = list(trials)
        self.active: list[Running] = []
        self.signal_number = 0
        self.end_reason = ""
        """Why no more is trained."""

    def run(self, signals: Signals) -> int:
        """Train until all are done, the time is up or a signal comes; the number of that signal, or 0."""
        try:
            while self.waiting or self.active:
                self._fill()
                for number in signals.take():
                    self._obey(number)
                if not self.end_reason and self.deadline is not None and time.monotonic() > self.deadline:
                    self._end("the budget is spent")
                for running in list(self.active):
                    running.view.poll()
                    if running.process.poll() is not None and not self._goes_on(running):
                        self.active.remove(running)
                        self._finish(running)
                if self.active:
                    signals.wait(POLL)
        finally:
            for running in self.active:  # only where something of ours failed
                running.process.kill()
        return self.signal_number

    def _fill(self) -> None:
        while self.waiting and len(self.active) < self.jobs:
            trial = self.waiting.pop(0)
            if trial.config is None:
                self.report(trial.result)
            elif self.end_reason:
                trial.result.words = self.end_reason
                self.report(trial.result)
            else:
                self.active.append(self._start(trial, trial.config))

    def _start(self, trial: Trial, config: RunConfig) -> Running:
        """Train a trial: from its beginning, or, where one of the same settings was stopped, from there."""
        name, text = f"{'full' if trial.full else 'check'}-{trial.result.recipe}", configs.dumps(config)
        path = _cut_short(self.root, name, text)
        if path is None:
            path = runs.create(self.root, name, text)
            process = launch.start(path, model_dirs=config.model_dirs)
            return Running(trial, process, RunView(path, headless.POINTS), time.monotonic())
        view = headless.drained(path)
        seconds = float(view.clock.values[-1]) if len(view.clock.values) else 0.0
        process = launch.start(path, resume=True, model_dirs=config.model_dirs)
        return Running(trial, process, view, time.monotonic(), seconds)

    def _obey(self, number: int) -> None:
        if number == signal.SIGHUP:
            hang_up()
        if self.signal_number and number == signal.SIGINT:  # again: at once
            for running in self.active:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(running.process.pid, signal.SIGKILL)
            return
        if not self.signal_number and self.active:
            self.tell("stopping what trains, with a checkpoint; Ctrl-C again ends it at once")
        self.signal_number = self.signal_number or number
        self._end("interrupted")

    def _end(self, why: str) -> None:
        """Start no more, and stop what trains."""
        self.end_reason = why
        for running in self.active:
            running.process.terminate()

    def _goes_on(self, running: Running) -> bool:
        """Measure what was trained as written on all validation examples, where that was not done yet."""
        if running.seconds is not None:
            return False
        running.seconds = running.earlier + time.monotonic() - running.start_time
        running.view.read_all()
        if not running.trial.full or running.view.state != "finished" or self.end_reason:
            return False
        running.process = validation(running)
        return True

    def _finish(self, running: Running) -> None:
        """What a run that ended reached."""
        result, view = running.trial.result, running.view
        result.seconds = round(running.seconds or 0.0, 1)
        result.day = time.strftime("%Y-%m-%d")
        measure(result, view, full=running.trial.full, measurements=measured_by(running.process))
        if self.signal_number:
            result.verdict, result.reached = records.STOPPED, None
        result.words = self.end_reason or result.words
        self.report(result)


def _cut_short(root: Path, name: str, text: str) -> Path | None:
    """The newest run of this name and config that was stopped, or whose worker died, before its end; None without."""
    for _, path in runs.folders(root):
        if f"-{name}-" in os.path.basename(path) and runs.state_of(path)[0] in ("stopped", "interrupted"):
            with contextlib.suppress(OSError, ValueError):
                if Path(path, "config.toml").read_text(encoding="utf-8") == text:
                    return Path(path)
    return None


def validation(running: Running) -> subprocess.Popen[bytes]:
    """Start measuring a run's last checkpoint on all validation examples: `measured_by` has what it found."""
    assert running.trial.config is not None
    words = ["--quality"] if "quality/" in running.trial.result.metric else []
    return children.start(
        "tui_gen.train.offline.validate", os.path.abspath(running.view.path), *words,
        env=launch.environment(running.trial.config.model_dirs), start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def measured_by(process: subprocess.Popen[bytes]) -> dict[str, float | None]:
    """Metrics that a process of `validation`, which ended, found; none where it failed, or was none."""
    if process.stdout is None:
        return {}
    with process.stdout as stream:
        try:
            return msgspec.json.decode(stream.read(), type=dict[str, float | None])
        except ValueError:
            return {}


def measure(
    result: Result, view: RunView, *, full: bool, measurements: Mapping[str, float | None] | None = None
) -> None:
    """Fill in what a run that ended reached, and judge it: by the last values of its log, or later `measurements`."""
    result.steps, result.device = view.step, view.plan.device if view.plan else ""
    if view.usage:
        result.processor = round(processor_seconds(view.usage), 1)
    values = {name: _last(curve.values) for name, curve in view.series.items() if name.startswith("val/")}
    values |= {name: value and float(f"{value:.7g}") for name, value in (measurements or {}).items()}
    result.reached = value_of(result.metric, values)
    if view.state not in ("finished", "stopped"):
        reason = view.reason or next(reversed(runs.last_log_lines(view.path)), "")
        words = reason if view.state == "failed" else f"{view.state}: {reason}"
        result.verdict, result.reached, result.words = records.FAILED, None, " ".join(words.split())
        return
    if result.reached is None:
        result.words = f"no {result.metric} in its log; there are {', '.join(sorted(values)) or 'no validations'}"
    elif full:
        part = "" if measurements else "on a part of the validation examples"
        result.words = ", ".join(filter(None, (_how_long(view, result.words), part)))
        result.others = {name: value for name, value in values.items() if value is not None and name != result.metric}
    result.judge()


def _how_long(view: RunView, words: str) -> str:
    """How far a recipe was trained, before what else there is to say."""
    if not view.plan or not view.plan.steps_per_epoch:
        return words
    epochs = f"{view.step / view.plan.steps_per_epoch:.3g} epochs"
    return f"{epochs}, {words}" if words else epochs


def _last(values: np.ndarray) -> float | None:
    """The last finite value, with seven digits; None where there is none."""
    finite = values[np.isfinite(values)]
    return float(f"{finite[-1]:.7g}") if len(finite) else None
