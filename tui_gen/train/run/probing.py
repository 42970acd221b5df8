"""Finding out beside a run whether torch.compile pays, for later runs: `python -m tui_gen.train.run.probing RUN …`.

A process of its own compiles what the run trains and measures it, on what the run leaves of the cores: everybody else
goes first. It ends with the run. What it has compiled until then is kept by PyTorch, so that the next one gets further.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tui_gen import children, machine
from tui_gen.places import cache_dir

if TYPE_CHECKING:
    from tui_gen.train.engine.trainer import Trainer

AFTER = 5.0
"""Seconds of training before it begins: the shortest runs are left alone."""
ROOM = 2_000_000_000
"""Bytes of memory that must be free, here or in the container: twice what it takes, data apart."""
ENVIRONMENT = {"TORCHINDUCTOR_COMPILE_THREADS": "1", "GOMP_SPINCOUNT": "0", "OMP_WAIT_POLICY": "passive"}
"""It has no helpers that know nothing of its place in the queue, and waits asleep."""


class Probing:
    """The run's side: the process is begun a while after the first step, and its answer told."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._key, self._products = "", ""
        self._note: Callable[[str], None] = print
        self._since: float | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, products: str, note: Callable[[str], None], key: str) -> None:
        """Have it found out for a key of `compile_choice`; `products` is what computes the run's."""
        self._products, self._note, self._key = products, note, key

    def look(self, now: float) -> None:
        """Begin when it is time to, and tell what came of it; `now` is the seconds of a clock."""
        if self._process is not None:
            self._tell()
        elif self._key:
            self._since = now if self._since is None else self._since
            if now - self._since >= AFTER and self._there_is_room(now):
                self._begin()

    def close(self) -> None:
        """End the process, with what it has started."""
        process, self._process, self._key = self._process, None, ""
        if process is None:
            return
        if process.poll() is None:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin is not None:
            process.stdin.close()

    def _there_is_room(self, now: float) -> bool:
        """Whether the run loses no memory that it may yet need; else it is asked again after a while."""
        free, total = machine.memory()
        if not total or free >= ROOM:
            return True
        self._since = now
        return False

    def _begin(self) -> None:
        import torch

        words = [self._run.resolve(), self._key, torch.get_num_threads(), self._products]
        try:
            # Its standard input ends with this process, however that ends. It stays in this session, which the system
            # may give its share of the cores as a whole.
            self._process = children.start(
                "tui_gen.train.run.probing", *words, env=os.environ | ENVIRONMENT,
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, process_group=0,
            )  # fmt: skip
        except OSError:  # no more processes are allowed here
            self._key = ""

    def _tell(self) -> None:
        from tui_gen.train.engine import compile_choice

        assert self._process is not None
        if self._process.poll() is None:
            return
        probe = compile_choice.remembered(self._key)
        if probe is not None:
            self._note(f"{probe}: in later runs of this model and size" if probe.ratio else str(probe))
        self.close()


def main() -> int:
    """The process: 0 once the answer is written down."""
    parser = argparse.ArgumentParser(prog="python -m tui_gen.train.run.probing", description=main.__doc__)
    parser.add_argument("run", type=Path, help="the run whose model it is about")
    parser.add_argument("key", help="what the answer is written down for")
    parser.add_argument("threads", type=int, help="the threads it trains with")
    parser.add_argument("products", help="what computes its matrix products")
    args = parser.parse_args()
    threading.Thread(target=end_with_owner, daemon=True).start()
    give_way()
    return found_out(args.run, args.key, args.threads, args.products)


def give_way() -> None:
    """Compute only where a core has nothing else to do, and be the first to go where memory runs out."""
    with contextlib.suppress(OSError):
        os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def end_with_owner() -> None:
    """Wait for the end of standard input, then end this process and the compilers that it has started."""
    while os.read(0, 64):
        pass
    os.killpg(0, signal.SIGKILL)


def found_out(run: Path, key: str, threads: int, by: str) -> int:
    """Measure what compiling gains for a run, unless another process has just done so; one does at a time."""
    from tui_gen.train.data.locks import only_one
    from tui_gen.train.engine import compile_choice

    folder = cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    with only_one(folder / "compile.lock", "measuring", lambda _: None):
        if compile_choice.remembered(key) is None:
            compile_choice.remember(key, compile_choice.measured(trainer_of(run, threads, by)))
    return 0


def trainer_of(run: Path, threads: int, by: str) -> Trainer:
    """What a run trains, from its folder, as it is before the first step. Raises what its parts raise."""
    import torch

    from tui_gen import config as configs
    from tui_gen import trust
    from tui_gen.train import discover
    from tui_gen.train.data import dataset_of
    from tui_gen.train.data.matching import load_as
    from tui_gen.train.engine.building import build_model
    from tui_gen.train.engine.devices import be_deterministic
    from tui_gen.train.engine.trainer import Trainer
    from tui_gen.train.tuned import products

    torch.set_num_threads(threads)
    tables = configs.read_toml(run / "config.toml")
    trust.refuse(dirs := trust.named(tables), str(run / "config.toml"))
    catalogue, classes = discover.build(list(dict.fromkeys([*trust.given(), *dirs])))
    config = configs.load(tables, catalogue, str(run / "config.toml"))
    model_class, values = classes.models[config.model.name], config.model.values
    device = torch.device("cpu")
    be_deterministic(config.train.deterministic)
    data = load_as(
        None, dataset_of(config.dataset, classes.datasets), device,
        lambda spec: build_model(model_class, values, spec, {}).told_labels,
        seed=config.train.seed, report=lambda _: None,
    )  # fmt: skip
    trainer = Trainer(model_class, config, data, device)
    products.use(trainer.model, by)
    return trainer


if __name__ == "__main__":
    sys.exit(main())
