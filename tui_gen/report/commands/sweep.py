"""`tui-gen sweep`: a space of settings searched with Optuna, every trial an ordinary run; and what came of it."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

import msgspec

from tui_gen import runs, space, sweep_plot, sweeps
from tui_gen.batch import status_of
from tui_gen.config import ConfigError
from tui_gen.lines import aligned
from tui_gen.params import show
from tui_gen.places import expanded
from tui_gen.queue import queueing
from tui_gen.report import stdout
from tui_gen.report.commands.options import count, json_option, models_option, named, runs_option, seed
from tui_gen.report.stdout import Outlet, coloured, terminal_width, unicode_ok, width_of
from tui_gen.search import asking, specs
from tui_gen.search.asking import SearchWish
from tui_gen.search.specs import SearchSpec, TrialRow
from tui_gen.signals import Signals
from tui_gen.sweeps import SweepTable

PLOT = 20
"""Rows of parallel coordinates."""
NAME = "its name, or the beginning or the end of it; the newest without one"


def options(parser: argparse.ArgumentParser) -> None:
    """A search to begin, or one to go on with or look at; without any, all are listed."""
    parser.add_argument("source", metavar="CONFIG|RECIPE", nargs="?", default="", help="as for tui-gen --run")
    parser.add_argument(
        "--space", metavar="KEY=VALUES", nargs="+", action="extend", default=[],
        help="what is tried: lr=1e-4..1e-2:log (a range), latent='8|16|32' (a list), several with commas or spaces",
    )  # fmt: skip
    words = f"how many in all, those there are included (default: {asking.TRIALS}; of a grid all)"
    parser.add_argument("--trials", metavar="N", type=count, help=words)
    words = "how many at a time on this machine (default: one a device)"
    parser.add_argument("--jobs", metavar="N", type=count, help=words)
    words = "how the next is chosen (default: tpe, which learns from those before)"
    parser.add_argument("--sampler", choices=specs.SAMPLERS, default="tpe", help=words)
    words = "how those that do badly are stopped early (default: hyperband; of a grid none)"
    parser.add_argument("--pruner", choices=specs.PRUNERS, default="", help=words)
    words = "the metric to judge by (default: the one that the recipe is judged by)"
    parser.add_argument("--metric", metavar="NAME", type=named, help=words)
    words = "a URL of Optuna's (mysql://, postgresql://, sqlite:///) or the path of a journal, for many machines"
    parser.add_argument("--storage", metavar="URL", type=named, help=words)
    parser.add_argument("--seed", type=seed, default=0, help="of what is drawn (default: 0)")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=argparse.SUPPRESS, dest="assignments",
        help="set one value in all of them",
    )  # fmt: skip
    words = "what it is called (default: by its config and what is varied: the same command means the same sweep)"
    parser.add_argument("--name", metavar="NAME", type=named, dest="sweep_name", help=words)
    parser.add_argument("--dry-run", action="store_true", help="begin nothing: say what would be")
    words = "keep it going in the background, and return"
    parser.add_argument("--detach", action="store_true", default=argparse.SUPPRESS, help=words)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--resume", metavar="SWEEP", nargs="?", const="", dest="sweep_to_resume", help=f"go on: {NAME}")
    what.add_argument("--results", metavar="SWEEP", nargs="?", const="", help=f"what came of one: {NAME}")
    what.add_argument("--stop", metavar="SWEEP", nargs="?", const="", help=f"stop one in the background: {NAME}")
    words = "write the config of the best trial there, as TOML for tui-gen --run (- is standard output)"
    parser.add_argument("--best", metavar="FILE", type=named, help=words)
    parser.add_argument("--csv", action="store_true", help="with --results: as CSV, with all digits")
    words = "with --results: parallel coordinates, a line for each trial through an axis for each setting"
    parser.add_argument("--plot", action="store_true", help=words)
    json_option(parser, "with --results: as a JSON object; else one a trial that begins or ends")
    runs_option(parser)
    models_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """What was asked for; the exit status. Raises RunError and ConfigError."""
    out, err = stdout.standard()
    if args.results is not None or (args.best and not args.source and args.sweep_to_resume is None):
        refuse_beside(args, "--results")
        results(args, root, out, err)
        return 0
    if args.stop is not None:
        refuse_beside(args, "--stop")
        name = specs.named(root, args.stop)
        asking.stop(root, name)
        out.line(f"{name} stops, its runs with checkpoints; tui-gen sweep --resume {name} goes on")
        return 0
    if args.sweep_to_resume is not None:
        refuse_beside(args, "--resume")
        asking.refuse_without_optuna()
        spec = specs.read(root, specs.named(root, args.sweep_to_resume))
        asking.amend(spec, args.trials, args.jobs, args.storage or "")
        return begin(args, root, spec, out, err)
    if not args.source:
        if args.space:
            raise runs.RunError("--space needs a config, a recipe or a model around which to search")
        listed(root, out, err)
        return 0
    if not args.space:
        raise runs.RunError("what is to be tried? --space lr=1e-4..1e-2:log,latent='8|16|32'")
    return search(args, root, out, err)


def refuse_beside(args: argparse.Namespace, option: str) -> None:
    """Raise RunError where a search is named and described at once."""
    if args.source or args.space:
        raise runs.RunError(f"{option} names a sweep that there is: leave out CONFIG and --space")


def search(args: argparse.Namespace, root: Path, out: Outlet, err: Outlet) -> int:
    """`tui-gen sweep CONFIG --space …`: nothing is begun where one of the configs that were checked cannot be used."""
    from tui_gen import catalog as catalogs
    from tui_gen.report import enqueue

    base = enqueue.resolve(args.source, args.assignments, args.model_dirs, root, err)
    catalog = catalogs.read([*args.model_dirs, *base.model_dirs])
    wish = SearchWish(
        space=args.space, name=args.sweep_name or "", metric=args.metric or "", sampler=args.sampler,
        pruner=args.pruner, seed=args.seed, trials=args.trials, jobs=args.jobs, storage=args.storage or "",
    )  # fmt: skip
    draft = asking.drafted(wish, base, catalog, root)
    spec = draft.spec
    if args.dry_run:
        out.line(described(spec))
        for point in draft.points[: spec.trials]:
            out.line(space.point_words(point))
        return 0
    asking.refuse_without_optuna()
    runs.refuse_unwritable(root)
    if draft.is_new:
        enqueue.refuse_what_models_refuse(draft.configs[:32], args.model_dirs)
    return begin(args, root, spec, out, err)


def described(spec: SearchSpec) -> str:
    """A search in a line or two."""
    way = "the higher the better" if spec.better == "higher" else "the lower the better"
    pruner = f", {spec.pruner}" if spec.pruner != "none" else ""
    return (
        f"{spec.name}: {spec.trials} trials, {spec.jobs} at a time, {spec.sampler}{pruner}; {spec.metric}, {way}\n"
        f"{', '.join(spec.space)}"
    )


def begin(args: argparse.Namespace, root: Path, spec: SearchSpec, out: Outlet, err: Outlet) -> int:
    """Keep a search going, here or in the background."""
    if args.detach:
        asking.begin(root, spec)
        out.line(described(spec))
        out.line(f"in the background; tui-gen sweep --results {spec.name} shows it, --stop {spec.name} stops it")
        return 0
    from tui_gen.search import keeper

    def tell(words: str, row: TrialRow | None) -> None:
        if args.json:
            out.json({"told": words} | (msgspec.to_builtins(row) if row is not None else {}))
        else:
            out.line(words)

    if specs.is_kept(root, spec.name):
        raise runs.RunError(f"{spec.name} is being searched on this machine already; "
                            f"tui-gen sweep --results {spec.name} shows it")  # fmt: skip
    specs.write(root, spec)
    if not args.json:
        out.line(described(spec))
        out.line("Ctrl-C stops it, its runs with checkpoints; the same command goes on")
    with Signals() as signals:

        def came() -> list[int]:
            numbers = signals.take()
            if signal.SIGHUP in numbers:
                stdout.hang_up()
            if any(number != signal.SIGHUP for number in numbers):
                err.line("stopping, each run with a checkpoint; Ctrl-C again ends them at once")
            return numbers

        try:
            last, ended_by = keeper.keep(root, spec, tell, signals.wait, came)
        except (runs.RunError, ConfigError):
            specs.forget_what_never_began(root, spec.name)
            raise
    found = specs.results(root, spec.name)
    if not args.json:
        show_results(found, out, err)
    if ended_by:
        err.line(f"{found.over} of {spec.trials} trials are over; tui-gen sweep --resume {spec.name} goes on")
        return status_of(ended_by)
    if last.problem:
        raise runs.RunError(last.problem)
    if args.best:
        write_best(args.best, root, found, out)
    if found.best is None:
        err.line("no trial has a result")
        return 1
    return 0


def table_of(root: Path, name: str) -> SweepTable:
    """What came of a sweep, of either kind: a search, or one in the queue. Raises RunError."""
    queue = queueing.read(root)
    if name in sweeps.groups(queue):
        return sweeps.results(root, queue, name)
    return specs.results(root, specs.named(root, name))


def results(args: argparse.Namespace, root: Path, out: Outlet, err: Outlet) -> None:
    """`tui-gen sweep --results`."""
    found = table_of(root, args.results or "")
    if args.best:
        write_best(args.best, root, found, out)
    elif args.csv:
        out.write(found.csv())
    elif args.json:
        fields = ("id", "state", "values", "metric", "best", "step", "run", "reason")
        rows = [{name: getattr(result, name) for name in fields} for result in found.results]
        out.json({"sweep": found.group, "metric": found.metric, "better": found.better,
                  "importances": found.importances, "trials": rows})  # fmt: skip
    elif args.plot:
        for row in sweep_plot.plot_of(found, width_of(out), PLOT, ascii_only=not unicode_ok(out)).rows():
            out.drawn("".join(text for text, _ in row).rstrip())
    else:
        show_results(found, out, err)


def show_results(found: SweepTable, out: Outlet, err: Outlet) -> None:
    """The table, the best first, and how much each setting matters."""
    lines = aligned([found.header(), *map(found.row, found.results)], width=terminal_width(out))
    colour = coloured(out)
    for place, line in enumerate(lines):
        is_best = place > 0 and found.results[place - 1].is_best
        out.drawn(f"\x1b[1m{line}\x1b[0m" if colour and is_best else line)
    if words := sweep_plot.importance_words(found):
        out.line(words)
    way = "the higher the better" if found.better == "higher" else "the lower the better"
    err.line(f"{found.group}: {found.over} of {len(found.results)} are over; {found.metric or 'no metric yet'}: {way}")


def write_best(place: str, root: Path, found: SweepTable, out: Outlet) -> None:
    """The config of the best trial as a file. Raises RunError."""
    text = sweeps.best_config(root, found)
    best = found.best
    if place == "-":
        out.write(text)
        return
    path = expanded(place)
    try:
        runs.write_atomic(path, text.encode())
    except OSError as error:
        raise runs.RunError(f"cannot write {path}: {error.strerror or error}") from error
    values = space.point_words(best.values) if best is not None else ""
    out.line(f"wrote {place}: {values}; tui-gen --run {place} trains it")


def listed(root: Path, out: Outlet, err: Outlet) -> None:
    """`tui-gen sweep`: all of them."""
    known = specs.names(root)
    if not known:
        err.line("no sweep is here yet: tui-gen sweep CONFIG --space lr=1e-4..1e-2:log")
        return
    rows = [("SWEEP", "STATE", "OVER", "BEST", "SETTINGS")]
    for name in known:
        overview = specs.line_of(root, name)
        best = specs.results(root, name).best if overview.state != "broken" else None
        over = f"{overview.over}/{overview.total}" if overview.state != "broken" else ""
        rows.append((name, overview.state, over, show(best.best) if best is not None else "", overview.words))
    for line in aligned(rows, width=terminal_width(out)):
        out.line(line)
