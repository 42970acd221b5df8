"""Whether torch.compile pays for a model on this machine: measured once, remembered, said in the log."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import platform
import time
from collections.abc import Callable
from typing import Any

import msgspec
import torch
from torch import Tensor

from tui_gen import tuned
from tui_gen.launch import in_company
from tui_gen.model import Batch, Model
from tui_gen.places import cache_dir
from tui_gen.runs import write_atomic
from tui_gen.train.engine import accumulating
from tui_gen.train.engine.accumulating import Compute, Computed
from tui_gen.train.engine.building import put, weights_of
from tui_gen.train.engine.devices import named, put_random_state, random_state, random_state_kept, wait_for
from tui_gen.train.engine.trainer import Trainer
from tui_gen.train.tuned import late_compiler, onednn, products

WORTH_STEPS = 5_000
"""With `auto`, shorter runs are not compiled: compiling takes longer than it saves."""
WORTH_RATIO = 1.1
EDITS = 1000
"""How many live edits that compile anew a compiled run may see before it goes on uncompiled."""
CAPTURES = 8
"""Calls on a GPU among which its graphs are captured: what fails in them can yet be done without."""
RETRY = 86_400
"""Seconds after which a failure to compile is no longer believed, as somebody may have installed a compiler, nor what
was measured while other processes computed."""
ROUND, ROUNDS = 0.01, 25
"""Seconds that a round of measuring takes at least, and how many there are of either form: the best of them is one in
which no other process took the cores."""


class Probe(msgspec.Struct):
    """What was measured `at` a time (seconds since the epoch): `ratio` × the speed, 0 and why where it failed.

    `company`: other processes computed meanwhile.
    """

    ratio: float
    at: float
    failure: str = ""
    company: bool = False

    def lasts(self) -> bool:
        """Whether it is to be believed yet."""
        return (bool(self.ratio) and not self.company) or 0 <= time.time() - self.at < RETRY


def decide(trainer: Trainer, say: Callable[[str], None]) -> bool:
    """Whether to compile this run's losses, by `train.compile`; `auto` measures once per machine and model."""
    wish = trainer.config.train.compile
    if trainer.ranks.count > 1:
        if wish == "on":
            say("many processes train without torch.compile: what they draw and add is not compiled")
        return False
    if wish != "auto":
        if wish == "on" and trainer.config.train.accumulate > 1 and trainer.draws_whole:
            say("what is compiled draws for the parts of a batch one after the other, not what the whole batch would")
        return wish == "on"
    if trainer.config.train.accumulate > 1 and trainer.draws_whole:
        return False  # it would draw otherwise
    if not trainer.model.compiles or (trainer.total or 0) < WORTH_STEPS:
        return False
    probes = _read()
    key = _key(trainer)
    probe = probes.get(key)
    if probe is None or not probe.lasts():
        say("measuring whether torch.compile pays here: some 10 to 20 s, once per machine, model and size")
        company = in_company()
        try:
            probe = Probe(round(_measure(trainer), 3), time.time(), company=company or in_company())
        except Exception as error:  # no compiler, or a model that it cannot compile
            probe = Probe(0.0, time.time(), _first_line(error))
        probes[key] = probe
        with contextlib.suppress(OSError):
            path = cache_dir() / "compile.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, msgspec.json.encode(probes))
    if not probe.ratio:
        say(f"torch.compile does not work here ({probe.failure}); training without, it is tried again in a day")
        return False
    pays = probe.ratio >= WORTH_RATIO
    beside = " (other processes computed meanwhile: it is measured again in a day)" if probe.company else ""
    choice = f"so it is {'on' if pays else 'off'}{beside}"
    say(f"torch.compile: {probe.ratio:g} × the speed of plain training here, {choice}")
    return pays


class Hyperparameters:
    """A model's hyperparameters as compiled code gets them: its live `arithmetic` numbers as scalar tensors.

    A number is a constant of compiled code, so that an edit compiles anew; a tensor is an input of it. (PyTorch can
    make a number an input, too, but only after it changed once: a run that was resumed would round otherwise than one
    that went on.) Zeros stay numbers: they turn something off.
    """

    def __init__(self, model: Model, device: torch.device) -> None:
        self.config = model.config
        self.compiled_config = copy.copy(self.config)
        """What compiled code reads; it stays the same object with the same tensors."""
        self.tensors = {name: torch.zeros((), device=device) for name in model.arithmetic}
        self.holders = [module for module in model.modules() if getattr(module, "config", None) is self.config]
        self.last_values: tuple[Any, ...] = ()

    def update(self) -> None:
        """Follow the edits since the last call."""
        values = msgspec.structs.astuple(self.config)
        if values == self.last_values:
            return
        self.last_values = values
        for name, value in zip(self.config.__struct_fields__, values, strict=True):
            if name in self.tensors and value:
                self.tensors[name].fill_(value)
                value = self.tensors[name]
            setattr(self.compiled_config, name, value)

    def given_to(self, fast: Compute) -> Compute:
        """The compiled form, while it computes, finds these hyperparameters in the model."""
        if not self.tensors:
            return fast

        def compute(batch: Batch) -> Computed:
            self.update()
            for module in self.holders:
                module.config = self.compiled_config
            try:
                return fast(batch)
            finally:
                for module in self.holders:
                    module.config = self.config

        return compute


