"""What a run takes from the command line beside a plain script, cold: `python -m tests.bench cold`.

To its first step beside `import torch`, to the end of 2,000 steps beside the textbook loop, and the memory of both.
Seconds of the clock are those that somebody waits; those of the processor change least on a busy machine. With
`--beside DIR` another checkout is measured, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.bench import Figure, Settings, ratio
from tests.process_tree import cpu_seconds, family

ROOT = Path(__file__).resolve().parents[1]
STEPS = 2_000


def seconds(command: Sequence[str], checkout: Path = ROOT) -> tuple[float, float]:
    """Seconds of the clock that a command took, and those of the processor with its children's. Raises
    CalledProcessError where it fails.
    """
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=checkout)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def processor_seconds(command: Sequence[str]) -> float:
    """Those of the processor alone."""
    return seconds(command)[1]


def to_the_first_step(checkout: Path) -> tuple[float, float]:
    """Seconds from the command line to the first metrics in the run's log: of the clock, and of the processor."""
    command = [_python(checkout), "-m", "tui_gen", "--run", "vae-digits", "--json", "--set", "train.steps=2000"]
    start = time.time()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=checkout) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                event = json.loads(line)
                if event["type"] == "metrics":
                    return event["t"] - start, cpu_seconds(process.pid)
            raise RuntimeError("it ended without a step")
        finally:
            process.terminate()
            process.stdout.read()


def a_tiny_run(checkout: Path) -> tuple[float, float]:
    """Seconds from the command line to the end of 12 steps, and their summary."""
    words = ["-m", "tui_gen", "--run", "vae-digits", "--plain", "--set", "train.steps=12"]
    return seconds([_python(checkout), *words], checkout)


def _python(checkout: Path) -> str:
    return sys.executable if checkout == ROOT else str(checkout / ".venv" / "bin" / "python")


def cold(settings: Settings, base: Path, root: str) -> Iterator[Figure]:
    """To the first step, and 12 steps to their end, ÷ `import torch`, for this checkout and, in turn, for another."""
    checkouts = {"this": ROOT} | ({"the other": Path(settings.beside).resolve()} if settings.beside else {})
    measures: dict[str, tuple[Callable[[Path], tuple[float, float]], float]] = {
        "first step": (to_the_first_step, 1.15),
        "a tiny run": (a_tiny_run, 1.5),
    }
    taken: dict[tuple[str, str], list[tuple[tuple[float, float], tuple[float, float]]]] = {}
    for checkout in checkouts.values():  # compiled and read once, by all that is measured
        to_the_first_step(checkout)
    for _ in range(settings.pairs):
        for name, checkout in checkouts.items():
            loaded = seconds([_python(checkout), "-c", "import torch"], checkout)
            for what, (measure, _) in measures.items():
                taken.setdefault((what, name), []).append((measure(checkout), loaded))
    for (what, name), pairs in taken.items():
        for which, unit in enumerate(("ms", "ms of a core")):
            sides = [(1000 * ours[which], 1000 * theirs[which]) for ours, theirs in pairs]
            yield ratio("cold", f"{what} ÷ import torch, {name}", sides, measures[what][1], unit, True)


def two_thousand(settings: Settings, base: Path, root: str) -> Iterator[Figure]:
    """The plain script ÷ `tui-gen --run`, 2,000 steps of the MLP VAE on MNIST from the command line to what each
    leaves (weights, samples), as long as they take and as much memory; uncompiled, and compiled from what an earlier
    run left.
    """
    from tests.bench_trainer import tables_of
    from tui_gen import catalog as catalogs
    from tui_gen import config as configs

    script = [sys.executable, "-m", "tests.textbook", "vae", "--root", root, "--steps", str(STEPS)]
    script += ["--out", str(base / "textbook")]
    for wish in ("off", "on"):
        tables = tables_of("vae", root, steps=STEPS, compile=wish)
        catalog = catalogs.ensure()
        config = base / f"vae-{wish}.toml"
        config.write_text(configs.dumps(configs.load(tables, catalog), catalog))
        ours = [sys.executable, "-m", "tui_gen", "--run", str(config), "--plain"]
        seconds(ours)
        rounds = [(seconds(script), seconds(ours)) for _ in range(settings.pairs)]
        words = f"2,000 VAE steps {'compiled' if wish == 'on' else 'not compiled'}"
        for which, (unit, aim) in enumerate((("ms", 2.3), ("ms of a core", 2.3))):
            sides = [(1000 * theirs[which], 1000 * mine[which]) for theirs, mine in rounds]
            yield ratio("cold-2000", f"plain script ÷ {words}", sides, aim if wish == "off" else 1.0, unit)
        most = [(_most_memory(ours) / 1e6, _most_memory(script) / 1e6)]
        yield ratio("cold-2000", f"most memory, {words} ÷ plain script", most, 1.0, "MB", True)


def _most_memory(command: Sequence[str]) -> float:
    """The most bytes that a command and all below it had at a time."""
    over, most = threading.Event(), [0.0]

    def watch() -> None:
        while not over.wait(0.1):
            most.append(sum(map(_resident, family(os.getpid())[1:])))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        seconds(command)
    finally:
        over.set()
        watcher.join()
    return max(most)


def _resident(pid: int) -> float:
    """Bytes of memory that are a process's own, and its part of what it shares with others."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024.0 * int(line.split()[1])
    return 0.0


BENCHMARKS = {"cold": cold, "cold-2000": two_thousand}
