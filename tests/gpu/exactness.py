"""That a device computes what it should: exact resumes, captured graphs, half precision, averages, lack of memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import torch

from tests import small_runs
from tests.gpu.checking import (
    Result,
    Setting,
    advanced,
    checkpoint,
    deterministic,
    differing,
    finite,
    losses,
    restored,
    small,
)  # fmt: skip
from tui_gen import control
from tui_gen.model import Batch
from tui_gen.train.engine import accumulating, compiling, devices
from tui_gen.train.engine.building import weights_of
from tui_gen.train.engine.trainer import Trainer
from tui_gen.train.run import yielding
from tui_gen.train.run.worker import Worker

MLP_GAN = {
    "model__network": "mlp", "model__generator_hidden": [64], "model__discriminator_hidden": [64],
    "model__r1_weight": 0.0, "model__r1_every": 1,
}  # fmt: skip
CAPTURED = {
    "vae": ("vae", {}),
    "gan": ("gan", {**MLP_GAN, "model__replay": 32, "model__replay_share": 0.5}),
    "wgan-gp": ("gan", {**MLP_GAN, "model__loss": "wasserstein-gp", "model__n_critic": 2}),
    "vq-vae": ("vq-vae", {}),
    "vae in float16": ("vae", {"train__precision": "float16"}),
    "gan in parts": ("gan", {**MLP_GAN, "train__accumulate": 2}),
}
"""Losses that are compiled, and on CUDA captured in graphs; those of two phases share tensors."""


def resume(setting: Setting) -> Iterator[Result]:
    """Of every family: after a checkpoint and a new trainer, the bits of one that was never interrupted."""
    place, steps = setting.place, setting.steps(8)
    for family in list(small_runs.SMALL)[: 2 if setting.quick else None]:
        folder = Path(setting.folder) / "resume" / family
        with deterministic() as have_none:
            whole = advanced(small(family, place, train__precision="auto"), 2 * steps)
            half = checkpoint(advanced(small(family, place, train__precision="auto"), steps), folder)
            other = advanced(restored(small(family, place, train__precision="auto"), half), steps)
            words = differing(whole, other)
        without = f"; no deterministic form of {', '.join(have_none)}" if have_none else ""
        yield Result(f"resume {family}", not words, "same bits" if not words else "differs", words + without)


def captured(setting: Setting) -> Iterator[Result]:
    """Of what is compiled: that nothing falls back, that losses are those of plain code, and a resume of it."""
    from torch._dynamo.utils import counters

    place, steps = setting.place, setting.steps(8)
    for name, (family, more) in list(CAPTURED.items())[: 2 if setting.quick else None]:
        if place.type == "cpu" and more.get("train__precision") == "float16":
            continue
        folder = Path(setting.folder) / "captured" / name
        said: list[str] = []
        counters.clear()

        def made(family: str = family, more: dict = more, said: list[str] = said) -> Trainer:
            new = small(family, place, **more)
            compiling.apply(new, said.append)
            return new

        with deterministic():
            plain = losses(advanced(small(family, place, **more), 2 * steps))
            whole = made()
            advanced(whole, 2 * steps)
            mine = losses(whole)
            half = checkpoint(advanced(made(), steps), folder)
            other = advanced(restored(made(), half), steps)
        faults = [words for words in said if "failed" in words]
        skips = counters["inductor"].get("cudagraph_skips", 0)
        faults += [f"{skips} graphs were not captured"] if skips and place.type == "cuda" else []
        faults += [] if finite(mine) and mine.keys() == plain.keys() else ["losses that are no numbers"]
        far = max((abs(sum(mine[key]) - sum(plain[key])) / (abs(sum(plain[key])) + 1) for key in plain), default=0.0)
        faults += [f"mean losses are {far:.0%} from those of plain code"] if far > 0.25 else []
        yield Result(f"captured {name}", not faults, f"{far:.1%} off plain", "; ".join(faults))
        words = differing(whole, other)
        yield Result(f"captured resume {name}", not words, "same bits" if not words else "differs", words)


def precision(setting: Setting) -> Iterator[Result]:
    """That half precision trains as float32 does, and a resume with the loss's scale has the same bits."""
    place, steps = setting.place, setting.steps(40)
    for family in ("vae",) if setting.quick else ("vae", "gan", "ddpm", "vq-vae"):
        means = {}
        for kind in ("float32", "bfloat16", "float16"):
            if kind == "float16" and place.type == "cpu":
                continue
            found = losses(advanced(small(family, place, train__precision=kind), steps))
            late = [value for column in found.values() for value in column[-10:]]
            means[kind] = sum(late) / len(late) if finite(found) else float("nan")
        for kind in list(means)[1:]:
            off = abs(means[kind] - means["float32"]) / (abs(means["float32"]) + 0.1)
            yield Result(f"{kind} {family}", off < 0.2, f"{off:.1%} off float32")
        if "float16" in means:
            with deterministic():
                more = {"train__precision": "float16"}
                whole = advanced(small(family, place, **more), 12)
                half = checkpoint(advanced(small(family, place, **more), 6), Path(setting.folder) / f"half-{family}")
                words = differing(whole, advanced(restored(small(family, place, **more), half), 6))
            yield Result(f"float16 resume {family}", not words, "same bits" if not words else "differs", words)


