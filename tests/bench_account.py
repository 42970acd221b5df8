"""Where a step's time goes, operation by operation, and what it would be at the best rate of this machine.

`python -m tests.bench account-vae account-gan`; by itself, with the products one by one and for other numbers of
threads: `python -m tests.bench_account NAME --root DIR [--threads N] [--compile on]`.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.bench import Figure, Settings
from tui_gen import launch

WARM, TIMED, TRACED = 60, 600, 60
"""Steps that are not counted, that are timed, and that are traced: tracing slows small operations, so what a step takes
is measured without."""
BLOCK = 20
"""Steps to a time: the median of the blocks is what counts."""
PRODUCTS = {"aten::addmm", "aten::mm", "mkldnn::_linear_pointwise"}
OUTPUT, OF_INPUT, OF_WEIGHTS = "outputs", "gradients of inputs", "gradients of weights"
OPTIMISER, ELSE, DATA, REST = "optimiser", "element by element", "data", "Python, loop, meter, log"


class Product(msgspec.Struct):
    """One of a step's matrix products, (n, k) · (k, m): what for, how often in a step, microseconds in the step each
    time, and alone by MKL and by oneDNN with factors that lie in memory as they do there."""

    kind: str
    n: int
    k: int
    m: int
    times: float
    taken: float
    mkl: float = 0.0
    onednn: float = 0.0

    @property
    def operations(self) -> float:
        """Multiplications and additions of one."""
        return 2.0 * self.n * self.k * self.m


class Account(msgspec.Struct):
    """What a step takes: microseconds of all of it and of its parts, its products, the operations a second of the best
    product of this machine, and microseconds of the optimisers' updates alone."""

    step: float
    parts: dict[str, float]
    products: list[Product]
    best: float
    update: float
    batch: int
    compiled: bool
    threads: int

    @property
    def operations(self) -> float:
        """Those in a step's products."""
        return sum(product.operations * product.times for product in self.products)

    @property
    def alone(self) -> float:
        """Microseconds of a step's products where each is alone and by the faster library."""
        return sum(min(product.mkl, product.onednn or product.mkl) * product.times for product in self.products)

    @property
    def ideal(self) -> float:
        """Microseconds of a step's products at the rate of the best one."""
        return 1e6 * self.operations / self.best

    @property
    def bound(self) -> float:
        """The share of the best product's rate that steps would reach which were nothing but their products and
        updates, each as fast as it is alone, by the faster library."""
        return self.ideal / (self.alone + self.update)


def account(name: str, root: str, threads: int, compile: str) -> Account:
    """The account of a benchmark's step, as a run makes it, with previews and the like off; in this process."""
    import torch

    from tests import bench_trainer, product_rate, small_runs
    from tui_gen import config as configs
    from tui_gen import runs
    from tui_gen.log import event_log
    from tui_gen.train.run.loop import RunLoop

    torch.set_num_threads(threads)
    torch._inductor.config.cpp.enable_kernel_profile = True
    steps = WARM + TIMED + TRACED
    tables = bench_trainer.bare(bench_trainer.tables_of(name, root, compile=compile, threads=threads, steps=steps))
    with tempfile.TemporaryDirectory() as folder:
        catalog = small_runs.built()[0]
        config = configs.load(tables, catalog)
        path = runs.create(Path(folder), "account", configs.dumps(config, catalog))
        trainer = small_runs.trainer(config.model.name, tables)
        settings = configs.keys(config.model.name, config.dataset.name, catalog)
        loop = RunLoop(path, trainer, event_log.EventWriter(path / runs.LOG), settings)
        watch = _Watch(trainer.stream.next)
        trainer.stream.next = watch
        loop.run()
        compiled = loop.computing.compiled
    batch = trainer.stream.batch_size
    parts, products = _sorted(watch.events(), batch)
    step = watch.step()
    parts[DATA] = watch.data()
    parts[REST] = step - sum(parts.values())
    for product in products:
        product.mkl, product.onednn = _alone(product)
    update = sum(_update_alone(trainer, phase.name) / phase.every() for phase in trainer.phases)
    return Account(step, parts, products, product_rate.best_rate(), update, batch, compiled, threads)


