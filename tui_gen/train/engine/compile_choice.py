"""Whether torch.compile pays for a model on this machine: measured once, remembered, said in the log.

On a CPU it is measured beside a run, which trains without meanwhile, for later runs of that model and size: compiling
takes some 10 to 20 s. A run keeps to what it began with, so what is found out while it trains cannot change its bits.
On a GPU, whose memory and time a process beside it would take, it is measured before training begins.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
import time
from collections.abc import Callable
from typing import Any

import msgspec
import torch

from tui_gen import tuned
from tui_gen.launch import in_company
from tui_gen.model import Batch
from tui_gen.places import cache_dir
from tui_gen.runs import write_atomic
from tui_gen.train.engine import accumulating, compiling
from tui_gen.train.engine.accumulating import Compute
from tui_gen.train.engine.building import put, weights_of
from tui_gen.train.engine.devices import named, random_state_kept, wait_for
from tui_gen.train.engine.trainer import Trainer
from tui_gen.train.tuned import products

WORTH_STEPS = 5_000
"""With `auto`, shorter runs are not compiled: compiling takes longer than it saves."""
WORTH_RATIO = 1.1
RETRY = 86_400
"""Seconds after which a failure to compile is no longer believed, as somebody may have installed a compiler, nor what
was measured while other processes computed."""
ROUND, ROUNDS = 0.01, 25
"""Seconds that a round of measuring takes at least, and how many there are of either form: the best of them is one in
which no other process took the cores."""
BESIDE = (
    "whether torch.compile pays here is measured beside this run, which trains without it, and holds for later runs of "
    "this model and size (train.compile = on compiles without asking)"
)


class Probe(msgspec.Struct):
    """What was measured `at` a time (seconds since the epoch): `ratio` × the speed, 0 and why where it failed.

    `company`: other processes computed meanwhile, and what was measured goes by the clock.
    """

    ratio: float
    at: float
    failure: str = ""
    company: bool = False

    def lasts(self) -> bool:
        """Whether it is to be believed yet."""
        return (bool(self.ratio) and not self.company) or 0 <= time.time() - self.at < RETRY

    @property
    def pays(self) -> bool:
        """Whether runs are to be compiled."""
        return self.ratio >= WORTH_RATIO

    def __str__(self) -> str:
        if not self.ratio:
            words = f"torch.compile does not work here ({self.failure})"
            return f"{words}; training without, it is tried again in a day"
        beside = " (other processes computed meanwhile: it is measured again in a day)" if self.company else ""
        choice = f"so it is {'on' if self.pays else 'off'}{beside}"
        return f"torch.compile: {self.ratio:g} × the speed of plain training here, {choice}"


def decide(trainer: Trainer, say: Callable[[str], None], beside: Callable[[str], None] | None = None) -> bool:
    """Whether to compile this run's losses, by `train.compile`; `auto` measures once per machine and model.

    `beside` has it measured for a key by another process; where there is none, or that cannot do it, it is measured
    here and now.
    """
    wish = trainer.config.train.compile
    if trainer.ranks.count > 1:
        if wish == "on":
            say("many processes train without torch.compile: what they draw and add is not compiled")
        return False
    drawn_otherwise = trainer.config.train.accumulate > 1 and trainer.draws_whole
    if wish != "auto":
        if wish == "on" and drawn_otherwise:
            say("what is compiled draws for the parts of a batch one after the other, not what the whole batch would")
        return wish == "on"
    if drawn_otherwise or not _may_pay(trainer):
        return False
    key = key_of(trainer)
    probe = remembered(key)
    if probe is None:
        if beside is not None and trainer.device.type == "cpu" and not trainer.parts:
            say(BESIDE)
            beside(key)
            return False
        say("measuring whether torch.compile pays here: some 10 to 20 s, once per machine, model and size")
        probe = measured(trainer)
        remember(key, probe)
    say(str(probe))
    return probe.pays


def _may_pay(trainer: Trainer) -> bool:
    """Whether it is worth measuring: for a model that may be compiled on this device, and a run that is long enough."""
    compiles, on_gpu = trainer.model.compiles, trainer.device.type != "cpu"
    return bool(compiles) and (compiles != "gpu" or on_gpu) and (trainer.total or 0) >= WORTH_STEPS


def measured(trainer: Trainer) -> Probe:
    """What compiling a run's losses gains; of a failure, why. The run is left as it was."""
    by_clock = trainer.device.type != "cpu"
    company = by_clock and in_company()
    try:
        ratio = round(_measure(trainer), 3)
    except Exception as error:  # no compiler, or a model that it cannot compile
        return Probe(0.0, time.time(), compiling.first_line(error))
    finally:
        if by_clock:  # what was captured to measure it keeps its memory until then
            torch.compiler.reset()
            torch.accelerator.empty_cache()
    return Probe(ratio, time.time(), company=company or (by_clock and in_company()))


