"""The Optuna study of a search: what is tried next, what came of it, and which settings matter. The one module that
imports Optuna.

What is drawn for a trial depends on the search's seed, the trial's number and the trials before it, and not on which
process draws it: a sampler with a seed of its own would draw the same points again after each restart.
"""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import optuna
from filelock import FileLock
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tui_gen import params, presence
from tui_gen.runs import RunError
from tui_gen.search import specs
from tui_gen.search.specs import SearchSpec, TrialRow
from tui_gen.space import Axis, Point

STATES = {
    TrialState.WAITING: "waiting", TrialState.RUNNING: "running", TrialState.COMPLETE: "done",
    TrialState.PRUNED: "pruned", TrialState.FAIL: "failed",
}  # fmt: skip
FIRST_RUNG, WHOLE = 12, 100
"""Per cent of a run's length: where Hyperband looks first, and the whole of it. It looks again at 36, and not near the
end, where there is nothing left to save."""
WARM_UP = 10
"""Per cent of a run's length in which the median prunes nothing."""
TRIES = 8
"""How often a data base is tried in which others make the same tables at this moment."""
DRIVERS = {"MySQLdb": "mysqlclient", "psycopg": "'psycopg[binary]'", "psycopg2": "psycopg2-binary"}
"""What brings the driver of a data base, where its name alone does not."""
MOST_RECKONED = 400
"""Of so many trials, spread over all, it is told what matters: of 1,000 it took 12 s of the process that keeps the
search going, a tenth more at a time, and the shares differed by 0.02."""
DEFINITION = "tui-gen"
"""The study's attribute with what may not change."""
GRID = "tui-gen grid"

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


class EndedElsewhere(RunError):
    """Another process has told the end of a trial: nothing more is taken for it."""


@contextlib.contextmanager
def storage_faults(storage: str) -> Iterator[None]:
    """What a storage raises is raised as RunError, in one line."""
    try:
        yield
    except optuna.exceptions.UpdateFinishedTrialError as error:
        raise EndedElsewhere(" ".join(str(error).split())) from error
    except (optuna.exceptions.OptunaError, SQLAlchemyError, OSError, ImportError, ValueError, KeyError) as error:
        words = " ".join(str(error).split("\n")[0].split()) or type(error).__name__
        if driver := getattr(error, "name", None) or getattr(error.__cause__, "name", None):
            words = f"its driver {driver} is not installed: pip install {DRIVERS.get(driver, driver)}"
        where = specs.without_password(storage)
        raise RunError(f"the storage {where} cannot be used: {specs.without_password(words)}") from error


class _JournalLock(JournalFileOpenLock):
    """The lock of a journal: let go of by the system when its holder is killed.

    With Optuna's own, everybody waits half a minute then; or for ever, where the journal was named by a relative path.
    What a writer that was killed has left of a line is taken away: the next line would be joined to it, and nobody
    could read the journal any more.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path, self._lock = path, FileLock(f"{path}.flock", thread_local=False)
        self._has_locks = True

    def acquire(self) -> bool:
        try:
            self._lock.acquire()
        except (OSError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno not in presence.NO_LOCKS:
                raise
            self._has_locks = False
            super().acquire()
        with contextlib.suppress(FileNotFoundError):
            self._mend()
        return True

    def release(self) -> None:
        if self._has_locks:
            self._lock.release()
        else:
            super().release()

    def _mend(self) -> None:
        with open(self._path, "r+b") as file:
            size = end = file.seek(0, os.SEEK_END)
            if not size or self._byte(file, size - 1) == b"\n":
                return
            while end and self._byte(file, end - 1) != b"\n":
                end -= 1
            file.truncate(end)

    @staticmethod
    def _byte(file: BinaryIO, place: int) -> bytes:
        file.seek(place)
        return file.read(1)


class _Keyed(BaseSampler):
    """A sampler for each trial, with a seed that is the trial's own."""

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self._make, self._seed = make, seed
        self._inner = make(seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._inner = self._make((self._seed * 1_000_003 + trial.number) % 2**32)
        self._inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._inner.after_trial(study, trial, state, values)


def distribution(axis: Axis) -> BaseDistribution:
    """What Optuna draws a setting from: lists as their text, as it takes no lists for values."""
    if axis.values:
        return CategoricalDistribution([*map(_choice, axis.values)])
    if axis.whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)


def _choice(value: Any) -> Any:
    return params.show(value) if isinstance(value, list) else value


