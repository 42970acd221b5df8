"""What many processes cost: two with a thread each against one with two, at the same total batch.

Both make the same steps in turn, and nobody else trains meanwhile: what else the machine does falls on both.
`python -m tests.bench_processes NAME --root DIR` (a folder with MNIST/raw) tells where the time of a step goes in both.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import functools
import mmap
import os
import socket
import statistics
import tempfile
import time
import timeit
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench import Figure, Settings, ratio
from tests.bench_health import WHAT, trainer_of
from tui_gen import launch, tuned

WARM = 5
"""Steps that are not counted."""


class Team:
    """Some processes that train together, each with so many threads, when they are told to; `without` habits (of
    `Trainer`) as runs that began before there were any."""

    def __init__(
        self, name: str, root: str, base: Path, processes: int, threads: int, without: tuple[str, ...] = ()
    ) -> None:
        self.pipes: list[tuple[Any, Any]] = []
        address = f"file://{base}/meet-{os.urandom(4).hex()}"
        for rank in range(processes):
            (orders, give), (answer, answers) = os.pipe(), os.pipe()
            if not os.fork():
                with contextlib.suppress(BaseException):
                    _train(name, root, rank, processes, threads, without, address, orders, answers)
                os._exit(0)
            os.close(orders)
            os.close(answers)
            self.pipes.append((os.fdopen(give, "w"), os.fdopen(answer)))

    def train(self, steps: int) -> tuple[float, float]:
        """Make so many steps: seconds that they took, and of the processors, of all processes together."""
        for give, _ in self.pipes:
            print(steps, file=give, flush=True)
        answers = [list(map(float, answer.readline().split())) for _, answer in self.pipes]
        if not all(answers):
            raise RuntimeError("a process that trains has ended")
        return max(wall for wall, _ in answers), sum(used for _, used in answers)

    def close(self) -> None:
        """End them."""
        for give, _ in self.pipes:
            with contextlib.suppress(BrokenPipeError):
                print(0, file=give, flush=True)  # the end of a pipe would not be seen: the other process has it, too
        for _ in self.pipes:
            os.wait()


def _train(
    name: str,
    root: str,
    rank: int,
    count: int,
    threads: int,
    without: tuple[str, ...],
    address: str,
    orders: int,
    answers: int,
) -> None:
    import torch

    from tui_gen.train.engine import ranks

    keep_memory()
    torch.set_num_threads(threads)
    tuned.use(tuned.wished())  # as workers do, which ask the environment once
    joined = ranks.join(rank, count, address, torch.device("cpu"))
    trainer = trainer_of(name, root, joined, threads)
    for habit in without:
        setattr(trainer, habit, False)
    parts: Counter[str] = Counter()
    for optimizer in trainer.optimizers.values():
        optimizer.flushes = True  # as in new runs: else the process that has the first layer takes longer and longer
    with os.fdopen(orders) as told, os.fdopen(answers, "w") as answer:
        while steps := int(told.readline() or 0):
            if not parts and trainer.step and PARTS in os.environ:
                _watch(trainer, parts)
            parts.clear()
            joined.wait()
            start, used = time.perf_counter(), time.process_time()
            for _ in range(steps):
                trainer.train_step()
            trainer.meter.flush()  # what is made of metrics is made there
            seconds, used = time.perf_counter() - start, time.process_time() - used
            if PARTS in os.environ and steps > WARM:
                parts[REST] = seconds - sum(parts.values())
                each = ", ".join(f"{part} {1e3 * taken / steps:.2f}" for part, taken in parts.most_common())
                print(f"{count} × {threads} threads, rank {rank}: {1e3 * seconds / steps:.2f} ms: {each}", flush=True)
            print(seconds, used, file=answer, flush=True)


PARTS, REST = "TUI_GEN_BENCH_PARTS", "the rest"


def _watch(trainer: Any, parts: Counter[str]) -> None:
    """Add up the seconds that parts of its steps take from now on."""
    import torch

    from tui_gen.train.tuned import handed_rows

    inner = [0.0]

    def timed(part: str, owner: Any, name: str) -> None:
        function = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            inner.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                taken = time.perf_counter() - start
                parts[part] += taken - inner.pop()
                inner[-1] += taken

        setattr(owner, name, call)

    timed("update", torch, "_fused_adam_")
    timed("examples", trainer.stream, "next")
    timed("metrics", trainer.meter, "flush")
    if (exchange := trainer.exchange) is None:
        for phase in trainer.compute:
            compute = Computing(trainer.compute[phase])
            trainer.compute[phase] = compute
            timed("losses and gradients", compute, "act")
        return
    timed("losses and gradients", exchange, "each")
    timed("checks", exchange, "_code")
    timed("waits", trainer.ranks, "meet")
    timed("waits", trainer.ranks, "meet_early")
    timed("rows handed over", handed_rows.Rows, "write")
    timed("gradients of wide layers", handed_rows.Rows, "part")
    if exchange.pool.copy is not None:
        for views in exchange.pool.copy.views.values():
            timed("gradients handed over", views, "send")
            timed("gradients added up", views, "summed")


class Computing:
    """A function that may be exchanged."""

    def __init__(self, act: Callable[..., Any]) -> None:
        self.act = act

    def __call__(self, *args: Any) -> Any:
        return self.act(*args)


def keep_memory() -> None:
    """Keep freed memory as workers do, which are told to when they are started: else each step asks for it anew."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        for option, name in ((-3, "MALLOC_MMAP_THRESHOLD_"), (-1, "MALLOC_TRIM_THRESHOLD_")):  # of glibc's mallopt
            libc.mallopt(option, int(launch.TUNING[name]))