def average(setting: Setting) -> Iterator[Result]:
    """That averaged weights are the mean that they should be, computed again on the CPU in double precision."""
    made = small("gan", setting.place)
    average = made.average
    assert average is not None
    expected = {name: tensor.double().cpu() for name, tensor in average.named_parameters()}
    for step in range(setting.steps(20)):
        made.train_step()
        decay = min(made.config.train.ema, (1 + step) / (10 + step))
        for name, tensor in made.model.named_parameters():
            expected[name].lerp_(tensor.detach().double().cpu(), 1 - decay)
    far = max(float((tensor.cpu() - expected[name]).abs().max()) for name, tensor in average.named_parameters())
    yield Result("averaged weights", far < 1e-5, f"{far:.1e} off")


def memory(setting: Setting) -> Iterator[Result]:
    """A batch for which there is no room: what is said, and that `train.accumulate` trains it in the same room."""
    place = setting.place
    batch, parts = (64, 8) if setting.quick else (16_384, 64)
    shape = {"dataset__limit": 0, "train__batch_size": batch, "model__hidden": [256]}
    limited = small("vae", place, train__accumulate=parts, **shape)
    advanced(limited, 2)
    devices.wait_for(place)
    advice = ""
    if place.type == "cuda":
        _, total = devices.memory_of(place)
        torch.cuda.set_per_process_memory_fraction(1.2 * devices.reserved(place) / total, place)
    try:
        whole = small("vae", place, **shape)
        if place.type != "cuda":  # a stand-in: this much is too much
            _refuse_more(whole, batch // parts)
        advanced(whole, 1)
    except RuntimeError as error:
        advice = Worker._why(error)
    said = "raise train.accumulate" in advice
    yield Result("out of memory: advice", said, "said" if said else "not said", advice)
    whole = None  # type: ignore[assignment]
    gc.collect()
    if place.type == "cuda":
        torch.cuda.empty_cache()
    advanced(limited, 2)
    again = finite(losses(limited))
    yield Result("out of memory: in parts", again, f"{batch:,} in {parts}", "" if again else "losses are no numbers")


def _refuse_more(made: Trainer, most: int) -> None:
    for name, compute in made.compute.items():

        def limited(batch: Batch, compute: accumulating.Compute = compute) -> accumulating.Computed:
            if len(batch.x) > most:
                raise torch.OutOfMemoryError("a stand-in is out of memory")
            return compute(batch)

        made.compute[name] = limited


def yielded(setting: Setting) -> Iterator[Result]:
    """The device given back and taken again in the middle, plain and captured: how much comes free, and the bits."""
    place, steps = setting.place, setting.steps(6)
    for name, compiled in (("plain", False), ("captured", True))[: 1 if setting.quick else None]:

        def made(compiled: bool = compiled) -> Trainer:
            new = small("gan", place, **MLP_GAN)
            if compiled:
                compiling.apply(new, lambda words: None)
            return new

        with deterministic():
            whole = advanced(made(), 2 * steps)
            expected = {key: tensor.cpu().clone() for key, tensor in weights_of(whole.model).items()}
            whole = None  # type: ignore[assignment]
            gc.collect()
            half = advanced(made(), steps)
            half.meter.flush()
            loop = SimpleNamespace(
                trainer=half, paused=False, flush=lambda: None, measuring=SimpleNamespace(drop=lambda words: None)
            )
            run = yielding.Yielding(loop)
            run.ask(control.Request({"op": "yield"}))
            left, words = devices.allocated(place), run.words
            back = run.back(control.Request({"op": "resume"}))
            advanced(half, steps)
        same = all(torch.equal(tensor.cpu(), expected[key]) for key, tensor in weights_of(half.model).items())
        held = back and same and (place.type == "cpu" or left < 2_000_000)
        yield Result(f"yield, {name}", held, f"{left / 1e6:.1f} MB left", words if same else f"other bits; {words}")
