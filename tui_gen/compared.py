"""Runs that are looked at beside each other: what each is called, and the letter and the colour that stay its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tui_gen import config as configs
from tui_gen.text import clean
from tui_gen.view import RunView

LEAST, MOST = 2, 12
"""How many runs make a comparison."""
LETTERS = "ABCDEFGHIJKL"


@dataclass(eq=False)
class ComparedRun:
    """One of them. `slot` (0 …) is its place, and with it its colour and its letter; `tables` are its config's.

    `problem` says why there are none.
    """

    view: RunView
    slot: int
    name: str = ""
    tables: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""

    @property
    def letter(self) -> str:
        """What stands for it where there is little room."""
        return LETTERS[self.slot % len(LETTERS)]

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.view.path


def of_paths(paths: Iterable[Path], views: Mapping[Path, RunView] | None = None) -> list[ComparedRun]:
    """The runs in these folders, each once, at most MOST; those in `views` are read already."""
    views = views or {}
    runs: list[ComparedRun] = []
    for path in list(dict.fromkeys(map(Path, paths)))[:MOST]:
        run = ComparedRun(views.get(path) or RunView(path), len(runs))
        try:
            run.tables = configs.read_toml(path / "config.toml")
        except configs.ConfigError as error:
            run.problem = "; ".join(problem.message for problem in error.problems)
        runs.append(run)
    for run, name in zip(runs, names([run.path for run in runs], [run.tables for run in runs])):
        run.name = name
    return runs


def names(paths: Sequence[Path], tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """What runs are called: as their configs say, with the end of the folder's name where that is not enough."""
    own = [clean(name) if isinstance(name := table.get("name"), str) else "" for table in tables]
    times = Counter(own)
    tails = [clean(path.name).rsplit("-", 1)[-1] for path in paths]
    result = [f"{name} {tail}" if times[name] > 1 else name for name, tail in zip(own, tails)]
    again = Counter(result)
    return [name if name and again[name] == 1 else clean(path.name) for name, path in zip(result, paths)]
