"""How fast this machine multiplies matrices, and how much of that an image takes: `python -m tests.product_rate NAME
--root DIR`, for a model of `tests.bench_trainer`.

Prints JSON: `best`, the multiplications and additions a second of the fastest matrix product that was tried, by either
library that PyTorch has, and `each`, how many of them the products and convolutions of one image's training take.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from tests import bench_trainer, small_runs
from tui_gen.train.tuned import onednn

SIZES = ((2048, 2048, 2048), (1024, 1024, 1024), (512, 1024, 1024), (128, 784, 400), (64, 1024, 784))
"""(N, K, M) of the products that are tried: big ones, and those of the benchmarks' layers."""
SECONDS = 0.4
"""For each product."""
STEPS = 10
"""Of training that are counted: phases take turns, with five to a turn."""


def rate(product: Callable[[], Any], operations: int) -> float:
    """Operations a second, the best of what it does in a while."""
    product()
    best, deadline = float("inf"), time.perf_counter() + SECONDS
    while best == float("inf") or time.perf_counter() < deadline:  # once at least, whatever else wants the cores
        start = time.perf_counter()
        product()
        best = min(best, time.perf_counter() - start)
    return operations / best


def best_rate() -> float:
    """Operations a second of the fastest product."""
    rates = []
    for n, k, m in SIZES:
        left, right, rows = torch.randn(n, k), torch.randn(k, m), torch.randn(m, k).t()
        rates.append(rate(lambda left=left, right=right: left @ right, 2 * n * k * m))
        if onednn.works():
            rates.append(rate(lambda left=left, right=rows: onednn.product(left, right, None), 2 * n * k * m))
    return max(rates)


class Counter(TorchDispatchMode):
    """Adds up the operations in products and convolutions. (PyTorch's own FlopCounterMode follows modules as well, and
    raises where gradients are differentiated again.)"""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if (count := flop_registry.get(func._overloadpacket)) is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def operations(name: str, root: str) -> float:
    """Operations in the products and convolutions of one image's training, its gradients with it."""
    tables = bench_trainer.tables_of(name, root, compile="off", threads=1)
    trainer = small_runs.trainer(tables["model"]["name"], tables)
    with Counter() as counter:
        for _ in range(STEPS):
            trainer.train_step()
    return counter.total / (STEPS * trainer.stream.batch_size)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.product_rate", description=__doc__)
    parser.add_argument("name", choices=bench_trainer.MODELS)
    parser.add_argument("--root", required=True, help="folder that holds MNIST/raw")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    best = best_rate()
    print(msgspec.json.encode({"best": best, "each": operations(given.name, given.root)}).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
