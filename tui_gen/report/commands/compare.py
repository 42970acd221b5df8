"""`tui-gen compare`: two to twelve runs beside each other, as text, as CSV, or in the workbench."""

from __future__ import annotations

import argparse
from pathlib import Path

from tui_gen import catalog as catalogs
from tui_gen import runs
from tui_gen.history.comparison import LEAST, MOST, metrics_of, of_paths
from tui_gen.report import comparison_text, stdout
from tui_gen.report.commands.options import PLACE, models_option, runs_option, workbench_options
from tui_gen.report.stdout import coloured, terminal_width, unicode_ok, width_of


def options(parser: argparse.ArgumentParser) -> None:
    """Which runs, and how they are shown."""
    parser.add_argument("names", metavar="RUN", nargs="+", help=f"{PLACE}; {LEAST} to {MOST} of them")
    words = "the metric to plot (default: the one that the runs are judged by); with --csv, its values step by step"
    parser.add_argument("--metric", metavar="M", default="", help=words)
    parser.add_argument("--csv", action="store_true", help="as CSV: a row a setting and a result, a column a run")
    parser.add_argument("--open", action="store_true", help="in the workbench, with curves and samples side by side")
    workbench_options(parser, "with --open: how images are shown")
    runs_option(parser)
    models_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """Read the runs, tell of them."""
    paths = list(dict.fromkeys(runs.find(root, name) for name in args.names))
    if not LEAST <= len(paths) <= MOST:
        how = f"these name {len(paths)}" if len(paths) != 1 else f"these name only {paths[0].name}"
        raise runs.RunError(f"{LEAST} to {MOST} runs can be compared, {how}; tui-gen runs lists all")
    if args.open:
        return _in_workbench(args, root, paths)
    out, _ = stdout.standard()
    catalog = catalogs.read(args.model_dirs)
    compared = of_paths(paths, catalog)
    for one in compared:
        one.view.read_all()
    try:
        first = next(iter(metrics_of(compared)), "")
        metric = comparison_text.named_metric(compared, args.metric) if args.metric else first
    except ValueError as error:
        raise runs.RunError(str(error)) from None
    if args.csv:
        if args.metric:
            comparison_text.csv_values(compared, metric, out)
        else:
            comparison_text.csv_table(compared, catalog, out)
        return 0
    for line in comparison_text.key_lines(compared, plain=not unicode_ok(out)):
        out.drawn(line)
    if metric and (args.metric or out.isatty()):
        out.line()
        shape = {"colour": coloured(out), "unicode": unicode_ok(out)}
        for line in comparison_text.plot(compared, metric, width_of(out), **shape):
            out.drawn(line)
    for line in comparison_text.tables(compared, catalog, terminal_width(out)):
        out.drawn(line)
    return 0


def _in_workbench(args: argparse.Namespace, root: Path, paths: list[Path]) -> int:
    from tui_gen.app import main

    if need := main.refusal():
        raise runs.RunError(f"{need}; without --open the comparison is text")
    return main.run_workbench(
        root, args.model_dirs, graphics=args.graphics, theme=args.theme, budget=args.budget, compare=paths
    )
