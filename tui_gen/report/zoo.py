"""`tui-gen zoo check`: trains the small version of recipes and holds what they reach against what they should.

A recipe says so itself, in its `[recipe]` table: `check` (overrides that make it small), `metric` (from the run's log),
`better` (`lower` or `higher`) and `reach` (the figure that the small version must reach).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import control, launch, runs
from tui_gen.catalog import Check, Recipe
from tui_gen.params import Problem, nearest
from tui_gen.report import outlet as outlets
from tui_gen.view import RunView

HEADER = f"{'recipe':<24} {'metric':<32} {'expected':>10} {'reached':>10} {'seconds':>8}  result"


def zoo(args: argparse.Namespace, root: Path) -> int:
    """`tui-gen zoo check`: 0 when every recipe that was trained reached its figure."""
    out, err = outlets.standard()
    catalog = catalogs.ensure(args.model_dirs)
    unknown = [name for name in args.only if name not in catalog.recipes]
    if unknown:
        hints = [Problem("--only", name, "no such recipe", nearest(name, catalog.recipes)) for name in unknown]
        raise configs.ConfigError("command line", hints)
    chosen = [recipe for recipe in catalog.recipes.values() if not args.only or recipe.name in args.only]
    begun = [recipe for recipe in chosen if recipe.check is not None]
    for recipe in chosen:
        if recipe.check is None and args.only:
            err.line(f"{recipe.name}: states no figure for a small version, so there is nothing to check")
    out.line(HEADER)
    missed = 0
    deadline = time.monotonic() + args.budget * 60 if args.budget else None
    for recipe in begun:
        if deadline is not None and time.monotonic() > deadline:
            out.line(f"{recipe.name:<24} not started: the budget is spent")
            missed += 1
            continue
        line, passed = _one(recipe, recipe.check, catalog, root, deadline)
        out.line(line)
        missed += not passed
    out.line(f"{len(begun) - missed} of {len(begun)} reached their figure; the runs are in {root}")
    return 1 if missed else 0


def _one(
    recipe: Recipe, check: Check, catalog: catalogs.Catalog, root: Path, deadline: float | None
) -> tuple[str, bool]:
    """Train one recipe's small version; its row, and whether it reached its figure."""
    config = catalogs.resolve(recipe.name, catalog, check.overrides)
    path = runs.create(root, f"check-{recipe.name}", configs.dumps(config))
    started = time.monotonic()
    process = launch.start(path, model_dirs=config.model_dirs)
    view = RunView(path)
    try:
        while process.poll() is None:
            view.poll()
            if deadline is not None and time.monotonic() > deadline and view.live:
                try:
                    launch.ask_run(path, "stop", checkpoint=False)
                except control.ControlError:
                    process.terminate()
                deadline = None
            time.sleep(0.05)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    view.poll()
    seconds = time.monotonic() - started
    values = view.series[check.metric].values if check.metric in view.series else np.array([])
    values = values[np.isfinite(values)]
    row = f"{recipe.name:<24} {check.metric:<32} {check.reach:>10.4g} "
    if view.state == "failed" or not len(values):
        reason = view.reason or f"no {check.metric} in its log"
        return f"{row}{'–':>10} {seconds:>8.0f}  {view.state}: {reason}", False
    best = float(values.max() if check.better == "higher" else values.min())
    passed = best >= check.reach if check.better == "higher" else best <= check.reach
    return f"{row}{best:>10.4g} {seconds:>8.0f}  {'pass' if passed else 'MISSED'}", passed