def _update_alone(trainer: Any, phase: str) -> float:
    """Microseconds of one update of a phase's weights, again and again."""
    import torch

    from tests.product_rate import rate

    for parameter in trainer.parameters[phase]:
        parameter.grad = torch.full_like(parameter, 1e-3)  # zeros would leave numbers too small to be fast
    return 1e6 / rate(trainer.optimizers[phase].step, 1)


class _Watch:
    """Stands in front of a stream, and knows by it when a step begins: times some, traces others."""

    def __init__(self, following: Callable[[], Any]) -> None:
        import torch

        self.following, self.calls = following, 0
        # One thread is timed by what it has of a core, so that other processes make no difference.
        self.clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
        self.blocks: list[float] = []
        self.reads: list[float] = []
        self.trace = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True)

    def __call__(self) -> Any:
        start = self.clock()
        timed = WARM <= self.calls <= WARM + TIMED
        if timed and (self.calls - WARM) % BLOCK == 0:
            self.blocks.append(start)
        if self.calls == WARM + TIMED:
            self.trace.__enter__()
        self.calls += 1
        found = self.following()
        if timed:
            self.reads.append(self.clock() - start)
        if self.calls == WARM + TIMED + TRACED:
            self.trace.__exit__(None, None, None)
        return found

    def step(self) -> float:
        """Microseconds of one."""
        return 1e6 * statistics.median(b - a for a, b in zip(self.blocks, self.blocks[1:])) / BLOCK

    def data(self) -> float:
        """Microseconds of a batch. Batches are made several at a time."""
        blocks = [sum(self.reads[start : start + BLOCK]) for start in range(0, TIMED, BLOCK)]
        return 1e6 * statistics.median(blocks) / BLOCK

    def events(self) -> Iterator[tuple[str, list[Any], float, float]]:
        """(name, shapes, times in a step, microseconds each) of all that was traced: medians, of which what else the
        machine does disturbs few."""
        groups: dict[tuple[str, str], list[Any]] = defaultdict(list)
        for event in self.trace.events():
            groups[event.name, str(event.input_shapes)].append(event)
        for (name, _), events in groups.items():
            each = statistics.median(event.self_cpu_time_total for event in events)
            yield name, events[0].input_shapes, len(events) / (TRACED - 1), each


def _sorted(
    events: Iterator[tuple[str, list[Any], float, float]], batch: int
) -> tuple[dict[str, float], list[Product]]:
    """Microseconds of a step's parts, and its products."""
    parts: Counter[str] = Counter({part: 0.0 for part in (OUTPUT, OF_INPUT, OF_WEIGHTS, ELSE, OPTIMISER)})
    products = []
    for name, shapes, times, each in events:
        if name in PRODUCTS:
            added = shapes[0] if name == "aten::addmm" else []  # a bias, or another part of the same gradient
            (n, k), right = shapes[bool(added) :][:2]
            m = right[0] if name.startswith("mkldnn") else right[1]
            # The benchmarks' batches are as long as no layer is wide whose input has a gradient.
            kind = OUTPUT if len(added) == 1 else OF_WEIGHTS if k in (batch, 2 * batch) else OF_INPUT
            products.append(Product(kind, n, k, m, times, each))
        else:
            kind = OPTIMISER if "_fused_adam" in name else ELSE
        if name.startswith(("aten::", "mkldnn::", "tui_gen::")) or "cpp_fused" in name:
            parts[kind] += times * each
    return dict(parts), sorted(products, key=lambda product: -product.times * product.taken)


