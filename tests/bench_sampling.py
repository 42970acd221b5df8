"""Samples a second beside plain loops of the same networks, and `tui-gen sample -n 10000` beside a plain script.

By the processor's time, on one thread: what else the machine does changes that least.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench import Figure, Settings, ratio
from tests.bench_cold import processor_seconds
from tests.bench_processes import keep_memory
from tests.bench_trainer import MODELS, bare, make_run, tables_of
from tui_gen import launch, runs

IMAGES = 64
STEPS = 50
MANY = 10_000
SCRIPT = """
import sys, torch
from torchvision.utils import save_image
from tests.textbook import TextbookVAE
torch.set_num_threads(1)
model = TextbookVAE()
model.load_state_dict(torch.load(sys.argv[1], weights_only=True))
model.eval()
with torch.no_grad():
    z = torch.randn(int(sys.argv[3]), 20)
    images = torch.sigmoid(model.fc4(torch.relu(model.fc3(z)))).view(-1, 1, 28, 28)
save_image(images, sys.argv[2], nrow=100)
"""
"""What people write to see samples of the first tutorial's VAE."""


def _ours(name: str) -> Any:
    """A benchmark's model as a restored run has it, with weights that matter."""
    import torch

    from tui_gen.model import DataSpec
    from tui_gen.train import discover
    from tui_gen.train.engine.building import build_model
    from tui_gen.train.tuned import products

    values, batch_size, size = MODELS[name]
    classes = discover.build()[1]
    spec = DataSpec(name="mnist", kind="image", shape=(1, size, size), count=60_000, classes=tuple("0123456789"))
    more = {"sampler": "ddim", "sample_steps": STEPS} if name == "ddpm" else {}
    kind = classes.models[values["name"]]
    model = build_model(kind, {key: value for key, value in values.items() if key != "name"} | more, spec).eval()
    model = model.to(memory_format=torch.channels_last)
    by, _ = products.choose(model, batch_size, torch.device("cpu"), torch.float32)
    products.use(model, by)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.05)
    return model


def _plain(name: str) -> Callable[[], Any]:
    """64 samples as a plain loop makes them."""
    import torch

    from tests import textbook

    if name == "vae":
        vae = textbook.TextbookVAE().eval()
        return lambda: torch.sigmoid(vae.fc4(torch.relu(vae.fc3(torch.randn(IMAGES, 20)))))
    if name == "gan":
        generator = textbook.mlp_pair()[0].eval()
        return lambda: generator(torch.randn(IMAGES, 100))
    network = textbook.TextbookUNet().eval()
    bars = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)
    times = torch.linspace(999, 0, STEPS).long().tolist()

    def ddim() -> torch.Tensor:
        x = torch.randn(IMAGES, 1, 28, 28)
        for time_now, then in zip(times, [*times[1:], None]):
            now, later = bars[time_now], torch.tensor(1.0) if then is None else bars[then]
            noise = network(x, torch.full((IMAGES,), time_now))
            clean = ((x - (1 - now).sqrt() * noise) / now.sqrt()).clamp(-1, 1)
            noise = (x - now.sqrt() * clean) / (1 - now).sqrt()
            x = later.sqrt() * clean + (1 - later).sqrt() * noise
        return x

    return ddim


class Maker:
    """A process that makes samples, 64 at a time on one thread, when it is asked: ours keeps freed memory, as those of
    `tui-gen` are told to when they are started, and a plain loop does not."""

    def __init__(self, name: str, ours: bool) -> None:
        (orders, give), (answer, answers) = os.pipe(), os.pipe()
        if not os.fork():
            with contextlib.suppress(BaseException):
                _make(name, ours, orders, answers)
            os._exit(0)
        os.close(orders)
        os.close(answers)
        self._give, self._answer = os.fdopen(give, "w"), os.fdopen(answer)

    def speed(self, seconds: float) -> float:
        """Images that it makes in a second of the processor, in so many of them; 0 seconds end it."""
        print(seconds, file=self._give, flush=True)
        return float(self._answer.readline() or 0)


def _make(name: str, ours: bool, orders: int, answers: int) -> None:
    import torch

    from tui_gen.train.offline.drawing import Sampling

    torch.set_num_threads(1)
    if ours:
        keep_memory()
        model = _ours(name)
        sampling = Sampling(model, torch.device("cpu"))
    plain = _plain(name)
    with os.fdopen(orders) as told, os.fdopen(answers, "w") as answer, torch.no_grad():
        while seconds := float(told.readline() or 0):
            images, start = -IMAGES, time.process_time()  # the first ones are not counted
            while images <= 0 or time.process_time() - start < seconds:
                sampling.of(torch.randn(IMAGES, *model.noise_shape), None) if ours else plain()
                images += IMAGES
                start = start if images else time.process_time()
            print(images / (time.process_time() - start), file=answer, flush=True)


def decoding(name: str, what: str, settings: Settings, base: Path, root: str) -> Figure:
    """64 samples at a time, each side in a process of its own."""
    ours, plain = Maker(name, True), Maker(name, False)
    pairs = [(ours.speed(settings.seconds), plain.speed(settings.seconds)) for _ in range(settings.pairs)]
    for maker in (ours, plain):
        maker.speed(0)
    for _ in range(2):
        os.wait()
    return ratio(f"sampling-{name}", what, pairs, 1.5, "images/s of a core")


def command(settings: Settings, base: Path, root: str) -> Figure:
    """`tui-gen sample -n 10000` of a VAE, from the command to the picture, beside a script with torchvision."""
    import torch

    from tests import textbook

    path = make_run(bare(tables_of("vae", root, steps=20, threads=1)))
    process = launch.start(path)
    process.wait(300)
    if (state := runs.state_of(path)[0]) != "finished":
        raise RuntimeError(f"the run {state}: {runs.last_log_lines(path, 3)}")
    weights = base / "plain.pt"
    torch.save(textbook.TextbookVAE().state_dict(), weights)
    plain = [sys.executable, "-c", SCRIPT, str(weights), str(base / "plain.png"), str(MANY)]
    ours = [sys.executable, "-m", "tui_gen", "sample", str(path), "-n", str(MANY), "-o", str(base / "ours.png")]
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        for line in (ours, plain):
            subprocess.run(line, check=True, capture_output=True)
        pairs = [(MANY / processor_seconds(ours), MANY / processor_seconds(plain)) for _ in range(settings.pairs)]
    finally:
        os.environ.pop("OMP_NUM_THREADS") if before is None else os.environ.update(OMP_NUM_THREADS=before)
    return ratio("sampling-many", "sample -n 10000 of a VAE ÷ a script", pairs, 1.5, "images/s of a core")


WHAT = {"ddpm": "DDIM-50, U-Net 28 px", "vae": "MLP VAE, decoding", "gan": "MLP GAN, generating"}
BENCHMARKS: dict[str, Callable[[Settings, Path, str], Figure]] = {
    f"sampling-{name}": functools.partial(decoding, name, f"{what} ÷ plain loop") for name, what in WHAT.items()
} | {"sampling-many": command}