def _measure(trainer: Trainer) -> float:
    """Speed of what is compiled, as a multiple of the plain form's.

    On a CPU by the time that this thread has a core, whatever the others of its team wait for: a process that lets all
    others go first measures what one does that has the machine to itself.
    """
    state = trainer.stream.state_dict()
    x, labels = trainer.stream.next()
    trainer.stream.load_state_dict(state)
    plain = dict(trainer.compute)
    by = products.of(trainer.model)
    fast = {name: compiling.compiled(trainer, compute, by=by) for name, compute in plain.items()}
    clock = time.thread_time if trainer.device.type == "cpu" else time.perf_counter

    def seconds(computes: dict[str, Compute], count: int) -> float:
        start = clock()
        for _ in range(count):
            batch = accumulating.split(Batch(x, labels, 0), trainer.config.train.accumulate)[0]
            for compute in computes.values():
                compute(batch)
        wait_for(trainer.device)
        return clock() - start

    # Batch normalisation and the like change buffers in a forward pass: measuring must not change the run.
    before = {name: tensor.clone() for name, tensor in weights_of(trainer.model).items()}
    try:
        with random_state_kept(trainer.device, 0):
            seconds(plain, 3)
            seconds(fast, 3)
            count = max(1, round(ROUND / max(1e-6, min(seconds(plain, 1) for _ in range(3)))))
            times = [(seconds(plain, count), seconds(fast, count)) for _ in range(ROUNDS)]
    finally:
        put(trainer.model, before)
    mine, theirs = (min(side) for side in zip(*times, strict=True))
    return mine / theirs


def key_of(trainer: Trainer) -> str:
    """What a measurement holds for: this machine, and a model of this size trained so."""
    config = trainer.config
    device = named(trainer.device) or platform.processor() or platform.machine()
    values: list[Any] = [platform.node(), device, torch.__version__, torch.get_num_threads(), config.model.name]
    values += [sorted(config.model.values.items()), list(trainer.data.spec.shape), config.train.batch_size]
    values += [f"in {config.train.accumulate} parts"] if config.train.accumulate > 1 else []
    values += ["deterministic"] if config.train.deterministic else []
    by_onednn = products.of(trainer.model) == products.ONEDNN
    values += [str(trainer.precision), "with gradients", by_onednn, *([] if tuned.on() else ["not tuned"])]
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


def remembered(key: str) -> Probe | None:
    """What was measured for a key, if it is to be believed yet."""
    probe = _read().get(key)
    return probe if probe is not None and probe.lasts() else None


def remember(key: str, probe: Probe) -> None:
    """Keep what was measured; where it cannot be written, it is measured again."""
    with contextlib.suppress(OSError):
        path = cache_dir() / "compile.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, msgspec.json.encode(_read() | {key: probe}))


def _read() -> dict[str, Probe]:
    try:
        probes = msgspec.json.decode((cache_dir() / "compile.json").read_bytes(), type=dict[str, Probe | float])
    except (OSError, ValueError):
        return {}
    # before, a bare number was kept, 0 for a failure
    return {key: probe if isinstance(probe, Probe) else Probe(probe, 0.0) for key, probe in probes.items()}
