"""How fast drawing is and how many bytes it costs: `python -m tests.bench_draw` prints a table.

Times are medians on this machine; trust the ratios.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import groupby

import numpy as np

from tui_gen.draw import kitty, sixel
from tui_gen.draw.blocks import to_ansi
from tui_gen.draw.curves import Frame, FrameOptions, Plot, Series, render
from tui_gen.draw.text import Row, Run, width_of


def median_ms(action: Callable[[], object], repeat: int = 7) -> float:
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def metrics(points: int) -> list[Series]:
    rng, x = np.random.default_rng(0), np.arange(points)
    scales = (("total", 3, 0.5), ("recon", 2, 0.3), ("kl", 1, 0.05))
    return [Series(n, x, (a * np.exp(-5 * x / points) + b) * (1 + 0.1 * rng.normal(size=points))) for n, a, b in scales]


def cells_of(row: Row) -> list[Run]:
    """One (character, style key) per cell; the second cell of a wide character has the character ""."""
    cells: list[Run] = []
    for text, style in row:
        if text.isascii():
            cells += [(c, style) for c in text]
        else:
            for c in text:
                wide = width_of(c)
                if wide:
                    cells += [(c, style), ("", style)][:wide]
                elif cells:
                    base = -1 if cells[-1][0] else -2
                    cells[base] = (cells[base][0] + c, cells[base][1])
    return cells


def frame_bytes(frame: Frame, spans: list[tuple[int, int, int]]) -> int:
    """Bytes of these parts with a cursor move for each and a colour per run, as a terminal gets them."""
    total = 0
    for row, begin, end in spans:
        cells = cells_of(frame.rows[row])[begin:end]
        total += 8 + sum(len(c.encode()) for c, _ in cells) + 12 * sum(1 for _ in groupby(cells, lambda cell: cell[1]))
    return total


def curves() -> None:
    print("live plot, 120 x 30 cells, 3 series                    1e5 points   1e6 points")
    table: dict[str, list[float]] = {}
    for points in (100_000, 1_000_000):
        series = metrics(points)
        start = time.perf_counter()
        render(120, 30, series)
        table.setdefault("first frame, averages included", []).append((time.perf_counter() - start) * 1e3)
        table.setdefault("every column anew (zoom, resize)", []).append(median_ms(lambda s=series: render(120, 30, s)))
        plot, last = Plot(), points

        def append_and_draw(series: list[Series] = series, plot: Plot = plot) -> None:
            nonlocal last
            for one in series:
                one.append(np.arange(last, last + 300), np.ones(300))
            last += 300
            plot.render(120, 30, series)

        append_and_draw()
        table.setdefault("300 points more on each, same axes", []).append(median_ms(append_and_draw))
    for name, row in table.items():
        print(f"  {name:<50} {row[0]:8.1f} ms {row[1]:9.1f} ms")


def frames() -> None:
    plot, series, rng = Plot(), [Series(n) for n in "abc"], np.random.default_rng(0)
    previous, sizes = None, []
    for k in range(300):
        x = np.arange(k * 50, k * 50 + 50)
        for i, one in enumerate(series):
            one.append(x, (3 * np.exp(-x / 3000) + 0.3 * (i + 1)) * (1 + 0.05 * rng.normal(size=50)))
        frame = plot.render(160, 50, series, FrameOptions())
        whole = [(i, 0, 160) for i in range(50)]
        rows = [span for i, span in enumerate(whole) if previous is None or frame.rows[i] != previous.rows[i]]
        sizes.append([frame_bytes(frame, spans) for spans in (whole, rows)])
        previous = frame
    print("\nbytes per frame, 160 x 50 cells, 300 frames of a growing run, axes that grow in steps")
    for name, size in zip(("whole frames", "changed rows"), np.mean(sizes, axis=0)):
        print(f"  {name:<50} {size / 1024:8.1f} KiB")


def pictures() -> None:
    y, x = np.mgrid[0:256, 0:256]
    cells = np.hypot(x % 32 - 16, y % 32 - 16) + np.random.default_rng(0).normal(size=(256, 256)) * 0.5
    grey = np.clip(255 - 20 * cells, 0, 255).astype(np.uint8)
    colour = np.stack([grey, np.roll(grey, 9, 0), np.roll(grey, 9, 1)], axis=2)
    small = grey[::4, ::4]
    print(f"\n{'images':<40} {'half-block 26x13':>20} {'sixel, 256 px':>20} {'kitty, 26 x 13':>20}")
    for name, pixels in (("grey, 64 px", small), ("grey, 256 px", grey), ("colour, 256 px", colour)):
        ways = (
            lambda p=pixels: to_ansi(p, 26, 13).encode(),
            lambda p=pixels: sixel.encode(p, 256, 256),
            lambda p=pixels: kitty.encode(p, 1, 26, 13),
        )
        cells = [f"{len(way()) / 1024:6.1f} KiB {median_ms(way):6.1f} ms" for way in ways]
        print(f"  {name:<38} " + " ".join(f"{cell:>20}" for cell in cells))


if __name__ == "__main__":
    curves()
    frames()
    pictures()