def apply(trainer: Trainer, say: Callable[[str], None], tensors: bool = True, by: str = products.PLAIN) -> None:
    """Compile what every phase computes; one that fails to compile is trained as it is, and the log says so.

    Without `tensors`, live numbers are constants: as in runs that were compiled before they were tensors, whose bits
    depend on it. `by` is what computes matrix products (`tui_gen.train.tuned.products`).
    """
    trainer.draws_whole = False
    for name, plain in trainer.compute.items():
        trainer.compute[name] = _with_fallback(name, plain, compiled(trainer, plain, tensors, by), say, trainer.device)


def compiled(trainer: Trainer, plain: Compute, tensors: bool = True, by: str = products.PLAIN) -> Compute:
    """A compiled form of a phase's loss and gradients; CUDA graphs on GPUs, where these nets wait for kernel launches.

    The gradients are compiled along with the loss where PyTorch can: one graph has no bookkeeping of what the backward
    pass will need, which small nets feel.
    """
    fast = _compiled(trainer, plain, by)
    return Hyperparameters(trainer.model, trainer.device).given_to(fast) if tensors else fast


def _compiled(trainer: Trainer, plain: Compute, by: str) -> Compute:
    late_compiler.let_in()
    if hasattr(torch._dynamo.config, "trace_autograd_ops"):
        torch._dynamo.config.trace_autograd_ops = True
    # Live numbers that are no tensors are constants: edits compile anew, and PyTorch gives up for good after eight.
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = EDITS
    if trainer.device.type != "cuda":
        options = None if by == products.PLAIN else onednn.options(trainer.device, by_kind=not by)
        return torch.compile(plain, dynamic=False, options=options)
    fast = torch.compile(plain, mode="reduce-overhead", dynamic=False)

    return keeping(fast)


def keeping(captured: Compute) -> Compute:
    """A captured form whose metrics, and what it leaves in `shared`, outlive the next call of any captured form.

    All graphs write to the same memory, and PyTorch takes the tensors of one away when the next begins. Gradients are
    used up by then.
    """

    def compute(batch: Batch) -> Computed:
        before = dict(batch.shared)
        names, row, gradients = captured(batch)
        for key, value in batch.shared.items():
            if before.get(key) is not value:
                batch.shared[key] = _own(value)
        return names, row.clone(), gradients

    return compute


def _own(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, tuple | list):
        return type(value)([_own(part) for part in value])
    return {key: _own(part) for key, part in value.items()} if isinstance(value, dict) else value


def _with_fallback(
    name: str, plain: Compute, fast: Compute, say: Callable[[str], None], device: torch.device
) -> Compute:
    current = fast
    calls, tentative = 0, CAPTURES if device.type == "cuda" else 1

    def compute(batch: Batch) -> Computed:
        nonlocal current, calls
        if calls >= tentative:
            return current(batch)
        calls += 1
        start = time.perf_counter()
        state = random_state(device)
        try:
            out = current(batch)
            if calls == 1:
                say(f"{name}: compiled in {time.perf_counter() - start:.0f} s")
            return out
        except Exception as error:  # anything the compiler throws; the plain form shows a fault of the model's own
            current, calls = plain, tentative
            put_random_state(device, state)
            say(f"{name}: torch.compile failed ({_first_line(error)}); training without")
            return plain(batch)

    return compute


def _measure(trainer: Trainer) -> float:
    """Speed of what is compiled, as a multiple of the plain form's."""
    state = trainer.stream.state_dict()
    x, labels = trainer.stream.next()
    trainer.stream.load_state_dict(state)
    plain = dict(trainer.compute)
    by = products.of(trainer.model)
    fast = {name: compiled(trainer, compute, by=by) for name, compute in plain.items()}

    def seconds(computes: dict[str, Compute], count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            batch = accumulating.split(Batch(x, labels, 0), trainer.config.train.accumulate)[0]
            for compute in computes.values():
                compute(batch)
        wait_for(trainer.device)
        return time.perf_counter() - start

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


def _key(trainer: Trainer) -> str:
    config = trainer.config
    device = named(trainer.device) or platform.processor() or platform.machine()
    values: list[Any] = [platform.node(), device, torch.__version__, torch.get_num_threads(), config.model.name]
    values += [sorted(config.model.values.items()), list(trainer.data.spec.shape), config.train.batch_size]
    values += [f"in {config.train.accumulate} parts"] if config.train.accumulate > 1 else []
    by_onednn = products.of(trainer.model) == products.ONEDNN
    values += [str(trainer.precision), "with gradients", by_onednn, *([] if tuned.on() else ["not tuned"])]
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


def _read() -> dict[str, Probe]:
    try:
        probes = msgspec.json.decode((cache_dir() / "compile.json").read_bytes(), type=dict[str, Probe | float])
    except (OSError, ValueError):
        return {}
    # before, a bare number was kept, 0 for a failure
    return {key: probe if isinstance(probe, Probe) else Probe(probe, 0.0) for key, probe in probes.items()}


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
