"""`tui-gen export`: a run in a file of another format."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tui_gen import launch, runs
from tui_gen.events import Event, Note, Progress
from tui_gen.params import show
from tui_gen.places import expanded, shown
from tui_gen.progress import preparation
from tui_gen.report import consent, headless, stdout
from tui_gen.report.commands.options import RUN, models_option, named, runs_option
from tui_gen.report.exports import FORMATS, Order, chosen, flag_of, form_of, place, save
from tui_gen.report.stdout import Outlet

EVERY = 2.0
"""Seconds between two words on how far a long export is."""


def options(parser: argparse.ArgumentParser) -> None:
    """Of which run, in what format, where to; and what can be chosen for each format."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(["formats:", *(f"  {form.name:<12} {form.help}" for form in FORMATS)])
    parser.add_argument("name", metavar="RUN", nargs="?", default="", help=RUN)
    parser.add_argument("--as", metavar="FORMAT", dest="form", help="the format, as below (default: csv)")
    words = "the file (or folder) to write; - is standard output, of csv the default, of others a file beside the run"
    parser.add_argument("-o", "--output", metavar="FILE", type=named, help=words)
    parser.add_argument("--force", action="store_true", help="replace what is there")
    parser.add_argument("--csv", metavar="FILE", help="the same as --as csv --force -o FILE, beside any other format")
    group = parser.add_argument_group("options of formats")
    for name, (flag, words, switch) in _options_of_formats().items():
        flags = dict.fromkeys((flag, f"--{name.replace('_', '-')}"))
        bare: dict[str, Any] = {"nargs": "?", "const": "true"} if switch else {}
        group.add_argument(
            *flags, dest=f"of_{name}", help=words, metavar=name.upper(), default=argparse.SUPPRESS, **bare
        )
    models_option(parser)
    runs_option(parser)


class _Described(NamedTuple):
    """An option as a command line has it: its flag, its words, and whether it may stand without a value."""

    flag: str
    help: str
    switch: bool


def _options_of_formats() -> dict[str, _Described]:
    """Every option there is, by name, with which formats have it in what meaning."""
    meanings: dict[str, dict[str, list[str]]] = {}
    flags: dict[str, tuple[str, bool]] = {}
    for form in FORMATS:
        for param in form.params:
            default = f" (default: {show(param.default)})" if param.default not in (None, "", False) else ""
            choices = f": {' or '.join(map(str, param.choices))}" if param.choices else ""
            flags[param.name] = flag_of(form, param.name), param.kind == "bool"
            meanings.setdefault(param.name, {}).setdefault(param.help + choices + default, []).append(form.name)
    described = {}
    for name, (flag, switch) in flags.items():
        words = "; ".join(f"{', '.join(forms)}: {words}" for words, forms in meanings[name].items())
        described[name] = _Described(flag, words.replace("%", "%%"), switch)
    return described


def run(args: argparse.Namespace, root: Path) -> int:
    """Every format that is asked for; the first of all formats, to standard output, where none is."""
    out, err = stdout.standard()
    texts = {key.removeprefix("of_"): text for key, text in vars(args).items() if key.startswith("of_")}
    form = form_of(FORMATS[0].name if args.form is None else args.form)
    asked = args.form is not None or args.csv is None or bool(args.output or texts)
    order = Order(runs.find(root, args.name), chosen(form, texts), telling(err), args.model_dirs)
    if form.executes:
        folders = set(headless.named_dirs(str(order.run))).difference(args.model_dirs)
        consent.ask(folders, order.run.name, err)
        launch.first_checkpoint(order.run)
    if args.csv is not None:
        save(FORMATS[0], order, args.csv, force=True)
    if not asked:
        return 0
    if args.output == "-" or (form.streams and not args.output):
        save(form, order, "-")
        return 0
    target = expanded(args.output).absolute() if args.output else place(form, order)
    save(form, order, str(target), force=args.force)
    out.line(shown(target))
    return 0


def telling(err: Outlet) -> Callable[[Event], None]:
    """Who says on standard error what is worth knowing, and every so often how far a long export is."""
    last = time.monotonic()

    def tell(event: Event) -> None:
        nonlocal last
        if isinstance(event, Note):
            err.line(f"{event.level}: {event.text}" if event.level in ("warning", "error") else event.text)
        elif isinstance(event, Progress) and time.monotonic() - last >= EVERY:
            last = time.monotonic()
            err.line(preparation(event))

    return tell
