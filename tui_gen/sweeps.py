"""Sweeps: one config with several values for some settings, as a group in the queue; and what came of them."""

from __future__ import annotations

import copy
import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tui_gen import config as configs
from tui_gen import params, runs, space, starting
from tui_gen.catalog import Catalog
from tui_gen.config import ConfigError, RunConfig
from tui_gen.effects import facts, lacking
from tui_gen.params import Param, Problem
from tui_gen.quantities import metric as metric_words
from tui_gen.queue import queueing
from tui_gen.queue.forecast import Forecast
from tui_gen.queue.queueing import QueueDraft, QueueEntry, RunQueue
from tui_gen.runs import RunError
from tui_gen.space import Point

SOME = 24
"""So many points, about, tell how long all of them take."""
LONGEST = 80
"""Characters of a run's name."""


def settings_of(config: RunConfig, catalog: Catalog) -> dict[str, Param]:
    """What can be varied of a config, by dotted key: all but what it says about itself."""
    known = configs.keys(config.model.name, config.dataset.name, catalog)
    return {key: param for key, param in known.items() if "." in key and key != "dataset.name"}


def idle(config: RunConfig, catalog: Catalog) -> set[str]:
    """Those of these settings that do nothing in this config: of phases that it does not train, say."""
    tables = configs.to_tables(config)
    entry = catalog.models.get(config.model.name)

    def values(key: str) -> list[Any]:
        node: Any = tables
        for part in key.split("."):
            node = node.get(part) if isinstance(node, dict) else None
        return [node]

    phases_when = entry.phases_when if entry is not None else {}
    declared, known = settings_of(config, catalog), facts(entry, catalog.datasets.get(config.dataset.name))
    return {key for key, param in declared.items() if lacking(key, param, phases_when, values, known)}


def configs_of(base: RunConfig, points: Sequence[Point], catalog: Catalog, root: Path) -> list[RunConfig]:
    """A config for each point, checked and settled. Raises ConfigError for the first that cannot be trained."""
    tables = configs.to_tables(base)
    result = []
    lengths = [key for key in configs.LENGTHS if any(point.get(key) for point in points)]
    if len(lengths) > 1:
        raise ConfigError("--space", [Problem("--space", lengths[1], f"and {lengths[0]} are both lengths", "vary one")])
    for point in points:
        its = copy.deepcopy(tables)
        for key, value in point.items():
            if key in configs.LENGTHS and value:
                for other in configs.LENGTHS:
                    configs.set_key(its, other, 0)
            configs.set_key(its, key, value)
        words = space.point_words(point)
        its["name"] = f"{base.name or base.model.name} {words}"[:LONGEST]
        config = configs.load(its, catalog, words)
        if problems := starting.settle(config, catalog, root):
            raise ConfigError(words, problems)
        result.append(config)
    return result


