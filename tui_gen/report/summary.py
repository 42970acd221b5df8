"""The end of a headless run: a text plot of its losses, its last samples, and where everything is."""

from __future__ import annotations

import math
import os
import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path

from tui_gen import events, quality, remedy, runs
from tui_gen.draw.multiplexers import claims_truecolor
from tui_gen.files import open_regular
from tui_gen.lines import aligned
from tui_gen.pictures import read_png
from tui_gen.places import called, elsewhere, shown
from tui_gen.progress import where
from tui_gen.quantities import count, duration, metric
from tui_gen.report.curves import curves_text
from tui_gen.report.plain import ordered
from tui_gen.report.stdout import Outlet, coloured, terminal_width, unicode_ok, width_of
from tui_gen.text import clean
from tui_gen.verdicts import bottleneck, health
from tui_gen.view import RunView

LOG_LINES = 12
MOST_TEXT = 1 << 18
"""Bytes of a preview of text that are read."""
WIDE = 130
"""Columns from which a table of figures says what each of them tells."""


def print_summary(out: Outlet, view: RunView, state: str, *, graphics: str = "auto") -> None:
    """Print it all; `graphics` is auto, halfblock, ascii or off (for the samples)."""
    columns = width_of(out)
    colour = coloured(out)
    out.line()
    plot = curves_text(view, min(columns, 100), colour=colour, unicode=unicode_ok(out))
    if plot:
        out.drawn(plot)
        rows = [("metric", "first", "last", "lowest", "highest"), *figures(view)]
        for line in aligned(rows):
            out.line(line)
        out.line()
    if view.quality:
        for line in figures_lines(view.quality[-1], out):
            out.drawn(line)
        out.line()
    grid = last_grid(view)
    if grid is not None and grid.path.endswith(".txt"):
        out.line(f"{clean(grid.kind)} at step {count(grid.step)}")
        for line in text_lines(view.file(grid.path)):
            out.line(line)
        out.line()
    elif grid is not None and graphics != "off":
        ascii = graphics == "ascii" or not colour or not unicode_ok(out)
        picture = grid_text(view.file(grid.path), min(columns, 100), ascii=ascii)
        if picture:
            out.line(f"{clean(grid.kind)} at step {count(grid.step)}")
            out.drawn(picture)
            out.line()
    if (cause := bottleneck.of_view(view)) is not None:
        width = terminal_width(out)
        advice = bottleneck.breakdown(bottleneck.recent(view.usage, math.inf))
        for words in (f"time: {advice}", f"{cause.sentence}. {cause.advice}"):
            for line in sentence(words, width):
                out.line(line)
        out.line()
    for line in ending(view, state, terminal_width(out)):
        out.line(line)


def sentence(words: str, width: int, hanging: int = 0) -> list[str]:
    """Words as lines of at most `width` columns (0: one line), parted between words; later ones are indented."""
    if not width:
        return [words]
    return textwrap.wrap(
        words, width, subsequent_indent=" " * hanging, break_long_words=False, break_on_hyphens=False
    )  # fmt: skip


def ending(view: RunView, state: str, columns: int = 0) -> list[str]:
    """What became of the run, and where everything is; sentences in at most so many columns (0: each in one line)."""
    name = called(view.path)
    words = f"{state} at {where(view)}"
    if view.system is not None:
        words += f", {duration(view.system.seconds)} of training"
    lines = sentence(words + (f": {clean(view.reason)}" if view.reason else ""), columns, 2)
    if state in ("failed", "interrupted"):
        log = runs.last_log_lines(view.path, LOG_LINES)
        if log:
            lines += ["", f"the end of {shown(view.path / 'worker.log')}:", *(f"  {clean(line)}" for line in log), ""]
    rows = [("run", shown(view.path))]
    if (verdict := health.verdict(view)) is not None:
        rows.insert(0, ("verdict", clean(health.line(verdict))))
    if view.checkpoints:
        newest = view.checkpoints[-1]
        rows.append(("checkpoint", f"{shown(view.path / newest.path)} (step {count(newest.step)})"))
    grid = last_grid(view)
    if grid is not None:
        rows.append((clean(grid.kind), f"{shown(view.path / grid.path)} (step {count(grid.step)})"))
    if (place := elsewhere(view.path)) is not None:
        there = f"ssh {place.host} tui-gen{f' --runs {shlex.quote(place.folder)}' if place.folder else ''}"
        rows.append(("show", f"tui-gen watch {shlex.quote(f'{place.host}:{place.folder}')} {name}"))
        rows.append(("stop", f"{there} stop {name}") if state in runs.LIVE else ("go on", f"{there} --resume {name}"))
    elif state in runs.LIVE:
        rows += [("attach", f"tui-gen attach {name}"), ("stop", f"tui-gen stop {name}")]
    else:
        rows.append(("show", f"tui-gen attach {name}"))
        advice = remedy.find(view.alerts, view.checkpoints)
        further = f" --set train.steps={2 * view.step}" if state == "finished" and view.step else ""
        further += f" {advice.options}" if advice is not None else ""
        rows.append(("go on", f"tui-gen --resume {name}{further}"))
    if view.checkpoints and grid is not None and grid.kind == "samples" and place is None:
        how = "-n 3 -o text.txt" if grid.path.endswith(".txt") else "-n 64 -o grid.png"
        rows.append(("sample", f"tui-gen sample {name} {how}"))
    width = max(len(word) for word, _ in rows)
    for word, text in rows:
        row = f"  {word:<{width}}  {text}"
        lines += sentence(row, columns, width + 4) if word == "verdict" else [row]  # what one copies is left whole
    return lines