def _value(axis: Axis, suggestion: Any) -> Any:
    """A drawn value as the setting takes it."""
    if axis.values:
        return next(value for value in axis.values if _choice(value) == suggestion)
    return axis.near(suggestion)


def _sampler(spec: SearchSpec) -> BaseSampler:
    startup = min(10, max(3, spec.trials // 4))
    if spec.sampler == "tpe":
        return _Keyed(lambda seed: TPESampler(seed=seed, n_startup_trials=startup, constant_liar=True), spec.seed)
    return _Keyed(lambda seed: RandomSampler(seed=seed), spec.seed)


def _pruner(spec: SearchSpec) -> BasePruner:
    if spec.pruner == "hyperband":
        return HyperbandPruner(min_resource=FIRST_RUNG, max_resource=WHOLE, reduction_factor=3)
    return MedianPruner(n_warmup_steps=WARM_UP) if spec.pruner == "median" else NopPruner()


class SearchTrial:
    """One trial that is open: what was chosen for it, what is reported of it, and how it ends."""

    def __init__(self, trial: Trial, axes: Sequence[Axis], storage: str) -> None:
        self._trial, self._axes, self._storage = trial, axes, storage
        self.number = trial.number
        with storage_faults(storage):
            self.values: Point = {axis.key: _value(axis, self._draw(axis)) for axis in axes}
            attrs = trial.user_attrs
            reported = self._trial.study._storage.get_trial(trial._trial_id).last_step
        self.run, self.host, self.begun = attrs.get("run", ""), attrs.get("host", ""), bool(attrs.get("begun"))
        self.reason, self.beat = attrs.get("reason", ""), attrs.get("beat", 0.0)
        self.percent = reported or 0
        """The last per cent of its run's length that something was reported of."""

    def _draw(self, axis: Axis) -> Any:
        match distribution(axis):
            case CategoricalDistribution() as kind:
                return self._trial.suggest_categorical(axis.key, kind.choices)
            case IntDistribution() as kind:
                return self._trial.suggest_int(axis.key, kind.low, kind.high, log=kind.log)
            case FloatDistribution() as kind:
                return self._trial.suggest_float(axis.key, kind.low, kind.high, log=kind.log)
        raise TypeError(axis)

    def note(self, **words: Any) -> None:
        """Write down `run`, `host`, `begun`, `best`, `step`, `reason` … of it."""
        with storage_faults(self._storage):
            for name, value in words.items():
                self._trial.set_user_attr(name, value)
        self.run, self.host = words.get("run", self.run), words.get("host", self.host)
        self.begun, self.reason = words.get("begun", self.begun), words.get("reason", self.reason)

    def report(self, percent: int, value: float) -> bool:
        """Report a value; whether the trial is to be pruned."""
        if percent <= self.percent:
            return False
        with storage_faults(self._storage):
            self._trial.report(value, percent)
            self.percent = percent
            return self._trial.should_prune()

    @property
    def is_over(self) -> bool:
        """Whether somebody has told its end."""
        with storage_faults(self._storage):
            return self._trial.study._storage.get_trial(self._trial._trial_id).state.is_finished()

    def end(self, state: TrialState, value: float | None = None) -> None:
        """Tell how it ended, unless somebody has."""
        with storage_faults(self._storage):
            self._trial.study.tell(self._trial, value, state, skip_if_finished=True)


class SearchStudy:
    """The study behind a search. Raises RunError where its storage cannot be used."""

    def __init__(self, root: Path, spec: SearchSpec, axes: Sequence[Axis], points: Sequence[Point] = ()) -> None:
        """`points` are those of a grid, in their order."""
        self.spec, self.axes = spec, axes
        folder = specs.folder_of(root, spec.name)
        self._where = spec.storage or str(folder / specs.JOURNAL)
        self._study = self._open(folder)
        self._agree()
        if points and spec.sampler == "grid":
            with storage_faults(self._where), self._alone(folder):
                self._enqueue(points[: spec.trials])

    @contextlib.contextmanager
    def _alone(self, folder: Path) -> Iterator[None]:
        """Of several processes on this machine that open a study, one at a time makes its tables, and itself."""
        with FileLock(folder / "study.lock", thread_local=False):
            yield

    def _open(self, folder: Path) -> Study:
        for tries in range(TRIES, 0, -1):
            try:
                with storage_faults(self._where), self._alone(folder):
                    higher = self.spec.better == "higher"
                    direction = StudyDirection.MAXIMIZE if higher else StudyDirection.MINIMIZE
                    return optuna.create_study(
                        storage=self._storage(), study_name=self.spec.name, load_if_exists=True, direction=direction,
                        sampler=_sampler(self.spec), pruner=_pruner(self.spec),
                    )  # fmt: skip
            except RunError as error:  # somebody on another machine makes the same tables, perhaps
                if tries == 1 or not isinstance(error.__cause__, DBAPIError | optuna.exceptions.OptunaError):
                    raise
            time.sleep(0.25)
        raise AssertionError

    def _storage(self) -> BaseStorage:
        if "://" not in self._where:
            return JournalStorage(JournalFileBackend(self._where, _JournalLock(Path(self._where))))
        patient = {"connect_args": {"timeout": 60}} if self._where.startswith("sqlite") else {}
        return RDBStorage(self._where, engine_kwargs=patient)

    def _agree(self) -> None:
        """Write down in a new study what it is about. Raises RunError where it is about something else."""
        with storage_faults(self._where):
            before = self._study.user_attrs.get(DEFINITION)
            if before is None:
                self._study.set_user_attr(DEFINITION, self.spec.definition)
                return
        if other := [name for name, value in self.spec.definition.items() if before.get(name) != value]:
            where = specs.without_password(self._where)
            raise RunError(
                f"the study {self.spec.name} in {where} was begun with another {' and another '.join(other)}; "
                "choose another --name"
            )

    def _enqueue(self, points: Sequence[Point]) -> None:
        done = int(self._study.user_attrs.get(GRID, 0))
        trials = self._study.get_trials(deepcopy=False)
        fixed = [trial.system_attrs.get("fixed_params") for trial in trials]
        for point in points[done:]:
            choices = {key: _choice(value) for key, value in point.items()}
            if choices not in fixed:
                self._study.enqueue_trial(choices)
        if len(points) > done:
            self._study.set_user_attr(GRID, len(points))

    def next(self) -> SearchTrial | None:
        """Another trial; None where there are as many as there are to be."""
        with storage_faults(self._where):
            trials = self._study.get_trials(deepcopy=False)
            waits = any(trial.state == TrialState.WAITING for trial in trials)
            if not waits and (len(trials) >= self.spec.trials or self.spec.sampler == "grid"):
                return None
            new_trial = self._study.ask()
        return SearchTrial(new_trial, self.axes, self._where)

    def running(self) -> list[SearchTrial]:
        """The trials that nobody has told the end of: those of other processes too."""
        with storage_faults(self._where):
            trials = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            # As `ask` makes one of a trial that waited: with it a process goes on with another's trial.
            opened = [Trial(self._study, trial._trial_id) for trial in trials]
        return [SearchTrial(trial, self.axes, self._where) for trial in opened]

    def rows(self) -> list[TrialRow]:
        """All trials as a table."""
        with storage_faults(self._where):
            return [self._row(trial) for trial in self._study.get_trials(deepcopy=False)]

    def _row(self, trial: FrozenTrial) -> TrialRow:
        choices = trial.params or trial.system_attrs.get("fixed_params") or {}
        attrs = trial.user_attrs
        return TrialRow(
            trial.number, STATES[trial.state],
            {axis.key: _value(axis, choices[axis.key]) for axis in self.axes if axis.key in choices},
            attrs.get("best"), attrs.get("step"), attrs.get("run", ""), attrs.get("host", ""), attrs.get("reason", ""),
        )  # fmt: skip

    def importances(self) -> Callable[[], dict[str, float]]:
        """What computes each setting's share of what the metric varies by (fANOVA), of the trials as they are now: it
        may be called in a thread, and has nothing where there are too few trials to tell."""
        with storage_faults(self._where):
            trials = self._study.get_trials(states=(TrialState.COMPLETE,))
            direction = self._study.direction
        if (count := len(trials)) > MOST_RECKONED:
            trials = [trials[place * count // MOST_RECKONED] for place in range(MOST_RECKONED)]

        def compute() -> dict[str, float]:
            apart = optuna.create_study(direction=direction)
            apart.add_trials(trials)
            try:
                return get_param_importances(apart, evaluator=FanovaImportanceEvaluator(seed=0))
            except (ValueError, RuntimeError):
                return {}

        return compute


Ending = TrialState
"""How a trial ends."""
COMPLETE, PRUNED, FAILED = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
