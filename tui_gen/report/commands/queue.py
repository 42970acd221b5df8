"""`tui-gen queue`: configs that are trained one after another, whoever looks on."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from tui_gen import queueing, runs
from tui_gen.lines import aligned
from tui_gen.places import shown
from tui_gen.queue_view import QueueReader
from tui_gen.queueing import QueueEntry
from tui_gen.report import stdout
from tui_gen.report.commands.options import json_option, models_option, named, runs_option
from tui_gen.report.stdout import Outlet, coloured, terminal_width
from tui_gen.states import ANSI, queue_look

ID = "the number that tui-gen queue shows"


def options(parser: argparse.ArgumentParser) -> None:
    """Its tasks; none of them shows the queue."""
    json_option(parser, "the queue as a JSON object")
    runs_option(parser)
    tasks = parser.add_subparsers(metavar="TASK", dest="task")

    def task(name: str, words: str) -> argparse.ArgumentParser:
        new = tasks.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
        runs_option(new)
        return new

    add = task("add", "add configs to the end of the queue; it trains them from now on")
    add.add_argument("sources", metavar="CONFIG|RECIPE", nargs="+", type=named, help="as for tui-gen --run")
    add.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=argparse.SUPPRESS, dest="assignments",
        help="set one value in all of them, as often as needed",
    )  # fmt: skip
    add.add_argument("--top", action="store_true", help="before all that waits")
    models_option(add)
    move = task("move", "move what waits")
    move.add_argument("id", metavar="ID", type=number, help=ID)
    move.add_argument("where", choices=queueing.PLACES, help="by one, or before or behind all others")
    words = "take entries out; what they became stays"
    task("remove", words).add_argument("ids", metavar="ID", type=number, nargs="+", help=ID)
    task("again", "add what is over once more").add_argument("id", metavar="ID", type=number, help=ID)
    task("pause", "begin nothing more; what is being trained goes on")
    task("resume", "let the queue go on")
    clear = task("clear", "take out what is over")
    clear.add_argument("--all", action="store_true", help="and what waits")
    words = "have this machine train what is in the queue, also what was added on others"
    task("start", words)


def run(args: argparse.Namespace, root: Path) -> int:
    """The task that was asked for. Raises RunError and ConfigError."""
    out, err = stdout.standard()
    tasks: dict[str, Callable[[argparse.Namespace, Path, Outlet, Outlet], None]] = {
        "add": add, "move": move, "remove": remove, "again": again, "pause": pause, "resume": resume, "clear": clear,
        "start": start,
    }  # fmt: skip
    tasks.get(args.task or "", table)(args, root, out, err)
    return 0


def number(text: str) -> int:
    """An entry's number; more than digits is told from a name."""
    if not text.isdecimal() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of an entry: tui-gen queue shows them")
    return int(text)


def add(args: argparse.Namespace, root: Path, out: Outlet, err: Outlet) -> None:
    """`tui-gen queue add`: nothing is added where one of the configs cannot be used."""
    from tui_gen.report import enqueue

    drafts = enqueue.drafts(args.sources, args.assignments, args.model_dirs, root, err)
    entries = queueing.add(root, drafts, top=args.top)
    tell_added(entries, root, out)


def tell_added(entries: list[QueueEntry], root: Path, out: Outlet) -> None:
    """What was added, and that it is trained from now on."""
    queue = queueing.read(root)
    for entry in entries:
        out.line(f"{entry.id}  {entry.name}: {entry.model} on {entry.dataset}")
    if queue.held:
        out.line("the queue is paused: tui-gen queue resume lets it go on")
    else:
        queueing.work(root)
        out.line("trained in the background, one after another; tui-gen queue shows when each will end")


def move(args: argparse.Namespace, root: Path, out: Outlet, err: Outlet) -> None:
    """`tui-gen queue move`."""
    place = queueing.move(root, args.id, args.where)
    out.line(f"{args.id} is number {place} of what waits")


def remove(args: argparse.Namespace, root: Path, out: Outlet, err: Outlet) -> None:
    """`tui-gen queue remove`."""
    for entry in queueing.remove(root, args.ids):
        out.line(f"removed {entry.id} ({entry.name})")


def again(args: argparse.Namespace, root: Path, out: Outlet, err: Outlet) -> None:
    """`tui-gen queue again`."""
    tell_added([queueing.again(root, args.id)], root, out)


def pause(args: argparse.Namespace, root: Path, out: Outlet, err: Outlet) -> None:
    """`tui-gen queue pause`."""
    changed = queueing.hold(root, True)
    out.line("nothing more is begun until tui-gen queue resume" if changed else "the queue was paused already")


def resume(args: argparse.Namespace, root: Path, out: Outlet, err: Outlet) -> None:
    """`tui-gen queue resume`."""
    changed = queueing.hold(root, False)
    if queueing.ours(queueing.read(root)):
        queueing.work(root)
    out.line("the queue goes on" if changed else "the queue was not paused")


def clear(args: argparse.Namespace, root: Path, out: Outlet, err: Outlet) -> None:
    """`tui-gen queue clear`."""
    count = queueing.clear(root, waiting=args.all)
    out.line(f"removed {count} {'entry' if count == 1 else 'entries'}")


def start(args: argparse.Namespace, root: Path, out: Outlet, err: Outlet) -> None:
    """`tui-gen queue start`."""
    queue = queueing.read(root)
    if not queue.of(*queueing.OPEN):
        raise runs.RunError("nothing is in the queue: tui-gen queue add CONFIG")
    if queue.held:
        queueing.hold(root, False)
    if queueing.work(root, everything=True):
        out.line("this machine trains what is in the queue, until nothing is left")
    else:
        out.line("this machine is training what is in the queue already")


def table(args: argparse.Namespace, root: Path, out: Outlet, err: Outlet) -> None:
    """`tui-gen queue`: all entries, with when each will end."""
    look = QueueReader(root).look()
    if args.json:
        entries = [
            msgspec.to_builtins(place.entry) | {"expected_end": place.expected.end if place.expected else None}
            for place in look.places
        ]
        out.json({"held": look.queue.held, "worked_on": queueing.is_worked_on(root), "entries": entries})
        return
    if not look.places:
        err.line(f"nothing is in the queue of {shown(root)}; tui-gen queue add CONFIG adds something")
        return
    now = time.time()
    rows = [("ID", "STATE", "STEP", "ENDS", "NAME", "MODEL", "DATASET", "RUN")]
    for place in look.places:
        entry = place.entry
        run = "; ".join(filter(None, (entry.run, place.why)))
        rows.append(
            (str(entry.id), place.state, place.progress, place.ends(now), entry.name, entry.model, entry.dataset, run)
        )
    colour = coloured(out)
    for number, line in enumerate(aligned(rows, width=terminal_width(out))):
        code = ANSI[queue_look(look.places[number - 1].entry.state).tone][0] if colour and number else 0
        out.drawn(f"\x1b[{code}m{line}\x1b[0m" if code else line)
    if look.standing:
        err.line(look.standing)