def _alone(product: Product) -> tuple[float, float]:
    """Microseconds of a product by MKL and by oneDNN (0 where there is none)."""
    import torch

    from tests import product_rate
    from tests.product_rate import rate
    from tui_gen.train.tuned import onednn

    product_rate.SECONDS = 0.1
    n, k, m = product.n, product.k, product.m
    left = torch.randn(k, n).t() if product.kind == OF_WEIGHTS else torch.randn(n, k)
    right = torch.randn(m, k).t() if product.kind == OUTPUT else torch.randn(k, m)
    bias = torch.randn(m) if product.kind == OUTPUT else None
    plain = (lambda: left @ right) if bias is None else lambda: torch.addmm(bias, left, right)
    times = [product.operations / rate(plain, int(product.operations))]
    if onednn.works():
        times.append(product.operations / rate(lambda: onednn.product(left, right, bias), int(product.operations)))
    return tuple(1e6 * seconds for seconds in (*times, 0.0)[:2])  # type: ignore[return-value]


def table(found: Account) -> Iterator[str]:
    """The account in lines."""
    words = f"{'' if found.compiled else 'not '}compiled, {found.threads} threads, batch {found.batch}"
    yield f"{found.step:,.0f} µs a step ({1e6 * found.batch / found.step:,.0f} images/s), {words}"
    lines = [(taken, part) for part, taken in sorted(found.parts.items(), key=lambda item: -item[1])]
    lines.append((found.ideal, f"would be its products at {found.best / 1e9:,.0f} GFLOP/s, the best product's rate"))
    lines.append((found.alone, "are its products alone, each by the faster library"))
    lines.append((found.update, "are its updates alone"))
    for taken, what in lines:
        yield f"{taken:>9,.0f} µs  {taken / found.step:>4.0%}  {what}"
    share = found.ideal / found.step
    yield f"of the best rate: {share:.0%}; {found.bound:.0%} if there were nothing but these two, alone"
    yield f"{'what for':<22}{'(n, k) · (k, m)':>18}  {'a step':>6}  {'µs':>6}  {'MKL':>6}  {'oneDNN':>6}  GFLOP/s"
    for product in found.products:
        shape = f"{product.n}, {product.k}, {product.m}"
        rate = product.operations / product.taken / 1e3
        alone = f"{product.mkl:>6.0f}  {product.onednn:>6.0f}"
        yield f"{product.kind:<22}{shape:>18}  {product.times:>6.2f}  {product.taken:>6.0f}  {alone}  {rate:>7.0f}"


def of_limit(name: str, settings: Settings, base: Path, root: str) -> Figure:
    """The share of the best product's rate that a step reaches, with its parts; in a process like a worker."""
    words = [sys.executable, "-m", "tests.bench_account", name, "--root", root, "--json"]
    done = subprocess.run(words, env=launch.environment(), stdout=subprocess.PIPE, check=True, timeout=300)
    found = msgspec.json.decode(done.stdout.splitlines()[-1], type=Account)
    parts = ", ".join(f"{part} {taken:,.0f}" for part, taken in found.parts.items())
    detail = f"{found.step:,.0f} µs: {parts}; {found.bound:.0%} with nothing but products and updates, each alone"
    share, what = found.ideal / found.step, "a step, not compiled, of the best product's rate"
    return Figure(f"account-{name}", what, share, share, share, "≥ 0.7", share >= 0.7, detail)


BENCHMARKS: dict[str, Callable[[Settings, Path, str], Figure]] = {
    f"account-{name}": functools.partial(of_limit, name) for name in ("vae", "gan")
}


def main() -> int:
    """Measure and print."""
    if not launch.environment().items() <= os.environ.items():  # a worker's memory is kept, as is fixed at the start
        os.execve(sys.executable, sys.orig_argv, launch.environment())
    from tests import bench_trainer

    parser = argparse.ArgumentParser(prog="python -m tests.bench_account", description=__doc__)
    parser.add_argument("name", choices=bench_trainer.MODELS)
    parser.add_argument("--root", required=True, help="folder that holds MNIST/raw")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", choices=("on", "off"), default="off")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = account(given.name, given.root, given.threads, given.compile)
    print(msgspec.json.encode(found).decode() if given.json else "\n".join(table(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
