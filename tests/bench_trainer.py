"""Benchmarks of the trainer: real runs, headless, against the textbook loops in turn."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import functools
import os
import select
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.bench import Figure, Settings, ratio
from tests.process_tree import family
from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import events, launch, runs
from tui_gen.log import event_log
from tui_gen.places import cache_dir

ROOT = Path(__file__).resolve().parents[1]
WARM = 2.0
"""Seconds of training that are not counted: the first steps are slow everywhere."""
SETTLE = 0.5
"""Seconds at the start of a run, or of what disturbs it, that are not counted."""
TURN = 0.25
"""Seconds of a turn. A machine's own speed may change by a third for seconds, which falls on both sides of a figure
alike where turns are short."""
ADAPT = 3.0
"""Seconds in which a run sees that others want its cores, or want them no more."""
MODELS: dict[str, tuple[dict[str, Any], int, int]] = {
    "vae": ({"name": "vae", "network": "mlp", "hidden": [400], "latent": 20}, 128, 28),
    "library-vae": ({"name": "vae", "network": "mlp", "hidden": [512], "latent": 16}, 64, 28),
    "small-vae": ({"name": "vae", "network": "mlp", "hidden": [32], "latent": 4}, 32, 8),
    "classifier": ({"name": "classifier", "network": "mlp", "hidden": [300, 100]}, 32, 28),
    "gan": (
        {
            "name": "gan", "network": "mlp", "latent": 100, "generator_hidden": [128, 256, 512, 1024],
            "discriminator_hidden": [512, 256], "generator_norm": "batch",
        },
        64, 28,
    ),
    "textbook-gan": (
        {
            "name": "gan", "network": "mlp", "latent": 30, "generator_hidden": [100, 150],
            "discriminator_hidden": [150, 100], "generator_norm": "none", "discriminator_norm": "none",
        },
        32, 28,
    ),
    "wgan-gp": (
        {
            "name": "gan", "network": "mlp", "latent": 100, "generator_hidden": [128, 256, 512, 1024],
            "discriminator_hidden": [512, 256], "generator_norm": "batch", "loss": "wasserstein-gp", "n_critic": 5,
        },
        64, 28,
    ),
    "dcgan": (
        {
            "name": "gan", "network": "dcgan", "latent": 100, "generator_channels": [128, 64],
            "discriminator_channels": [64, 128], "generator_norm": "batch",
        },
        64, 32,
    ),
    "ddpm": (
        {"name": "ddpm", "network": "unet", "channels": [32, 64, 64], "attention": True, "schedule": "linear"}, 64, 28,
    ),
}  # fmt: skip
MODELS["nadam-classifier"] = MODELS["classifier"]
OPTIMISERS: dict[str, dict[str, dict[str, Any]]] = {
    "classifier": {"classifier": {"optimizer": "sgd", "lr": 1e-2, "beta1": 0.0}},
    "nadam-classifier": {"classifier": {"optimizer": "nadam"}},
    "textbook-gan": {
        phase: {"optimizer": "rmsprop", "beta1": 0.0, "beta2": 0.9} for phase in ("generator", "discriminator")
    },
}
"""As the textbook trains these, its first deep network and its first GAN; Adam for all others."""


def tables_of(name: str, root: str, **train: Any) -> dict[str, Any]:
    """A config that trains a benchmark's model on MNIST without end, all else as it is when nobody asks otherwise."""
    model, batch_size, size = MODELS[name]
    train = {"steps": 10**8, "batch_size": batch_size, "device": "cpu", **train}
    if name in OPTIMISERS:
        train["phases"] = OPTIMISERS[name]
    return {"name": f"bench-{name}", "model": model, "dataset": {"name": "mnist", "root": root, "size": size},
            "train": train}  # fmt: skip


def bare(tables: dict[str, Any]) -> dict[str, Any]:
    """The same, but it draws nothing, validates nothing and keeps nothing once it trains."""
    nothing = {"preview": {"every_seconds": 0.0, "count": 1}, "checkpoint": {"every_minutes": 0.0}}
    return {**tables, **nothing, "train": {"validate_every": 10**9, "health_every": 0, **tables["train"]}}


def make_run(tables: dict[str, Any]) -> Path:
    """A run of a config."""
    catalog = catalogs.ensure()
    return runs.create(runs.default_root(), tables["name"], configs.dumps(configs.load(tables, catalog), catalog))


