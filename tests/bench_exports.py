"""What exports cost: figures of `python -m tests.bench runs` (see `tests.bench`)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from tests.bench import Figure, Settings

METRICS, STEPS = 20, 50_000


def long_run(folder: Path) -> Path:
    """A finished run of 20 metrics, a value a step each."""
    import numpy as np

    from tests import fake_worker
    from tui_gen import columns, events
    from tui_gen.log import event_log

    run, rng, t = fake_worker.make_run(folder), np.random.default_rng(0), 1.8e9
    log = event_log.EventWriter(run / "events.jsonl")
    log.write(events.State(t=t, state="running", step=0))
    for start in range(0, STEPS, 500):
        values = {f"part/{name}": columns.column(rng.normal(size=500).tolist()) for name in range(METRICS)}
        log.write(events.Metrics(t=t + start / 100, start=start, values=values))
        log.write(events.System(t=t + start / 100, step=start, steps_per_second=100, images_per_second=100))
    log.write(events.State(t=t + STEPS / 100, state="finished", step=STEPS))
    log.close()
    return run


def tables(settings: Settings, base: Path, mnist: str) -> Iterable[Figure]:
    """Values a second that are written and read back: of a run that was read, and with the reading of its log."""
    from tui_gen.report import exports

    run = long_run(base / "runs")
    for name, aim in (("tensorboard", 200_000.0), ("parquet", 200_000.0)):
        form, alone, whole = exports.form_of(name), [], []
        for turn in range(max(3, settings.pairs // 2)):
            order = exports.Order(run, form.options())
            begin = time.perf_counter()
            values = sum(len(curve) for curve in order.view.series.values())
            read = time.perf_counter()
            exports.save(form, order, str(base / f"{name}-{turn}"))
            end = time.perf_counter()
            alone.append(values / (end - read))
            whole.append(values / (end - begin))
        alone.sort()
        middle = alone[len(alone) // 2]
        detail = f"of {values:,}, written and read back; {sorted(whole)[len(whole) // 2]:,.0f} with reading the log"
        yield Figure(f"runs-{name}", "values a second", middle, alone[0], alone[-1], f"≥ {aim:,.0f}", middle >= aim,
                     detail, unit="/s")  # fmt: skip


BENCHMARKS = {"runs-exports": tables}
