"""The commands that look into runs and at what can be trained. Each takes the arguments and the runs folder."""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from tui_gen import catalog as catalogs
from tui_gen import checkpoints, children, files, launch, runs
from tui_gen import config as configs
from tui_gen import quality as figures
from tui_gen.params import Param, nearest
from tui_gen.places import expanded, shown
from tui_gen.report import consent, headless, records, tables
from tui_gen.report import outlet as outlets
from tui_gen.report.managing import STOP_TIMEOUT
from tui_gen.report.outlet import coloured, terminal_width, unicode_ok, width_of
from tui_gen.report.rows import rows
from tui_gen.report.summary import figures_lines, grid_text, text_lines
from tui_gen.report.trials import zoo

FAULT = ("error: ", "Traceback ")
"""How the last words of a process that failed begin: in words for people, or not."""


def sample(args: argparse.Namespace, root: Path) -> int:
    """`tui-gen sample`: PyTorch runs in a process of its own."""
    out, err = outlets.standard()
    path = runs.find(root, args.name)
    consent.ask(set(headless.named_dirs(str(path))).difference(args.model_dirs), path.name, err)
    target = expanded(args.output).absolute()
    words: list[object] = [path, "-n", args.count, "-o", target, "--seed", args.seed]
    for option, value in (("--step", args.step), ("--label", args.label), ("--device", args.device)):
        words += [option, value] if value not in (None, "") else []
    done = children.run(
        "tui_gen.train.offline.sample", *words,
        env=launch.environment(args.model_dirs), capture_output=True, text=True, errors="replace",
    )  # fmt: skip
    said = done.stderr.strip().splitlines()
    for line in said:
        if line.startswith("warning: "):  # of ours: libraries have words of their own for it
            err.line(line)
    if done.returncode:
        began = next((number for number, line in enumerate(said) if line.startswith(FAULT)), len(said) - 1)
        err.line(f"tui-gen: {_fault(said[max(0, began) :]) or 'no samples were made'}")
        return 1
    if not done.stdout.rstrip("\n").endswith(target.name):
        target = target.with_suffix(".txt")  # text, not the picture that the name promised
    if target.suffix == ".txt":
        for line in text_lines(target):
            out.line(line)
    elif args.graphics != "off":
        ascii = args.graphics == "ascii" or not coloured(out) or not unicode_ok(out)
        if out.isatty():
            out.drawn(grid_text(target, min(width_of(out), 100), ascii=ascii))
    out.line(shown(target))
    return 0


def quality(args: argparse.Namespace, root: Path) -> int:
    """`tui-gen quality`: PyTorch runs in a process of its own."""
    out, err = outlets.standard()
    path = runs.find(root, args.name)
    consent.ask(set(headless.named_dirs(str(path))).difference(args.model_dirs), path.name, err)
    if args.step is None and not checkpoints.found(path) and runs.live(path):
        launch.ask_run(path, "checkpoint", timeout=STOP_TIMEOUT)  # a live run that has not made one yet
    words: list[object] = [path]
    for option, value in (
        ("--samples", args.count), ("--seed", args.seed), ("--step", args.step), ("--device", args.device),
        ("--root", expanded(args.root).absolute() if args.root else ""),
    ):  # fmt: skip
        words += [option, value] if value not in (None, "") else []
    with children.start(
        "tui_gen.train.offline.quality", *words,
        env=launch.environment(args.model_dirs),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
    ) as process:  # fmt: skip
        failed: list[str] = []
        for line in map(str.rstrip, process.stderr):
            if failed or line.startswith(FAULT):
                failed.append(line)
            elif line:
                err.line(line)
        text = process.stdout.read()
    if process.returncode:
        err.line(f"tui-gen: {_fault(failed) or 'nothing could be measured'}")
        return 1
    if args.json:
        out.json(msgspec.json.decode(text))
        return 0
    report = msgspec.json.decode(text, type=figures.Report)
    for line in figures_lines(report, out):
        out.drawn(line)
    return 0


def _fault(lines: list[str]) -> str:
    """What a process says about its failure, from the line on that begins with one of FAULT; of a traceback the end."""
    if lines and lines[0].startswith(FAULT[1]):
        lines = lines[-1:]
    return "\n".join(lines).removeprefix(FAULT[0])


