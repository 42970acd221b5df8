"""`tui-gen watch`: the runs of another machine, through ssh: in the workbench on a terminal, as text elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path

from tui_gen import runs
from tui_gen.outcome import complain
from tui_gen.remote.link import COMMAND, SSH, Dialling, RemoteFolder
from tui_gen.report import stdout
from tui_gen.report.commands.options import RUN, models_option, style_options


def options(parser: argparse.ArgumentParser) -> None:
    """Whose runs, how they are reached, and how they are shown."""
    parser.add_argument("place", metavar="HOST:FOLDER", help="as for ssh: gpu1:runs, me@gpu1:/data/runs; HOST: alone")
    parser.add_argument("name", metavar="RUN", nargs="?", default=None, help=f"one run: {RUN}")
    parser.add_argument("--list", action="store_true", help="print which runs there are, as tui-gen runs does")
    words = "how ssh is called, with options of yours: 'ssh -p 2222 -o ControlPath=…' (default: ssh)"
    parser.add_argument("--ssh", metavar="COMMAND", default=SSH, help=words)
    words = "what tui-gen is called there: a path, or 'uv run tui-gen' (default: tui-gen)"
    parser.add_argument("--remote-command", metavar="COMMAND", default=COMMAND, help=words)
    style_options(parser)
    models_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """Until the workbench is left, the run has ended or Ctrl-C."""
    from tui_gen.app import main
    from tui_gen.remote.watcher import Watcher

    place = RemoteFolder.parse(args.place)
    refusal = "" if args.list or args.json or args.plain else main.refusal()
    if refusal and args.name is None:
        complain(f"{refusal}; without one, --list prints the runs, and a RUN is told as text")
        return 2
    _, err = stdout.standard()
    _allow_many_files()
    err.line(f"connecting to {place.host}…")
    # ssh may ask for a password now, on the terminal; not any more when the workbench has it.
    watcher = Watcher(Dialling(place, args.ssh, args.remote_command), quiet=not _at_a_terminal())
    try:
        watcher.start()
        if args.list:
            return _print_list(watcher.root, args.json)
        path = runs.find(watcher.root, args.name) if args.name is not None else None
        if path is not None and (refusal or args.json or args.plain):
            from tui_gen.report import headless

            watcher.open_run(path)
            return headless.attach(path, headless.style_of(args))
        return main.run_workbench(
            watcher.root, args.model_dirs, path,
            graphics=args.graphics, theme=args.theme, budget=args.budget, watcher=watcher,
        )  # fmt: skip
    finally:
        watcher.close()


def _allow_many_files() -> None:
    """A live run over there has a lock, a folder and a socket here."""
    import contextlib
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    with contextlib.suppress(OSError, ValueError):
        if 0 <= soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _at_a_terminal() -> bool:
    """Whether somebody can be asked something."""
    import sys

    try:
        return sys.stdin.isatty() and sys.stderr.isatty()
    except ValueError:
        return False


def _print_list(root: Path, as_json: bool) -> int:
    from tui_gen.report.commands.runs import as_plain, rows_of, runs_table
    from tui_gen.report.stdout import coloured, terminal_width

    out, err = stdout.standard()
    rows = rows_of(root, None)
    if as_json:
        out.json([as_plain(row) for row in rows])
        return 0
    if not rows:
        err.line("no runs there yet")
        return 0
    for line in runs_table([row.info for row in rows], colour=coloured(out), width=terminal_width(out)):
        out.drawn(line)
    return 0
