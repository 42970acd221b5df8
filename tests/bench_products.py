"""What linear layers gain whose products are oneDNN's and not MKL's: `python -m tests.bench products-vae products-gan`.

Two trainers in this process take turns of a few steps, one with each; nothing is compiled. A run takes oneDNN's only
where a measurement of its own says that they are clearly the faster ones (`tui_gen.train.tuned.products`), and the line
says what that found here: elsewhere the figure says what a run is spared.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench import Figure, Settings, ratio
from tests.bench_health import WHAT, trainer_of
from tests.bench_processes import keep_memory

STEPS, WARM = 20, 10
"""Steps of a turn, and those before the first that are not counted."""


def measured(name: str, settings: Settings, base: Path, root: str) -> Figure:
    """Images a second with oneDNN's products ÷ with MKL's."""
    import torch

    from tui_gen.train.tuned import products

    keep_memory()
    threads = torch.get_num_threads()
    ours, theirs = (trainer_of(name, root, threads=threads) for _ in range(2))
    images = STEPS * ours.stream.batch_size
    by, gain = products.choose(theirs.model, ours.stream.batch_size, ours.device, ours.precision)
    words = f"a run takes {by}" + (f", which {gain:.2f} × as fast a layer says" if gain else ", unmeasured here")
    if not products.use(ours.model, products.ONEDNN):
        return Figure(f"products-{name}", WHAT[name], 0.0, 0.0, 0.0, "–", False, "PyTorch has no oneDNN here")

    def rate(trainer: Any, steps: int = STEPS) -> float:
        begun = time.perf_counter()
        for _ in range(steps):
            trainer.train_step()
        trainer.meter.flush()
        return images / (time.perf_counter() - begun)

    for trainer in (ours, theirs):
        rate(trainer, WARM)
    pairs = [(rate(ours), rate(theirs)) for _ in range(max(10, 4 * settings.pairs))]
    return ratio(f"products-{name}", f"{WHAT[name]}, oneDNN ÷ MKL; {words}", pairs, 1.1, "images/s")


BENCHMARKS: dict[str, Callable[[Settings, Path, str], Figure]] = {
    f"products-{name}": functools.partial(measured, name) for name in ("vae", "gan")
}