def measured(settings: Settings, base: Path, root: str, name: str) -> list[Figure]:
    """Steps a second of two processes as a share of one's; and steps in a second of the processor, of which a thread
    that waits for another takes none: on a busy machine only that says something."""
    walls, works = [], []
    with contextlib.ExitStack() as stack:
        kinds = (2, 1), (1, 2), (1, 1)
        teams = [stack.enter_context(contextlib.closing(Team(name, root, base, *kind))) for kind in kinds]
        for team in teams:
            team.train(WARM)
        steps = max(1, round(settings.seconds / (teams[-1].train(WARM)[1] / WARM)))
        for _ in range(settings.pairs):
            ours, theirs, its = (team.train(steps) for team in teams)
            walls.append((steps / ours[0], steps / theirs[0]))
            works.append((steps / ours[1], steps / its[1]))
    return [
        ratio(name, f"{WHAT[name]}: two processes of a thread, one of two", walls, 0.9, "steps/s"),
        ratio(name, "the same, by the processors' time, one of one", works, 0.9, "steps/s"),
    ]


BENCHMARKS: dict[str, Callable[[Settings, Path, str], list[Figure]]] = {
    f"processes-{name}": functools.partial(measured, name=name) for name in ("vae", "small-unet")
}


MEETINGS, LOSSES = 20_000, 2_000


def around(pairs: int) -> None:
    """What is around each exchange of two processes: a meeting, by memory and by sockets, and the gradients of a share
    of a loss, by PyTorch's engine itself and by its public function."""
    by_memory, by_sockets = ([_meetings(way) for _ in range(pairs)] for way in (True, False))
    import torch

    from tui_gen.train.tuned import backward

    torch.set_num_threads(1)
    layer, x = torch.nn.Linear(4, 4), torch.randn(8, 4)
    both = list(layer.parameters())

    def by_engine() -> None:
        backward.gradients(layer(x).sum(), 0.5, both)

    def by_pytorch() -> None:
        torch.autograd.grad(layer(x).sum() * 0.5, both, allow_unused=True)

    ours, theirs = (
        [timeit.timeit(act, number=LOSSES) / LOSSES for _ in range(pairs)] for act in (by_engine, by_pytorch)
    )
    rows = {"a meeting by memory": by_memory, "a meeting by sockets": by_sockets,
            "a tiny loss and its gradients by the engine": ours, "the same by torch.autograd": theirs}  # fmt: skip
    for words, times in rows.items():
        print(f"{words}: {1e6 * statistics.median(times):.1f} µs ({1e6 * min(times):.1f}–{1e6 * max(times):.1f})")


def _meetings(by_memory: bool) -> float:
    """Seconds of a meeting of two processes that do nothing else."""
    from tui_gen.train.tuned import meeting

    meeting.IN_ORDER = by_memory
    memory = mmap.mmap(-1, meeting.room(2))
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    rank = 0 if child else 1
    mine = meeting.Meeting(rank, {1 - rank: ends[rank]}, memory, 0, 60.0)
    mine.meet("the first meeting")
    seconds = timeit.timeit(lambda: mine.meet("a meeting"), number=MEETINGS) / MEETINGS
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    mine.close()
    ends[1].close()
    return seconds


def main() -> None:
    """Where the time of a step goes, by turns."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("name", choices=[*(name.removeprefix("processes-") for name in BENCHMARKS), "around"])
    parser.add_argument("--root", help="a folder with MNIST/raw (`around` needs none)")
    parser.add_argument("--steps", type=int, default=200, help="steps of a turn")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--sums", action="store_true", help="against two that hand over no rows, without an account")
    parser.add_argument("--pieces", action="store_true", help="against two that share no blocks, without an account")
    args = parser.parse_args()
    if args.name == "around":
        around(args.pairs)
        return
    if args.root is None:
        parser.error("the following arguments are required: --root")
    os.environ |= {"GOMP_SPINCOUNT": str(launch.SPIN)} | ({} if args.sums or args.pieces else {PARTS: "1"})
    with tempfile.TemporaryDirectory() as base, contextlib.ExitStack() as stack:
        kinds: list[tuple[str, Any]] = [("two processes", (2, 1)), ("one", (1, 2))]
        kinds += [("two that hand over no rows", (2, 1, ("hands_rows",)))] if args.sums else []
        kinds += [("two that share no blocks", (2, 1, ("in_blocks",)))] if args.pieces else []
        teams = [
            stack.enter_context(contextlib.closing(Team(args.name, args.root, Path(base), *kind))) for _, kind in kinds
        ]
        for team in 2 * teams:
            team.train(WARM)
        turns = []
        for number in range(args.pairs):
            its = {team: team.train(args.steps)[0] for team in teams[:: -1 if number % 2 else 1]}
            turns.append([its[team] for team in teams])
    for place, (name, _) in enumerate(kinds[1:], 1):
        ratios = [turn[place] / turn[0] for turn in turns]
        low, median, high = statistics.quantiles(ratios)
        print(f"steps of two processes ÷ those of {name}: {median:.2f} ({low:.2f}–{high:.2f}, the middle half)")


if __name__ == "__main__":
    main()
