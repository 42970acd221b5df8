"""`tui-gen queue`: configs that are trained one after another, whoever looks on."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from tui_gen import runs, sweeps
from tui_gen.lines import aligned
from tui_gen.places import shown
from tui_gen.queue import queueing
from tui_gen.queue.queue_view import QueueReader
from tui_gen.queue.queueing import QueueEntry
from tui_gen.report import stdout
from tui_gen.report.commands.options import count, json_option, models_option, named, runs_option, seed
from tui_gen.report.stdout import Outlet, coloured, terminal_width
from tui_gen.search import specs
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
    words = "take entries, or whole sweeps, out; what they became stays"
    remove = task("remove", words)
    remove.add_argument("names", metavar="ID|SWEEP", type=named, nargs="+", help=f"{ID}, or the name of a sweep")
    task("again", "add what is over once more").add_argument("id", metavar="ID", type=number, help=ID)
    task("pause", "begin nothing more; what is being trained goes on")
    task("resume", "let the queue go on")
    clear = task("clear", "take out what is over")
    clear.add_argument("--all", action="store_true", help="and what waits")
    words = "have this machine train what is in the queue, also what was added on others"
    task("start", words)
    sweep = task("sweep", "add a config with several values for some settings")
    sweep.add_argument("source", metavar="CONFIG|RECIPE", type=named, help="as for tui-gen --run")
    sweep.add_argument(
        "--space", metavar="KEY=VALUES", nargs="+", action="extend", required=True,
        help="what is tried: latent='8|16|32', lr=1e-4..1e-2:log (a range), beta=0..1:5 (of five values in a grid)",
    )  # fmt: skip
    how = sweep.add_mutually_exclusive_group()
    how.add_argument("--grid", action="store_true", help="every combination (the default)")
    how.add_argument("--random", metavar="N", type=count, help="so many at random")
    sweep.add_argument("--seed", type=seed, default=0, help="of what is random (default: 0)")
    sweep.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=argparse.SUPPRESS, dest="assignments",
        help="set one value in all of them",
    )  # fmt: skip
    sweep.add_argument("--dry-run", action="store_true", help="add nothing: list what would be added")
    models_option(sweep)
    found = task("results", "what came of a sweep, the best first")
    found.add_argument("name", metavar="SWEEP", nargs="?", default="", help="its name; the newest without one")
    form = found.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="as CSV, with all digits")
    form.add_argument("--best", action="store_true", help="the config of the best run, as TOML")


def run(args: argparse.Namespace, root: Path) -> int:
    """The task that was asked for. Raises RunError and ConfigError."""
    out, err = stdout.standard()
    tasks: dict[str, Callable[[argparse.Namespace, Path, Outlet, Outlet], None]] = {
        "add": add, "move": move, "remove": remove, "again": again, "pause": pause, "resume": resume, "clear": clear,
        "start": start, "sweep": sweep, "results": results,
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
    queue = queueing.read(root)
    ids: list[int] = []
    for name in args.names:
        group = [entry.id for entry in queue.entries if entry.group == name and entry.state != "running"]
        if group:
            ids += group
        elif name in sweeps.groups(queue):
            raise runs.RunError(f"all of {name} that is left is being trained")
        else:
            try:
                ids.append(number(name))
            except argparse.ArgumentTypeError:
                sweeps.group_named(queue, name)  # raises, and names what there is
    for entry in queueing.remove(root, ids):
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
    gone = queueing.clear(root, waiting=args.all)
    out.line(f"removed {gone} {'entry' if gone == 1 else 'entries'}")


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


def sweep(args: argparse.Namespace, root: Path, out: Outlet, err: Outlet) -> None:
    """`tui-gen queue sweep`: nothing is added where one of the configs cannot be used."""
    from tui_gen import catalog as catalogs
    from tui_gen import space
    from tui_gen.queue.forecast import Forecast, length_words
    from tui_gen.report import enqueue

    base = enqueue.resolve(args.source, args.assignments, args.model_dirs, root, err)
    catalog = catalogs.read([*args.model_dirs, *base.model_dirs])
    axes = space.parse(args.space, sweeps.settings_of(base, catalog), sweeps.idle(base, catalog))
    points = space.grid(axes) if args.random is None else space.sample(axes, args.random, args.seed)
    if args.random is not None and len(points) < args.random:
        err.line(f"there are only {len(points)} different ones")
    found = sweeps.configs_of(base, points, catalog, root)
    drafts = sweeps.drafts(found, points)
    forecast = Forecast(root)
    lengths = [forecast.length(draft.config) for draft in drafts]
    known = [length for length in lengths if length is not None]
    total = length_words(sum(known)) if len(known) == len(lengths) else "for an unknown time"
    words = f"{len(points)} {'run' if len(points) == 1 else 'runs'}, {total} one after another"
    if args.dry_run:
        for point in points:
            out.line(space.point_words(point))
        err.line(words)
        return
    runs.refuse_unwritable(root)
    enqueue.refuse_what_models_refuse(found, args.model_dirs)
    entries = queueing.add(root, drafts, sweep=True)
    tell_added(entries, root, out)
    out.line(f"{words}; tui-gen queue results {entries[0].group} shows what comes of them")


def results(args: argparse.Namespace, root: Path, out: Outlet, err: Outlet) -> None:
    """`tui-gen queue results`."""
    queue = queueing.read(root)
    if args.name not in sweeps.groups(queue) and args.name in specs.names(root):
        raise runs.RunError(f"{args.name} learns, and is not in the queue: tui-gen sweep --results {args.name}")
    found = sweeps.results(root, queue, sweeps.group_named(queue, args.name))
    if args.csv:
        out.write(found.csv())
    elif args.best:
        out.write(sweeps.best_config(root, found))
    else:
        lines = aligned([found.header(), *map(found.row, found.results)], width=terminal_width(out))
        colour = coloured(out)
        for place, line in enumerate(lines):
            is_best = place > 0 and found.results[place - 1].is_best
            out.drawn(f"\x1b[1m{line}\x1b[0m" if colour and is_best else line)
        way = "the higher the better" if found.better == "higher" else "the lower the better"
        judged = f"; {found.metric}: {way}" if found.metric else ""
        err.line(f"{found.group}: {found.over} of {len(found.results)} are over{judged}")


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
        if look.standing:
            err.line(look.standing)
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
