"""`tui-gen zoo`: train the recipes and hold what they reach against what they should, or show what is on record."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from tui_gen import catalog as catalogs
from tui_gen import runs
from tui_gen.batch import status_of
from tui_gen.quantities import duration
from tui_gen.report import consent, headless, records, stdout
from tui_gen.report.commands.options import count, json_option, models_option, runs_option
from tui_gen.report.records import Result
from tui_gen.report.stdout import terminal_width
from tui_gen.report.trials import TrialKeeper, choose, trial_of
from tui_gen.signals import Signals


def options(parser: argparse.ArgumentParser) -> None:
    """Its two tasks."""
    tasks = parser.add_subparsers(metavar="TASK", dest="task", required=True)
    words = "train the small version of every recipe that states a figure, and show what it reaches"
    check = tasks.add_parser("check", help=words, description=words[0].upper() + words[1:] + ".")
    check.add_argument(
        "--budget", metavar="TIME", type=minutes, default=0.0, help="start nothing more after this long: 90s, 10m, 1h"
    )
    check.add_argument("--jobs", metavar="N", type=count, default=1, help="train so many at a time (default: 1)")
    check.add_argument("--full", action="store_true", help="train the recipes as written, where their data is at hand")
    check.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=argparse.SUPPRESS, dest="assignments",
        help="set one value for all of them: --set dataset.root=DIR --set train.minutes=3",
    )  # fmt: skip
    words = "show the figures on record, without training anything"
    table = tasks.add_parser("table", help=words, description=words[0].upper() + words[1:] + ".")
    for command, record in ((check, "keep what is measured in FILE"), (table, "the record to show")):
        command.add_argument(
            "--only", metavar="RECIPE", nargs="+", action="extend", default=[],
            help="these alone; with wildcards, if quoted: --only vae 'ddpm*'",
        )  # fmt: skip
        command.add_argument(
            "--record", metavar="FILE", nargs="?", const="", help=f"{record} (default: the one beside the recipes)"
        )
        how = command.add_mutually_exclusive_group()
        how.add_argument("--markdown", action="store_true", help="as a Markdown table")
        json_option(how, "one JSON object a line")
        runs_option(command)
        models_option(command)


def minutes(text: str) -> float:
    """A time such as `10m`, in minutes."""
    units = {"s": 1 / 60, "m": 1.0, "h": 60.0}
    number = text[:-1] if text[-1:] in units else text
    try:
        value = float(number) * units.get(text[-1:], 1.0)
    except ValueError:
        value = -1.0
    if not 0 < value <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 10m, 90s or 1h")
    return value


def run(args: argparse.Namespace, root: Path) -> int:
    """The task that was asked for."""
    return table(args) if args.task == "table" else check(args, root)


def table(args: argparse.Namespace) -> int:
    """`tui-gen zoo table`: what is on record, without training anything."""
    out, err = stdout.standard()
    catalog = catalogs.read(args.model_dirs)
    names = {recipe.name for recipe in choose(args.only, catalog)}
    record = records.read(Path(args.record) if args.record else None)
    blocks = []
    for title, results in (("Small versions", record.small), ("As written", record.full)):
        rows = [result for name, result in results.items() if name in names]
        if args.json:
            for result in rows:
                out.json(_fields(result, catalog))
        elif args.markdown and rows:
            blocks.append([f"{title}:", "", *records.markdown(rows, catalog.recipes)])
        elif rows:
            lines = [records.row(result, terminal_width(out)) for result in rows]
            blocks.append([f"{title}:", records.heading(), *lines])
    out.text("\n".join("".join(f"{line}\n" for line in block) for block in blocks))
    if not (record.small or record.full):
        err.line("nothing is on record; tui-gen zoo check --record keeps what it measures")
    return 0


def _fields(result: Result, catalog: catalogs.Catalog) -> dict[str, Any]:
    recipe = catalog.recipes.get(result.recipe)
    claim = {"figure": recipe.figure, "source": recipe.source} if recipe else {}
    return msgspec.structs.asdict(result) | claim


def check(args: argparse.Namespace, root: Path) -> int:
    """`tui-gen zoo check`: 0 when every recipe that was trained reached its figure, 1 otherwise."""
    out, err = stdout.standard()
    catalog = headless.ensured(args.model_dirs, err)
    runs.refuse_unwritable(root)
    path = Path(args.record) if args.record else records.record_path()
    record = records.read(path) if args.record is not None else None
    recipes = choose(args.only, catalog)
    trials = [
        trial_of(recipe, catalog, args.assignments, full=args.full, jobs=args.jobs)
        for recipe in recipes
        if recipe.check is not None
    ]
    dirs = {folder for trial in trials if trial.config is not None for folder in trial.config.model_dirs}
    consent.ask(dirs.difference(args.model_dirs), "a recipe", err)
    for recipe in recipes:
        if recipe.check is None and args.only:
            err.line(f"{recipe.name}: states no figure that can be checked, so it is left out")

    plain = err if args.markdown else out  # the table comes at the end, in the catalogue's order

    def report(result: Result) -> None:
        if args.json:
            out.json(_fields(result, catalog))
        else:
            plain.line(records.row(result, terminal_width(plain)))
            if figure := catalog.recipes[result.recipe].figure_with_source:
                plain.line(f"    figure: {figure}")
        if record is not None:
            record.take(result, full=args.full)
            records.write(record, path)

    if not args.json:
        plain.line(records.heading())
    start = time.monotonic()
    deadline = start + args.budget * 60 if args.budget else None
    with Signals() as signals:
        keeper = TrialKeeper(trials, root, args.jobs, deadline, report, err.line)
        signal_number = keeper.run(signals)
    results = [trial.result for trial in trials]
    if args.markdown:
        for line in records.markdown(results, catalog.recipes):
            out.line(line)
    (err if args.json or args.markdown else out).line(_summary(results, time.monotonic() - start, root))
    if signal_number:
        return status_of(signal_number)
    good = (records.PASSED, records.TRAINED, records.NO_DATA)
    return 0 if results and all(result.verdict in good for result in results) else 1


def _summary(results: list[Result], seconds: float, root: Path) -> str:
    counts = Counter(result.verdict for result in results)
    total = sum(counts[word] for word in (records.PASSED, records.MISSED, records.FAILED))
    words = [f"{counts[records.PASSED]} of {total} reached their figure"]
    words += [f"{count} {word}" for word, count in counts.items() if word not in (records.PASSED, records.MISSED)]
    return f"{', '.join(words)}, in {duration(seconds)}; the runs are in {root}"