class SweepLength:
    """Predicts how long points around a config take, one after another: by some of them where there are many."""

    def __init__(self, base: RunConfig, catalog: Catalog, root: Path) -> None:
        self._base, self._catalog, self._root = base, catalog, root
        self._forecast = Forecast(root)

    def of(self, points: Sequence[Point]) -> float | None:
        """Seconds; None where nobody knows, or one of them cannot be trained."""
        some = points[:: max(1, len(points) // SOME)]
        try:
            some_configs = configs_of(self._base, some, self._catalog, self._root)
        except ConfigError:
            return None
        lengths = [self._forecast.length(configs.dumps(config)) for config in some_configs]
        known = [length for length in lengths if length is not None]
        return sum(known) * len(points) / len(known) if known and len(known) == len(lengths) else None


def drafts(configs: Sequence[RunConfig], points: Sequence[Point]) -> list[QueueDraft]:
    """The configs of a sweep, to be added as one."""
    return [queueing.draft(config, values=point) for config, point in zip(configs, points)]


class SweepResult(NamedTuple):
    """What came of one point: `best` is the judged metric's best value, at `step`; None where there is none yet.

    `id` is its number in the queue or the search, `values` what was chosen for it, by dotted key; `run` the folder of
    its run, `reason` how it ended, `open` whether it is not over.
    """

    id: int
    state: str
    values: dict[str, Any]
    metric: str
    better: str
    best: float | None
    step: int | None
    run: str = ""
    reason: str = ""
    open: bool = False
    is_best: bool = False

    def path(self, root: Path) -> Path | None:
        """Its run, in a folder of runs; None where it has none."""
        return Path(root) / self.run if queueing.is_folder_name(self.run) else None


class SweepTable(NamedTuple):
    """The results of a sweep, the best first, then those that have none; `keys` are the settings that were varied.

    `importances` are the settings' shares of what the metric varies by, where they are known.
    """

    group: str
    keys: list[str]
    metric: str
    better: str
    results: list[SweepResult]
    importances: dict[str, float] = {}

    @classmethod
    def ranked(
        cls, group: str, keys: list[str], metric: str, better: str, found: list[SweepResult],
        importances: dict[str, float] | None = None,
    ) -> SweepTable:  # fmt: skip
        """A table with the best first. What was judged by another metric is not compared."""
        sign = -1.0 if better == "higher" else 1.0

        def rank(result: SweepResult) -> tuple[bool, float, int]:
            comparable = result.best is not None and result.metric == metric
            return not comparable, sign * (result.best or 0.0) if comparable else 0.0, result.id

        found = sorted(found, key=rank)
        if found and found[0].best is not None and found[0].metric == metric:
            found[0] = found[0]._replace(is_best=True)
        return cls(group, keys, metric, better, found, importances or {})

    @property
    def best(self) -> SweepResult | None:
        """The best so far."""
        return next((result for result in self.results if result.is_best), None)

    @property
    def names(self) -> list[str]:
        """The settings that were varied, as short as they can be told from each other."""
        ends = [key.rpartition(".")[2] for key in self.keys]
        return [end if ends.count(end) == 1 else key for key, end in zip(self.keys, ends)]

    @property
    def over(self) -> int:
        """How many are over."""
        return sum(not result.open for result in self.results)

    def header(self) -> tuple[str, ...]:
        """Titles of the columns."""
        return ("ID", "STATE", *self.names, self.metric or "BEST", "AT STEP", "RUN")

    def row(self, result: SweepResult) -> tuple[str, ...]:
        """A result's cells."""
        values = [params.show(result.values.get(key)) for key in self.keys]
        best = "" if result.best is None else metric_words(result.best) + (" ★" if result.is_best else "")
        if result.best is not None and result.metric != self.metric:
            best += f" ({result.metric})"
        step = "" if result.step is None else f"{result.step:,}"
        run = "; ".join(filter(None, (result.run, result.reason)))
        return (str(result.id), result.state, *values, best, step, run)

    def csv(self) -> str:
        """As CSV, with full keys and all digits."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["id", "state", *self.keys, "metric", "best", "step", "run", "reason"])
        for result in self.results:
            values = [params.show(result.values.get(key)) for key in self.keys]
            best = "" if result.best is None else repr(result.best)
            step = "" if result.step is None else result.step
            writer.writerow([result.id, result.state, *values, result.metric, best, step, result.run, result.reason])
        return text.getvalue()


def groups(queue: RunQueue) -> list[str]:
    """The sweeps in a queue, the newest first."""
    return list(dict.fromkeys(entry.group for entry in reversed(queue.entries) if entry.group))


def group_named(queue: RunQueue, name: str) -> str:
    """The sweep that a person means, the newest where they do not say. Raises RunError that names those there are."""
    known = groups(queue)
    if not known:
        raise RunError("no sweep is in the queue: tui-gen queue sweep CONFIG --space lr=1e-4..1e-2:log")
    if name in ("", "latest"):
        return known[0]
    if name not in known:
        hint = params.nearest(name, known)
        raise RunError(f"no sweep {name!r} in the queue; {hint or 'there are ' + ', '.join(known)}")
    return name


def results(root: Path, queue: RunQueue, group: str, catalog: Catalog | None = None) -> SweepTable:
    """What came of a sweep so far, from its runs' logs."""
    found = [_result(root, entry, catalog) for entry in queue.entries if entry.group == group]
    keys = list(dict.fromkeys(key for result in found for key in result.values))
    metrics = Counter((result.metric, result.better) for result in found if result.best is not None)
    (name, better), _ = metrics.most_common(1)[0] if metrics else (("", "lower"), 0)
    return SweepTable.ranked(group, keys, name, better, found)


def _result(root: Path, entry: QueueEntry, catalog: Catalog | None) -> SweepResult:
    from tui_gen.history.run_summary import summary_of

    path, state = entry.path(root), entry.state
    summary = None
    if path is not None and entry.begun and runs.is_run(path):
        state = runs.state_of(path)[0] if state == "running" else state
        summary = summary_of(path, catalog)
    judged = (summary.metric, summary.better, summary.best, summary.best_step) if summary else ("", "lower", None, None)
    run = entry.run if path is not None else ""
    return SweepResult(entry.id, state, entry.values, *judged, run, entry.reason, entry.open)


def best_config(root: Path, table: SweepTable) -> str:
    """The config of the best run of a sweep as TOML. Raises RunError where none has a result yet."""
    best = table.best
    path = best.path(root) if best is not None else None
    if path is None:
        raise RunError(f"no run of {table.group} has a result yet")
    try:
        return (path / runs.CONFIG).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"cannot read {path / runs.CONFIG}: {error}") from None