class Racer(abc.ABC):
    """Something that trains in a process of its own, and can be held: `poll` gives (monotonic seconds, images so far)
    of what it did since the last call."""

    process: subprocess.Popen[bytes]
    parameters = 0
    compiled = False

    @abc.abstractmethod
    def poll(self) -> list[tuple[float, int]]:
        """What it did since the last call."""

    def __enter__(self) -> Racer:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)

    def hold(self) -> None:
        """Stop it, so that it takes nothing of the machine."""
        self.process.send_signal(signal.SIGSTOP)

    def release(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def speed(self, seconds: float) -> float:
        """Images a second over so many seconds from now on, and four looks that found something."""
        self.poll()
        marks: list[tuple[float, int]] = []
        deadline = time.monotonic() + 300 + 3 * seconds
        # The first one ends a step that was perhaps held in the middle. The looks are few: each wakes a core.
        while len(marks) < 4 or marks[-1][0] - marks[1][0] < seconds:
            select.select([], [], [], 0.25)
            marks += self.poll()
            if self.process.poll() is not None:
                raise RuntimeError(f"it ended: {self.last_words()}")
            if time.monotonic() > deadline:
                raise RuntimeError("it says nothing of its progress")
        (since, before), (until, after) = marks[1], marks[-1]
        return (after - before) / (until - since)

    def turn(self, seconds: float) -> float:
        """Its speed in a turn of its own, without the first moments: threads that were held are slow at first."""
        self.release()
        self.speed(SETTLE)
        found = self.speed(seconds)
        self.hold()
        return found

    def go(self, seconds: float) -> tuple[float, float]:
        """Let it go on for so long; from when to when that was."""
        self.release()
        begun = time.monotonic()
        select.select([], [], [], seconds)
        self.hold()
        return begun, time.monotonic()

    def speed_in(self, turns: list[tuple[float, float]]) -> float:
        """Images a second of these turns, all there were since the last look."""
        (since, before), *_, (until, after) = self.poll()
        went_on = [sum(min(mark, end) - begun for begun, end in turns if begun < mark) for mark in (since, until)]
        return (after - before) / (went_on[1] - went_on[0])

    def last_words(self) -> str:
        return ""


class Worker(Racer):
    """A run of this trainer, its worker started as everybody starts one; its progress is in the run's log."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.process = launch.start(run)
        self._follower = event_log.Follower(run / "events.jsonl")
        self._batch = 1
        self._offset = time.monotonic() - time.time()

    def poll(self) -> list[tuple[float, int]]:
        marks: list[tuple[float, int]] = []
        for event in self._follower.poll():
            if isinstance(event, events.Plan):
                self._batch, self.parameters, self.compiled = event.batch_size, event.parameters, event.compiled
            elif isinstance(event, events.Metrics):
                steps = event.start + event.stride * (max(map(len, event.values.values())) - 1) + 1
                mark = event.t + self._offset, steps * self._batch
                if marks and mark[0] - marks[-1][0] < 1e-3:
                    # metrics that come at some steps only have events of their own, written at the same time
                    mark = mark[0], max(mark[1], marks.pop()[1])
                marks.append(mark)
        return marks

    def last_words(self) -> str:
        return " | ".join(runs.last_log_lines(self.run, 3))


def decided(tables: dict[str, Any]) -> None:
    """Have it found out whether torch.compile pays for a config, which a first run does beside itself; that run is held
    meanwhile, so that it does not take long.
    """
    answers = cache_dir() / "compile.json"
    before = answers.read_bytes() if answers.exists() else b""
    with Worker(make_run(tables)) as first:
        first.speed(SETTLE)
        if "is measured beside this run" not in (first.run / "events.jsonl").read_text():
            return  # there is nothing to find out, or it was before
        deadline, held = time.monotonic() + 600, False
        while not answers.exists() or answers.read_bytes() == before:
            select.select([], [], [], 0.25)
            if not held and len(family(first.process.pid)) > 1:
                first.hold()
                held = True
            if time.monotonic() > deadline:
                raise RuntimeError("it is not found out whether torch.compile pays")


class Textbook(Racer):
    """A textbook loop; its progress comes through a pipe."""

    def __init__(self, name: str, root: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.textbook", name, "--root", root], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self._rest = b""

    def poll(self) -> list[tuple[float, int]]:
        assert self.process.stdout is not None
        *lines, self._rest = (self._rest + (self.process.stdout.read() or b"")).split(b"\n")
        marks = []
        for line in lines:
            now, _, images = line.partition(b" ")
            if images:
                marks.append((float(now), int(images)))
            else:
                self.parameters = int(now)
        return marks


def warmed(racer: Racer) -> None:
    """Wait until its first steps, which are slow everywhere, are over, and hold it."""
    racer.speed(WARM)
    racer.hold()


def against_the_textbook(name: str, what: str, aim: float, settings: Settings, base: Path, root: str) -> Figure:
    """This trainer's images/s, as people start it, ÷ the textbook loop's; each is held while the other has its turn."""
    decided(tables_of(name, root))
    with Worker(make_run(tables_of(name, root))) as ours:
        warmed(ours)
        with Textbook(name, root) as theirs:
            warmed(theirs)
            if ours.parameters != theirs.parameters:
                raise RuntimeError(f"not the same network: {ours.parameters:,} and {theirs.parameters:,} parameters")
            before = settings.pairs // 2
            pairs = in_turn(ours, theirs, before, settings)
            machine = product_rate(name, root)
            pairs += in_turn(ours, theirs, settings.pairs - before, settings)
    figure = ratio(name, what, pairs, aim, f"images/s, {'' if ours.compiled else 'not '}compiled")
    figure.limit = statistics.median(speed for speed, _ in pairs) * machine.each / machine.best
    return figure


def in_turn(
    ours: Racer, theirs: Racer, count: int, settings: Settings, seconds: float = TURN
) -> list[tuple[float, float]]:
    """Their speeds in so many pairs, each of many short turns of so many seconds."""
    pairs = []
    for pair in range(count):
        turns: dict[Racer, list[tuple[float, float]]] = {ours: [], theirs: []}
        for racer in turns:
            racer.poll()
        for _ in range(max(4, round(settings.seconds / seconds))):
            for racer in (ours, theirs) if pair % 2 == 0 else (theirs, ours):
                turns[racer].append(racer.go(seconds))
        pairs.append((ours.speed_in(turns[ours]), theirs.speed_in(turns[theirs])))
    return pairs


def as_shipped(name: str, what: str, settings: Settings, base: Path, root: str) -> Figure:
    """Images/s with previews, validation, health and checkpoints as they are when nobody asks otherwise ÷ without any.

    Both compiled or neither, as the first one finds it to pay. A pair is as long as it is from preview to preview.
    """
    every = configs.PreviewConfig().every_seconds
    settings = dataclasses.replace(settings, seconds=max(settings.seconds, every))
    tables = tables_of(name, root)
    decided(tables)
    tables["preview"] = {"every_seconds": 2 * every}  # by a clock that goes on while it is held
    with Worker(make_run(tables)) as ours:
        warmed(ours)
        tables["train"]["compile"] = "on" if ours.compiled else "off"
        with Worker(make_run(bare(tables))) as theirs:
            warmed(theirs)
            pairs = in_turn(ours, theirs, settings.pairs, settings)
    return ratio(f"shipped-{name}", what, pairs, 0.97, "images/s")


class ProductRate(msgspec.Struct):
    """What `tests.product_rate` prints."""

    best: float
    each: float


def product_rate(name: str, root: str) -> ProductRate:
    """How fast this machine multiplies matrices, and how much of that an image of a benchmark takes; measured now."""
    words = [sys.executable, "-m", "tests.product_rate", name, "--root", root]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=300)
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=ProductRate)


Off = tuple[str, str]
"""The environment variable, and its value, with which a trick is left off."""
TUNED_OFF, PAGES_OFF = ("TUI_GEN_TUNED", "0"), ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0")


def with_and_without(
    off: Off, name: str, what: str, compile: str, aim: float, settings: Settings, base: Path, root: str
) -> Figure:
    """This trainer's images/s ÷ those with a trick left `off`, both compiled (`on`) or neither (`off`)."""
    tables = bare(tables_of(name.partition("-")[2], root, compile=compile))
    with Worker(make_run(tables)) as ours:
        warmed(ours)
        before = os.environ.get(off[0])
        os.environ[off[0]] = off[1]
        try:
            theirs = Worker(make_run(tables))
        finally:
            del os.environ[off[0]]
            if before is not None:
                os.environ[off[0]] = before
        with theirs:
            warmed(theirs)
            pairs = in_turn(ours, theirs, settings.pairs, settings)
    return ratio(name, what, pairs, aim, "images/s")


def half_precision(name: str, what: str, settings: Settings, base: Path, root: str) -> Figure:
    """This trainer's images/s with train.precision = "bfloat16" ÷ "float32", neither compiled."""
    tables = [bare(tables_of(name, root, compile="off", precision=word)) for word in ("bfloat16", "float32")]
    with Worker(make_run(tables[0])) as half:
        warmed(half)
        with Worker(make_run(tables[1])) as full:
            warmed(full)
            pairs = in_turn(half, full, settings.pairs, settings)
    return ratio(f"precision-{name}", what, pairs, 1.0, "images/s")


@contextlib.contextmanager
def busy_neighbour(before: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """A process that keeps one core busy, and does something `before`."""
    process = subprocess.Popen([sys.executable, "-c", f"{before}\nwhile True: pass"], cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def busy_core(settings: Settings, base: Path, root: str) -> Figure:
    """The MLP VAE's images/s while another process wants one of the two cores, which comes and goes, ÷ alone."""
    pairs, tables = [], bare(tables_of("vae", root))
    decided(tables)
    with Worker(make_run(tables)) as worker, busy_neighbour() as neighbour:
        neighbour.send_signal(signal.SIGSTOP)
        warmed(worker)
        for _ in range(settings.pairs):
            alone = _settled(worker, settings.seconds)
            neighbour.send_signal(signal.SIGCONT)
            pairs.append((_settled(worker, settings.seconds), alone))
            neighbour.send_signal(signal.SIGSTOP)
    return ratio("busy-core", "MLP VAE, other core busy later ÷ undisturbed", pairs, 0.5, "images/s")


def idle_class(settings: Settings, base: Path, root: str) -> Figure:
    """The MLP VAE's images/s beside a process that takes what is left of the cores, as the one does that finds out
    whether torch.compile pays, ÷ alone.
    """
    pairs = []
    first = "from tui_gen.train.run import probing; probing.give_way()"
    with Worker(make_run(bare(tables_of("vae", root, compile="off")))) as worker, busy_neighbour(first) as neighbour:
        neighbour.send_signal(signal.SIGSTOP)
        warmed(worker)
        for _ in range(settings.pairs):
            alone = worker.turn(settings.seconds)
            neighbour.send_signal(signal.SIGCONT)
            pairs.append((worker.turn(settings.seconds), alone))
            neighbour.send_signal(signal.SIGSTOP)
    return ratio("probing", "MLP VAE, beside the measuring of torch.compile ÷ alone", pairs, 0.95, "images/s")


def _settled(worker: Worker, seconds: float) -> float:
    """Its speed once it has seen who else is there."""
    worker.release()
    worker.speed(ADAPT)
    found = worker.speed(seconds)
    worker.hold()
    return found


AIMS = {
    "vae": ("MLP VAE 784-400-20 ÷ textbook loop", 4.2),
    "library-vae": ("MLP VAE 784-512-16, images in memory ÷ textbook loop", 3.2),
    "gan": ("MLP GAN ÷ textbook loop", 3.3),
    "wgan-gp": ("MLP WGAN-GP, n_critic 5 ÷ textbook loop", 4.5),
    "dcgan": ("DCGAN 32 px ÷ textbook loop", 1.3),
    "ddpm": ("U-Net DDPM 28 px ÷ textbook loop", 1.7),
}
BENCHMARKS: dict[str, Callable[[Settings, Path, str], Figure]] = {
    name: functools.partial(against_the_textbook, name, what, aim) for name, (what, aim) in AIMS.items()
} | {"busy-core": busy_core, "probing": idle_class}
TUNED = {
    "small-vae": ("small MLP VAE, tuned ÷ not", "off"),
    "classifier": ("MLP classifier 784-300-100-10 by SGD, batch 32, tuned ÷ not", "off"),
    "nadam-classifier": ("the same by NAdam, tuned ÷ not", "off"),
    "textbook-gan": ("MLP GAN 30-100-150-784 by RMSprop, batch 32, tuned ÷ not", "off"),
    "vae": ("MLP VAE 784-400-20, tuned ÷ not; on MNIST it gains most after 700 steps", "off"),
    "ddpm": ("U-Net DDPM 28 px, tuned ÷ not", "off"),
    "gan": ("MLP GAN, compiled, tuned ÷ not", "on"),
    "wgan-gp": ("MLP WGAN-GP, compiled, tuned ÷ not", "on"),
}
BENCHMARKS |= {
    f"precision-{name}": functools.partial(half_precision, name, f"{words.partition(' ÷')[0]}, bfloat16 ÷ float32")
    for name, (words, _) in AIMS.items()
}
BENCHMARKS |= {
    f"shipped-{name}": functools.partial(as_shipped, name, f"{words}, as shipped ÷ bare")
    for name, words in {"vae": "MLP VAE", "gan": "MLP GAN"}.items()
}
BENCHMARKS |= {
    f"tuned-{name}": functools.partial(with_and_without, TUNED_OFF, f"tuned-{name}", *words, 1.05)
    for name, words in TUNED.items()
}
BENCHMARKS |= {
    f"pages-{name}": functools.partial(
        with_and_without, PAGES_OFF, f"pages-{name}", f"{words}, memory in huge pages ÷ not", compile, 1.0
    )
    for name, words, compile in (("gan", "MLP GAN, compiled", "on"), ("ddpm", "U-Net DDPM 28 px", "off"))
}