def last_grid(view: RunView) -> events.Sample | None:
    """The newest samples whose file is there; where there are none, the first of the newest previews."""
    for sample in reversed(view.samples):
        if sample.kind == "samples" and _is_there(view, sample):
            return sample
    there = [sample for sample in view.samples if _is_there(view, sample)]
    return next((sample for sample in there if sample.step == there[-1].step), None)


def _is_there(view: RunView, sample: events.Sample) -> bool:
    try:
        return view.file(sample.path).is_file()
    except OSError:
        return False


def spread(samples: Sequence[events.Sample], most: int) -> list[events.Sample]:
    """At most so many previews, evenly spread, with the first and the last; of one the last."""
    if len(samples) <= most:
        return list(samples)
    last = len(samples) - 1
    return [samples[round(place * last / (most - 1)) if most > 1 else last] for place in range(most)]


def text_lines(path: Path, most: int = 60) -> list[str]:
    """The lines of a preview of text, as they can be printed; at most `most`, none where it cannot be read."""
    try:
        with open_regular(path) as file:
            lines = file.read(MOST_TEXT).decode("utf-8", "replace").expandtabs(4).split("\n")
    except OSError:
        return []
    while lines and not lines[-1].strip():
        lines.pop()
    return [clean(line) for line in lines[:most]]


def grid_text(path: Path, width: int, *, ascii: bool) -> str:
    """A picture as half-blocks or ASCII, at most `width` columns and 40 rows; empty where it cannot be read."""
    from tui_gen.draw.blocks import to_ansi, to_ascii
    from tui_gen.draw.terminal import inherited_light

    try:
        pixels = read_png(path)
    except (OSError, ValueError, SyntaxError, EOFError):
        return ""
    rows = 40
    if ascii:
        return to_ascii(pixels, min(width, 2 * rows), rows, light=bool(inherited_light(os.environ)))
    height, wide = pixels.shape[:2]
    scale = max(1, min(width // wide, 2 * rows // height, -(-32 // wide)))
    columns, rows = min(width, scale * wide), min(rows, -(-scale * height // 2))
    return to_ansi(pixels, columns, rows, truecolor=claims_truecolor(os.environ))


def figures_lines(report: quality.Report, out: Outlet) -> list[str]:
    """Figures of quality as lines for an output; what cannot be trusted has a question mark, and is grey in colour."""
    lines = quality.table(report, with_help=width_of(out) >= WIDE).rstrip("\n").split("\n")
    lines = [clean(line) for line in lines]
    if coloured(out):
        lines = [f"\x1b[2m{line}\x1b[0m" if "?" in line else line for line in lines]
    return lines


def figures(view: RunView) -> list[tuple[str, ...]]:
    """Metric, first, last, lowest and highest value, as text, for every metric that has values."""
    rows: list[tuple[str, ...]] = []
    for name in ordered(view):
        curve = view.series[name]
        if len(curve):
            ends = (curve.values[0], curve.values[-1], *curve.extremes())
            rows.append((clean(name), *(metric(float(value)) for value in ends)))
    return rows
