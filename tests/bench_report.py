"""What a report costs: figures of `python -m tests.bench runs` (see `tests.bench`)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from tests.bench import Figure, Settings
from tests.bench_exports import METRICS, STEPS, long_run

SAMPLES, SECONDS, BYTES = 100, 2.0, 5_000_000


def add_samples(run: Path) -> None:
    """Grids of 8 × 8 tiles of 32 × 32 pixels, smooth with some noise, as many as a long run has."""
    import numpy as np
    from PIL import Image

    from tui_gen import events
    from tui_gen.log import event_log

    rng, tile, tiles = np.random.default_rng(1), 32, 8
    side = tiles * (tile + 1) - 1
    across = np.linspace(0, 12, side)
    log = event_log.EventWriter(run / "events.jsonl")
    for number in range(SAMPLES):
        smooth = np.sin(across[:, None] + number / 9) * np.cos(across[None])
        pixels = 128 + 90 * smooth + rng.normal(0, 12, (side, side))
        step = number * STEPS // SAMPLES
        path = f"samples/{step:06d}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(run / path)
        grid = {"columns": tiles, "rows": tiles, "tile": (tile, tile), "gap": 1}
        log.write(events.Sample(t=1.8e9 + step / 100, step=step, path=path, **grid))  # type: ignore[arg-type]
    log.write(events.State(t=1.8e9 + STEPS / 100, state="finished", step=STEPS))
    log.close()


def report(settings: Settings, base: Path, mnist: str) -> Iterable[Figure]:
    """The report of a long run: the command from its start to its end, and what it takes inside that; its size."""
    from tui_gen.report import exports

    run, form = long_run(base / "reported"), exports.form_of("html")
    add_samples(run)
    inside, whole, busy, sizes = [], [], [], []
    for turn in range(max(3, settings.pairs // 2)):
        target = base / f"report-{turn}.html"
        begin = time.perf_counter()
        exports.save(form, exports.Order(run, form.options()), str(target))
        inside.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        command = [sys.executable, "-m", "tui_gen", "export", str(run), "--as", "html", "-o", f"{target}.too"]
        before = os.times()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        whole.append(time.perf_counter() - begin)
        busy.append(after.children_user + after.children_system - before.children_user - before.children_system)
        sizes.append(os.path.getsize(target))
    figures = (
        (whole, "seconds of the command, by the clock"),
        (busy, "seconds of the command, of a processor"),
        (inside, "seconds of the export alone, by the clock"),
    )
    for times, what in figures:
        middle = median(times)
        yield Figure(
            "runs-report", what, middle, min(times), max(times), f"≤ {SECONDS:g} s", middle <= SECONDS,
            f"{STEPS:,} steps of {METRICS} metrics, {SAMPLES} previews", unit="s", digits=2,
        )  # fmt: skip
    size = max(sizes)
    yield Figure(
        "runs-report", "bytes", size / 1e6, size / 1e6, size / 1e6, f"≤ {BYTES / 1e6:g} MB", size <= BYTES,
        "of the same", unit="MB", digits=2,
    )  # fmt: skip


BENCHMARKS = {"runs-report": report}
