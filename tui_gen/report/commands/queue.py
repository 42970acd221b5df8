"""`tui-gen queue`: configs that are trained one after another, whoever looks on."""

from __future__ import annotations

import argparse
import socket
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from tui_gen import queueing, runs
from tui_gen.lines import aligned
from tui_gen.places import shown
from tui_gen.progress import steps
from tui_gen.queueing import QueueEntry, RunQueue
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
    from tui_gen.forecast import Forecast

    queue = queueing.read(root)
    expected = Forecast(root).ends(queue)
    if args.json:
        entries = [
            msgspec.to_builtins(entry) | {"expected_end": expected[entry.id].end if entry.id in expected else None}
            for entry in queue.in_order()
        ]
        out.json({"held": queue.held, "worked_on": queueing.is_worked_on(root), "entries": entries})
        return
    if not queue.entries:
        err.line(f"nothing is in the queue of {shown(root)}; tui-gen queue add CONFIG adds something")
        return
    now = time.time()
    rows = [("ID", "STATE", "STEP", "ENDS", "NAME", "MODEL", "DATASET", "RUN")]
    for entry in queue.in_order():
        path = entry.path(root)
        state, step, _ = runs.state_of(path) if path is not None and entry.begun else ("", 0, "")
        word = entry.state if entry.state != "running" or state in ("", "running") else state
        if entry.open:
            ends = expected[entry.id].words(now)
        else:
            ends = time.strftime("%d %b %H:%M", time.localtime(entry.ended)) if entry.ended else ""
        rows.append(
            (str(entry.id), word, steps(step, None) if step else "", ends, entry.name, entry.model, entry.dataset,
             "; ".join(filter(None, (entry.run, entry.reason, elsewhere(entry)))))
        )  # fmt: skip
    colour = coloured(out)
    for line, entry_of in zip(aligned(rows, width=terminal_width(out)), [None, *queue.in_order()]):
        if colour and entry_of is not None:
            code, _ = ANSI[queue_look(entry_of.state).tone]
            line = f"\x1b[{code}m{line}\x1b[0m" if code else line
        out.drawn(line)
    if words := standing(root, queue):
        err.line(words)


def elsewhere(entry: QueueEntry) -> str:
    """That an entry is another machine's, where it is."""
    host = entry.by or entry.host
    return f"on {host}" if entry.open and host not in ("", socket.gethostname()) else ""


def standing(root: Path, queue: RunQueue) -> str:
    """Why nothing more is begun, where that is so, and what to do; empty where all is well."""
    waiting = queue.of("waiting")
    if queue.held and waiting:
        return "the queue is paused: tui-gen queue resume lets it go on"
    if queueing.idle(root, queue):
        return "the queue is waiting, and nothing trains it: tui-gen queue start"
    here = socket.gethostname()
    hosts = {entry.host for entry in waiting}
    if hosts and not any(host in ("", here) or queueing.is_worked_on(root, host) for host in hosts):
        words = f"what waits was added on {', '.join(sorted(hosts))}, which does not train it"
        return f"{words}; tui-gen queue start trains it here"
    return ""
