"""Real steps with more and more examples at once, to see what memory they take: `python -m tui_gen.train.offline.fit`.

It reads a `FitRequest` as JSON from its standard input and writes a `FitReply` to its standard output.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import msgspec
import torch

from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import dependencies, trust
from tui_gen.train import discover
from tui_gen.train.data import DataError, dataset_of
from tui_gen.train.data.matching import load_as
from tui_gen.train.engine.building import RefusedError, TrainingError, build_model
from tui_gen.train.engine.devices import enter, lacks_memory, pick_device
from tui_gen.train.engine.layers import CONTEXT, _room
from tui_gen.train.engine.trainer import Trainer
from tui_gen.train.run import other_runs
from tui_gen.verdicts.fitting import FitReply, FitRequest, Try, expected
from tui_gen.verdicts.network import SAFE

STEPS = 3
"""Steps of each size: the first makes the optimiser's state, the others reuse what was given back."""


def tries(trainer: Trainer, room: int, most: int) -> list[Try]:
    """What steps take with one example at once, two, four, … up to `most`, as far as they should fit."""
    sizes = [1 << power for power in range(most.bit_length()) if 1 << power < most] + [most]
    x, labels = trainer.stream.next()
    attempts: list[Try] = []
    least = 2 if len(x) > 1 else 1  # batch statistics of one example are none
    for size in (size for size in sizes if size >= min(least, most)):
        if attempts and expected(attempts, size) > room:
            break
        try:
            _begin(trainer.device)
            for _ in range(STEPS):
                trainer.train_step(0.0, (x[:size], None if labels is None else labels[:size]))
            trainer.meter.flush()
        except RuntimeError as error:
            if not lacks_memory(error):
                raise
            attempts.append(Try(size, 0))
            break
        attempts.append(Try(size, _peak(trainer.device)))
        if attempts[-1].peak > room * (1 + SAFE) / 2:
            break
    return attempts


def _begin(device: torch.device) -> None:
    """Peaks count from here on."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return CONTEXT + torch.cuda.max_memory_reserved(device)
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def reply(request: FitRequest) -> FitReply:
    """What fits, or why that cannot be told."""
    try:
        catalogue, classes = discover.build(trust.given())
        config = configs.load(request.tables, catalogue)
        most, config.train.accumulate = config.train.batch_size, 1
        if config.train.threads:
            torch.set_num_threads(config.train.threads)
        device = pick_device(config.train.device)
        enter(device)
        model_class = classes.models[config.model.name]
        if dependencies.needs(config, catalogue):
            catalogue.recipes, _ = catalogs.recipes()

        def parts_for(spec: Any) -> Any:
            parts, problems = other_runs.foreseen(config, catalogue, classes, spec)
            if problems:
                raise RefusedError(problems)
            return parts

        def told_labels(spec: Any) -> bool:
            return build_model(model_class, config.model.values, spec, parts_for(spec)).told_labels

        dataset = dataset_of(config.dataset, classes.datasets)
        seed = config.train.seed
        data = load_as(None, dataset, device, told_labels, seed=seed, report=lambda event: None)
        parts = parts_for(data.spec)
        trainer = Trainer(model_class, config, data, device, lambda steps: config.train.steps or None, parts)
        _, room = _room(device)
        return FitReply(tries(trainer, room, most), room, str(device))
    except (DataError, TrainingError, configs.ConfigError) as error:
        return FitReply(words=str(error))
    except (OSError, MemoryError, RuntimeError, ValueError) as error:
        return FitReply(words=f"{type(error).__name__}: {error}")


def main() -> None:
    """Answer the one request."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=FitRequest)
    target, sys.stdout = sys.stdout, sys.stderr  # what a user's own model prints is no answer
    target.buffer.write(msgspec.json.encode(reply(request)))
    target.flush()


if __name__ == "__main__":
    main()
