"""Keeps a search going: so many trials at a time as ordinary runs, until there are as many as there are to be.

Whatever ends this process, the study's storage and the runs say where the next one goes on: a trial that nobody told
the end of has a run that goes on, or can; a run that was never made is made, one whose worker died is resumed.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import launch, presence, runs, slots, space, starting, sweeps, trust
from tui_gen.config import ConfigError, RunConfig
from tui_gen.log import event_log
from tui_gen.quantities import span
from tui_gen.queue import queueing
from tui_gen.runs import RunError
from tui_gen.search import specs
from tui_gen.search.open_trial import OpenTrial
from tui_gen.search.specs import SearchSpec, TrialRow, TrialTable
from tui_gen.search.study import COMPLETE, FAILED, PRUNED, EndedElsewhere, Ending, SearchStudy, SearchTrial
from tui_gen.space import Axis

LOOK = 0.25
"""Seconds between two looks at what trains."""
TAKE_UP = 5.0
"""Seconds between two looks for trials that nobody goes on with."""
PATIENCE = 4.0
"""Seconds after which a run that a signal stopped was stopped by a person: a machine that shuts down ends us, too."""
RESUMES = 3
"""How often a run whose worker died is resumed without it having got further since."""
UNCLAIMED = 60.0
"""Seconds after which a trial that nobody has put a name to is nobody's, while others search, too."""
SILENT = 600.0
"""Seconds after which a trial of another machine whose runs cannot be seen from here is given up, without a sign."""
BEAT = 60.0
"""Seconds between two signs of a trial in a storage that others use."""
LATER = event_log.FULL | {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
"""The errors that say nothing of the config: later there may be room."""
WITH_SWEEP, WAS_PRUNED, ENDED = "with its sweep", "pruned", "its trial was ended by another machine"
"""Reasons for which runs are stopped, as their logs have them."""


class SearchKeeper:
    """Keeps one search going on this machine; `tell` is called with a line for each trial that begins or ends."""

    def __init__(self, root: Path, spec: SearchSpec, tell: Callable[[str, TrialRow | None], None]) -> None:
        self.root, self.spec, self.tell = Path(root), spec, tell
        self.host = socket.gethostname()
        tables = configs.parse_toml(spec.config, spec.name)
        self.catalog = catalogs.ensure(trust.named(tables))
        self.base: RunConfig = configs.load(tables, self.catalog, spec.name)
        self.axes: list[Axis] = space.parse(spec.space, sweeps.settings_of(self.base, self.catalog))
        points = space.grid(self.axes) if spec.sampler == "grid" else []
        self.study = SearchStudy(self.root, spec, self.axes, points)
        self.open: dict[int, OpenTrial] = {}
        self.ending = ""
        """Why nothing more is begun; empty while something is."""
        self.problem = ""
        """Why it cannot go on."""
        self.moved = False
        """Whether the last turn began or ended something."""
        self._devices = slots.here()
        self._last_look = self._beaten = -1e9
        self._since: dict[tuple[int, float], float] = {}
        self._changed = True
        self._rows: list[TrialRow] = []
        self._importances: dict[str, float] = specs.trials(self.root, spec.name).importances
        self._done_before = 0
        self._reckoner: threading.Thread | None = None

    # -- the turn

    def turn(self) -> bool:
        """Look at every trial that is open, begin what can be; whether there is more to do. Raises RunError."""
        now = time.monotonic()
        beat = bool(self.spec.storage) and now - self._beaten > BEAT
        for trial_run in list(self.open.values()):
            try:
                self._follow(trial_run)
                if beat and trial_run.trial.number in self.open:
                    trial_run.trial.note(beat=time.time())
            except EndedElsewhere:
                trial_run.stop(ENDED)
                self._over(trial_run.trial, FAILED, ENDED)
        if beat:
            self._beaten = now
        if not self.ending:
            if now - self._last_look > TAKE_UP:
                self._take_up()
                self._last_look = time.monotonic()
            self._fill()
        self.moved = self._changed
        if self._changed:
            self._write()
        return bool(self.open) or not (self.ending or self._enough())

    def _enough(self) -> bool:
        states = [row.state for row in self._rows]
        return len(states) >= self._total and not {"waiting", "running"}.intersection(states)

    @property
    def _total(self) -> int:
        return len(self._rows) if self.spec.sampler == "grid" else self.spec.trials

    def end(self, why: str) -> None:
        """Begin nothing more, and stop what trains, with checkpoints."""
        self.ending = self.ending or why
        for trial_run in self.open.values():
            trial_run.stop(WITH_SWEEP)

    def kill(self) -> None:
        """End what trains at once."""
        for trial_run in self.open.values():
            trial_run.kill()

    def _write(self) -> None:
        """Write down what came of it so far."""
        self._changed = False
        self._rows = self.study.rows()
        self._reckon()
        specs.write_trials(self.root, self.spec.name, TrialTable(self._rows, self._importances))

    def _reckon(self, wait: bool = False) -> None:
        """The settings' importances anew, in a thread, once there is a tenth more to tell them from."""
        done = sum(row.state == "done" for row in self._rows)
        busy = self._reckoner is not None and self._reckoner.is_alive()
        if not busy and done >= 3 and (done >= 1.1 * self._done_before or (wait and done > self._done_before)):
            self._done_before = done
            compute = self.study.importances()

            def reckon() -> None:
                self._importances = {key: float(f"{part:.4g}") for key, part in compute().items()}
                self._changed = True

            self._reckoner = threading.Thread(target=reckon, daemon=True)
            self._reckoner.start()
        if wait and self._reckoner is not None:
            self._reckoner.join()

    def conclude(self) -> None:
        """The last word on what came of it."""
        self._rows = self.study.rows()
        self._reckon(wait=True)
        self._write()

    # -- trials that begin

    def _fill(self) -> None:
        while len(self.open) < self.spec.jobs and not self.ending:
            trial = self.study.next()
            if trial is None:
                return
            self._changed = True
            if not self._begin(trial):
                return

    def _take_up(self) -> None:
        """Go on with trials that are open and that nobody goes on with."""
        if self.spec.storage or self._others():
            self._changed = True  # others write into the storage, too
        for trial in self.study.running():
            if trial.number in self.open or not self._is_ours(trial):
                continue
            if len(self.open) >= self.spec.jobs:
                return
            self._changed = True
            self._begin(trial)

    def _others(self) -> list[str]:
        """Who else keeps this search going, as far as that can be seen."""
        try:
            places = [entry.path for entry in os.scandir(specs.folder_of(self.root, self.spec.name)) if entry.is_dir()]
        except OSError:
            return []
        own = specs.host_folder(self.root, self.spec.name).name
        return [path for path in places if os.path.basename(path) != own and runs.live(path)]

    def _is_ours(self, trial: SearchTrial) -> bool:
        """Whether this process is to go on with a trial: its own, one that nobody claims, or whose machine is gone."""
        path = self.root / trial.run
        seen = queueing.is_folder_name(trial.run) and runs.is_run(path)
        if trial.host == self.host and (seen or not self.spec.storage):
            return True
        silence = time.monotonic() - self._since.setdefault((trial.number, trial.beat), time.monotonic())
        if not trial.host:
            return silence > UNCLAIMED if self.spec.storage or self._others() else True
        # Machines of one name may share a storage: this trial's run is in another folder, or was deleted.
        namesake = trial.host == self.host
        if namesake and not trial.begun:
            return silence > UNCLAIMED
        kept = not namesake and specs.is_kept(self.root, self.spec.name, trial.host)
        if seen:
            return not runs.live(path) and not kept
        if silence > SILENT and not kept:
            self._over(trial, FAILED, f"nothing heard from {trial.host} for {span(SILENT)}")
        return False

    def _begin(self, trial: SearchTrial) -> bool:
        """Make the run of a trial and start its worker, or go on with the run that it has; whether there was room."""
        name = self._name(trial)
        if not queueing.is_folder_name(trial.run):
            trial.note(run=queueing.new_folder(name), host=self.host)
        elif trial.host != self.host:
            trial.note(host=self.host)
        path = self.root / trial.run
        trial_run = OpenTrial(trial, path, self.spec.metric, self.spec.better)
        try:
            if not runs.is_run(path):
                if trial.begun:
                    self._over(trial, FAILED, "its run was deleted")
                    return True
                config = self._config(trial, name)
                trial_run.slot = config.train.device
                starting.create(config, self.catalog, self.root, trial.run)
            if not os.path.lexists(path / runs.LOG):
                trial_run.process = launch.start(path, model_dirs=self.base.model_dirs)
                trial_run.was_live = True
                self.tell(f"trial {trial.number}: {space.point_words(trial.values)}", None)
            else:
                self.tell(f"trial {trial.number} goes on: {path.name}", None)
        except (ConfigError, RunError) as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in LATER:
                self._last_look = time.monotonic()  # it is taken up later
                raise
            if not (runs.is_run(path) and runs.live(path)):
                self._over(trial, FAILED, " ".join(str(error).split()))
                return True
        if not trial.begun:
            trial.note(begun=True)
        self.open[trial.number] = trial_run
        return True

    def _name(self, trial: SearchTrial) -> str:
        return f"{self.spec.name} {trial.number}: {space.point_words(trial.values)}"[: sweeps.LONGEST]

    def _config(self, trial: SearchTrial, name: str) -> RunConfig:
        """The config of a trial's run. Raises ConfigError where it cannot be trained."""
        config = sweeps.configs_of(self.base, [trial.values], self.catalog, self.root)[0]
        config.name, config.tags = name, list(dict.fromkeys([*config.tags, self.spec.name]))
        possible = slots.wanted(config.train.device, self._devices)
        used = [trial_run.slot for trial_run in self.open.values()]
        used += self._used_by_others() if len(possible) > 1 else []
        slot = min(possible, key=used.count)
        if slot not in possible[:1]:
            config.train.device = slot
        if slot == "cpu" and not config.train.threads and self.spec.jobs > 1:
            config.train.threads = max(1, (os.cpu_count() or 1) // self.spec.jobs)
        return config

    def _used_by_others(self) -> list[str]:
        """The devices of this machine that other live runs of the folder train on."""
        own = {trial_run.path.name for trial_run in self.open.values()}
        used = []
        for path in runs.live_runs(self.root):
            info = runs.worker_of(path)
            if path.name in own or (info is not None and not presence.here(info)):
                continue
            try:
                train = configs.read_toml(path / runs.CONFIG).get("train", {})
            except ConfigError:
                continue
            device = train.get("device", "auto") if isinstance(train, dict) else "auto"
            used += slots.wanted(str(device), self._devices)[:1]
        return used

    # -- trials that are open

    def _follow(self, trial_run: OpenTrial) -> None:
        """What became of the run of a trial."""
        trial = trial_run.trial
        if not runs.is_run(trial_run.path):
            self._over(trial, FAILED, "its run was deleted")
            return
        prune = trial_run.look()
        match trial_run.state:
            case "finished":
                self._finished(trial_run)
            case "failed":
                self._over(trial, FAILED, trial_run.view.reason or "see its worker.log")
            case "interrupted" if not runs.live(trial_run.path):
                self._interrupted(trial_run)
            case "stopped" if not runs.live(trial_run.path):
                self._stopped(trial_run)
            case _ if self.ending:
                trial_run.stop(WITH_SWEEP)
            case _ if prune or (trial_run.stopping == "" and trial.reason == WAS_PRUNED):
                trial.note(reason=WAS_PRUNED)
                trial_run.stop(WAS_PRUNED)

    def _finished(self, trial_run: OpenTrial) -> None:
        trial_run.view.read_all()
        trial_run.look()
        best = trial_run.best()
        if best is not None:
            trial_run.trial.note(best=best.value, step=best.step)
            self._over(trial_run.trial, COMPLETE, "", best.value)
            return
        metrics = ", ".join(sorted(trial_run.view.series)[:12]) or "none"
        words = f"no {self.spec.metric} in its log; there are {metrics}"
        self._over(trial_run.trial, FAILED, words)
        if not any(row.state == "done" for row in self.study.rows()):
            self.problem = f"{words}: give one with --metric, and another --name"
            self.end(self.problem)

    def _stopped(self, trial_run: OpenTrial) -> None:
        """A run stopped before its end: pruned, with the search, by a signal, or by a person (their word on it)."""
        reason, trial = trial_run.view.reason, trial_run.trial
        pruned = trial_run.stopping == WAS_PRUNED or reason.startswith(WAS_PRUNED) or trial.reason == WAS_PRUNED
        if pruned:
            self._cut(trial_run, f"{WAS_PRUNED} at step {trial_run.view.step:,}")
        elif self.ending or trial_run.stopping:
            del self.open[trial.number]  # whoever takes up the search resumes it
        elif reason.startswith(WITH_SWEEP) or ("by SIG" in reason and not trial_run.was_live):
            self._go_on(trial_run)
        elif "by SIG" in reason and time.monotonic() - self._waited(trial_run) < PATIENCE:
            return
        else:
            self._cut(trial_run, f"stopped at step {trial_run.view.step:,}" + (f", {reason}" if reason else ""))

    @staticmethod
    def _waited(trial_run: OpenTrial) -> float:
        trial_run.stopped_since = trial_run.stopped_since or time.monotonic()
        return trial_run.stopped_since

    def _cut(self, trial_run: OpenTrial, reason: str) -> None:
        """A trial that ended before its run did: what it had reached counts as that of one that was pruned."""
        best = trial_run.best()
        if best is not None:
            trial_run.trial.note(best=best.value, step=best.step)
        self._over(trial_run.trial, PRUNED, reason)

    def _interrupted(self, trial_run: OpenTrial) -> None:
        if self.ending:
            del self.open[trial_run.trial.number]
        elif trial_run.trial.reason == WAS_PRUNED:
            self._stopped(trial_run)
        else:
            self._go_on(trial_run)

    def _go_on(self, trial_run: OpenTrial) -> None:
        """Resume the run of a trial, unless its worker dies again and again at the same place."""
        step = trial_run.view.step
        count = 1 if step > trial_run.resumed_at or not trial_run.resumed else trial_run.resumed + 1
        if count > RESUMES:
            words = f"its worker died {count} times at about step {step:,}; see its worker.log"
            self._over(trial_run.trial, FAILED, words)
            return
        try:
            trial_run.process = launch.start(trial_run.path, resume=True, model_dirs=self.base.model_dirs)
            trial_run.resumed, trial_run.resumed_at = count, step
            trial_run.was_live, trial_run.stopped_since = True, 0.0
            number = trial_run.trial.number
            self.tell(f"trial {number} is resumed from its last checkpoint: {trial_run.path.name}", None)
        except (RunError, ConfigError) as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in LATER:
                raise
            if not runs.live(trial_run.path):
                self._over(trial_run.trial, FAILED, " ".join(str(error).split()))

    def _over(self, trial: SearchTrial, state: Ending, reason: str, value: float | None = None) -> None:
        """Tell the study how a trial ended, and everybody else."""
        if not trial.is_over:
            trial.note(reason=reason)
            trial.end(state, value)
        self.open.pop(trial.number, None)
        self._changed, self._last_look = True, -1e9
        self._rows = self.study.rows()
        row = next(row for row in self._rows if row.number == trial.number)
        self.tell(outcome(row, self.spec, self._rows), row)


def outcome(row: TrialRow, spec: SearchSpec, rows: list[TrialRow]) -> str:
    """A trial's end in a line."""
    from tui_gen.quantities import metric

    values = [other.best for other in rows if other.state == "done" and other.best is not None]
    best = (max if spec.better == "higher" else min)(values, default=None)
    words = row.state if row.state != "done" else ""
    if row.best is not None and row.state != "failed":
        star = " ★" if row.state == "done" and row.best == best else ""
        words = " ".join(filter(None, (words, f"{spec.metric} {metric(row.best)}{star}")))
    reason = f": {row.reason}" if row.reason and row.reason != row.state else ""
    over = sum(other.state not in ("waiting", "running") for other in rows)
    return f"trial {row.number} is over ({over} of {max(over, spec.trials)}): {words}{reason}"


def keep(
    root: Path, spec: SearchSpec, tell: Callable[[str, TrialRow | None], None], wait: Callable[[float], None],
    signals: Callable[[], list[int]],
) -> tuple[SearchKeeper, int]:  # fmt: skip
    """Keep a search going until it is over or a signal comes (again: at once); the keeper, and the signal or 0.

    `wait` sleeps so many seconds at most, `signals` has those that came. Raises RunError where somebody keeps it going
    already, or its storage cannot be used, and ConfigError where its config cannot.
    """
    place = specs.host_folder(root, spec.name)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write in {place}: {error.strerror or error}") from error
    if runs.live(place):
        info = runs.worker_of(place)
        process = f" (process {info.pid})" if info is not None else ""
        raise RunError(f"{spec.name} is being searched on this machine already{process}; "
                       f"tui-gen sweep --results {spec.name} shows it")  # fmt: skip
    hold = runs.claim(place)
    number, last_words = 0, ""
    try:
        runs.register(place, "")
        hold.keep_alive()
        keeper = SearchKeeper(root, spec, tell)
        while True:
            for came in signals():
                if came == signal.SIGHUP:
                    continue
                if number and came == signal.SIGINT:
                    keeper.kill()
                number = number or came
                keeper.end("interrupted")
            try:
                if not keeper.turn():
                    break
                last_words = ""
            except RunError as error:  # a disk that is full, a storage that is away: what trains goes on meanwhile
                if str(error) != last_words:
                    last_words = str(error)
                    tell(f"waiting: {last_words}", None)
                if keeper.ending and not any(runs.live(trial_run.path) for trial_run in keeper.open.values()):
                    break
                wait(2.0)
            if not keeper.moved:
                wait(LOOK)
        keeper.conclude()
        return keeper, number
    finally:
        hold.release()
