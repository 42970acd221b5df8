"""What many processes cost: two with a thread each against one with two, at the same total batch.

Both make the same steps in turn, and nobody else trains meanwhile: what else the machine does falls on both.
`python -m tests.bench_processes NAME --root DIR` (a folder with MNIST/raw) tells where the time of a step goes in both.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import functools
import os
import statistics
import tempfile
import time
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
    """Some processes that train together, each with so many threads, when they are told to; as runs that began before
    rows were handed over, where it is not to be that they do."""

    def __init__(self, name: str, root: str, base: Path, processes: int, threads: int, hands: bool = True) -> None:
        self.pipes: list[tuple[Any, Any]] = []
        address = f"file://{base}/meet-{os.urandom(4).hex()}"
        for rank in range(processes):
            (orders, give), (answer, answers) = os.pipe(), os.pipe()
            if not os.fork():
                with contextlib.suppress(BaseException):
                    _train(name, root, rank, processes, threads, hands, address, orders, answers)
                os._exit(0)
            os.close(orders)
            os.close(answers)
            self.pipes.append((os.fdopen(give, "w"), os.fdopen(answer)))

    def train(self, steps: int) -> tuple[float, float]:
        """Make so many steps: seconds that they took, and of the processors, of all processes together."""
        for give, _ in self.pipes:
            print(steps, file=give, flush=True)
        answers = [list(map(float, answer.readline().split())) for _, answer in self.pipes]
        return max(wall for wall, _ in answers), sum(used for _, used in answers)

    def close(self) -> None:
        """End them."""
        for give, _ in self.pipes:
            print(0, file=give, flush=True)  # the end of a pipe would not be seen: the other process has it, too
        for _ in self.pipes:
            os.wait()


def _train(
    name: str, root: str, rank: int, count: int, threads: int, hands: bool, address: str, orders: int, answers: int
) -> None:
    import torch

    from tui_gen.train.engine import ranks

    keep_memory()
    torch.set_num_threads(threads)
    tuned.use(tuned.wished())  # as workers do, which ask the environment once
    joined = ranks.join(rank, count, address, torch.device("cpu"))
    trainer = trainer_of(name, root, joined, threads)
    trainer.hands_rows = hands
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
    together, alone, one_thread = (Team(name, root, base, *kind) for kind in ((2, 1), (1, 2), (1, 1)))
    teams = together, alone, one_thread
    for team in teams:
        team.train(WARM)
    steps = max(1, round(settings.seconds / (one_thread.train(WARM)[1] / WARM)))
    walls, works = [], []
    for _ in range(settings.pairs):
        ours, theirs, its = (team.train(steps) for team in teams)
        walls.append((steps / ours[0], steps / theirs[0]))
        works.append((steps / ours[1], steps / its[1]))
    for team in teams:
        team.close()
    return [
        ratio(name, f"{WHAT[name]}: two processes of a thread, one of two", walls, 0.9, "steps/s"),
        ratio(name, "the same, by the processors' time, one of one", works, 0.9, "steps/s"),
    ]


BENCHMARKS: dict[str, Callable[[Settings, Path, str], list[Figure]]] = {
    f"processes-{name}": functools.partial(measured, name=name) for name in ("vae", "small-unet")
}


def main() -> None:
    """Where the time of a step goes, by turns."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("name", choices=[name.removeprefix("processes-") for name in BENCHMARKS])
    parser.add_argument("--root", required=True, help="a folder with MNIST/raw")
    parser.add_argument("--steps", type=int, default=200, help="steps of a turn")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--sums", action="store_true", help="against two that hand over no rows, without an account")
    args = parser.parse_args()
    os.environ |= {"GOMP_SPINCOUNT": str(launch.SPIN)} | ({} if args.sums else {PARTS: "1"})
    with tempfile.TemporaryDirectory() as base:
        kinds: list[tuple[str, Any]] = [("two processes", (2, 1)), ("one", (1, 2))]
        kinds += [("two that hand over no rows", (2, 1, False))] if args.sums else []
        teams = [Team(args.name, args.root, Path(base), *kind) for _, kind in kinds]
        for team in 2 * teams:
            team.train(WARM)
        turns = []
        for number in range(args.pairs):
            its = {team: team.train(args.steps)[0] for team in teams[:: -1 if number % 2 else 1]}
            turns.append([its[team] for team in teams])
        for team in teams:
            team.close()
    for place, (name, _) in enumerate(kinds[1:], 1):
        ratios = [turn[place] / turn[0] for turn in turns]
        low, median, high = statistics.quantiles(ratios)
        print(f"steps of two processes ÷ those of {name}: {median:.2f} ({low:.2f}–{high:.2f}, the middle half)")


if __name__ == "__main__":
    main()