def models(args: argparse.Namespace, root: Path) -> int:
    """`tui-gen models`."""
    out, err = outlets.standard()
    catalog = headless.ensured(args.model_dirs, err)
    if not args.name:
        lines = tables.models_table(catalog, terminal_width(out))
    else:
        entry = catalog.models.get(args.name)
        if entry is None:
            raise no_such("model", args.name, list(catalog.models))
        lines = tables.model_page(entry, catalog, min(100, width_of(out)))
    for line in lines:
        out.line(line)
    return 0


def recipes(args: argparse.Namespace, root: Path) -> int:
    """`tui-gen recipes`."""
    out, err = outlets.standard()
    catalog = catalogs.read(args.model_dirs)
    for problem in catalog.problems:
        err.line(f"warning: {problem}")
    for line in tables.recipes_table(catalog, terminal_width(out)):
        out.line(line)
    return 0


def datasets(args: argparse.Namespace, root: Path) -> int:
    """`tui-gen datasets`."""
    out, _ = outlets.standard()
    catalog = catalogs.Catalog()
    if not args.name:
        lines = tables.datasets_table(catalog, terminal_width(out))
    else:
        entry = catalog.datasets.get(args.name)
        if entry is None:
            raise no_such("dataset", args.name, list(catalog.datasets))
        lines = tables.dataset_page(entry, min(100, width_of(out)))
    for line in lines:
        out.line(line)
    return 0


def recipe(args: argparse.Namespace, root: Path) -> int:
    """`tui-gen recipe NAME`: a complete config on standard output, of a recipe or for a model that has none."""
    out, err = outlets.standard()
    catalog = headless.ensured(args.model_dirs, err)
    if (found := catalog.recipes.get(args.name)) is not None:
        named, header = {"name": found.name, **found.tables}, tables.recipe_header(found, _record(err))
    elif (model := catalog.models.get(args.name)) is not None:
        named, header = catalogs.start_of(model), tables.model_header(model)
        named["model_dirs"] = list(args.model_dirs)
    else:
        raise no_such("recipe or model", args.name, [*catalog.recipes, *catalog.models])
    config = configs.load(named, catalog, args.name)
    notes = {key: _with_choices(param) for key, param in configs.keys(config.model.name, catalog).items()}
    out.text(header + "\n" + configs.dump_toml(configs.to_tables(config), notes))
    return 0


def _record(err: outlets.Outlet) -> records.Record:
    """What is on record of the recipes; a warning where that cannot be read."""
    try:
        return records.read()
    except runs.RunError as error:
        err.line(f"warning: {error}")
        return records.Record()


def _with_choices(param: Param) -> Param:
    """The declaration with its choices named in the help, which becomes the comment."""
    words = f"{param.help}: {', '.join(str(one) for one in param.choices)}" if param.choices else param.help
    return msgspec.structs.replace(param, help=words)


def export(args: argparse.Namespace, root: Path) -> int:
    """`tui-gen export`: a row a step, a column a metric; empty where a metric has no value."""
    found = rows(headless.drained(runs.find(root, args.name), whole=True))
    if args.csv == "-":
        try:
            csv.writer(sys.stdout, lineterminator="\n").writerows(found)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise runs.RunError(f"cannot write to standard output: {error.strerror or error}") from None
        return 0
    try:
        with files.written_whole(args.csv) as aside, open(aside, "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(found)
    except OSError as error:
        raise runs.RunError(f"cannot write {args.csv}: {error.strerror or error}") from None
    return 0


def no_such(what: str, name: str, known: list[str]) -> runs.RunError:
    """The error for a name that is not there, with the nearest one that is."""
    return runs.RunError(f"no {what} {name!r}; {nearest(name, known) or 'known: ' + ', '.join(sorted(known))}")


RUN: dict[str, Callable[[argparse.Namespace, Path], int]] = {
    "sample": sample,
    "quality": quality,
    "models": models,
    "recipes": recipes,
    "datasets": datasets,
    "recipe": recipe,
    "export": export,
    "zoo": zoo,
}
