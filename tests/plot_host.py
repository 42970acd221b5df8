"""Runs written for tests of the plots and pictures, and a small app around the two panes that show them.

    python -m tests.plot_host RUN [both|losses|samples [GRAPHICS]]

The app on this terminal: `m` opens a dialog, `1` a toast, `2` ends that, `u` reads what is new, `r` draws all anew,
`q` quits.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.screen import ModalScreen
from textual.widgets import Static

from tests.hosts import ThemedApp
from tests.painted import painted_text
from tui_gen import events
from tui_gen.app.panes.losses.pane import LossesPane
from tui_gen.app.panes.samples.pane import SamplesPane
from tui_gen.draw.terminal import Terminal, probe
from tui_gen.log import event_log
from tui_gen.view import RunView


def write_run(path: Path, *more: events.Event, losses: Sequence[float | None] = (), planned: int | None = None) -> Path:
    """A running run with these losses of `vae` and `more` events; its path."""
    path.mkdir(parents=True, exist_ok=True)
    writer = event_log.EventWriter(path / "events.jsonl")
    writer.write(events.Plan(steps=planned, steps_per_epoch=100, batch_size=8), events.State(state="running", step=0))
    if len(losses):
        writer.write(events.Metrics(start=0, values={"vae/loss": list(losses)}))
    writer.write(*more)
    writer.close()
    return path


def append(path: Path, *more: events.Event) -> None:
    """More events for a run."""
    writer = event_log.EventWriter(path / "events.jsonl")
    writer.write(*more)
    writer.close()


def write_sample(
    path: Path, step: int, kind: str = "samples", grid: tuple[int, int] = (4, 3), tile: int = 8, colour: bool = False,
    gap: int = 0,
) -> events.Sample:  # fmt: skip
    """A picture of `grid` = (columns, rows) tiles, each brighter than the last and darker at its top; its event.

    `gap` black pixels between them.
    """
    columns, rows = grid
    name = f"samples/{step:06d}-{kind}.png"
    (path / "samples").mkdir(parents=True, exist_ok=True)
    levels = np.arange(columns * rows).reshape(rows, columns) * 200 // (columns * rows) + 40 + step % 7
    down = np.arange(rows * tile)[:, None] % tile  # every pixel row another, so that half-blocks are needed
    pixels = (np.kron(levels, np.ones((tile, tile), int)) + down).astype(np.uint8)
    if gap:
        wide = pixels.reshape(rows, tile, columns, tile)
        apart = np.pad(wide, ((0, 0), (0, gap), (0, 0), (0, gap))).reshape(rows * (tile + gap), columns * (tile + gap))
        pixels = np.ascontiguousarray(apart[:-gap, :-gap])
    if colour:
        pixels = np.stack([pixels, 255 - pixels, np.full_like(pixels, 90)], -1)
    Image.fromarray(pixels).save(path / name)
    return events.Sample(step=step, path=name, kind=kind, columns=columns, rows=rows, tile=(tile, tile), gap=gap)


class Cover(ModalScreen):
    """A dialog in the middle of the screen."""

    BINDINGS = [("escape", "dismiss", "Close")]
    DEFAULT_CSS = """
    Cover { align: center middle; }
    Cover Static { width: 30; height: 5; background: $panel; }
    """

    def compose(self) -> ComposeResult:
        yield Static("a dialog")


class Host(ThemedApp):
    """Both panes, side by side, or one of them."""

    CSS = "Screen > Horizontal { height: 1fr; }"
    BINDINGS = [
        ("m", "cover", "Dialog"), ("1", "toast", "Toast"), ("2", "clear", "No toast"), ("u", "update", "Update"),
        ("r", "redraw", "Redraw"), ("q", "quit", "Quit"),
    ]  # fmt: skip

    def __init__(self, path: Path | None, panes: str = "both", terminal: Terminal | None = None) -> None:
        super().__init__(terminal)
        self.losses = LossesPane(id="losses")
        self.samples = SamplesPane(id="samples")
        self.panes = {"both": [self.losses, self.samples], "losses": [self.losses], "samples": [self.samples]}[panes]
        self.view = RunView(path) if path else None

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield from self.panes

    def on_ready(self) -> None:
        self.wire.attach()
        if self.view is not None:
            self.view.poll()
        for pane in self.panes:
            pane.show_run(self.view)
        self.panes[-1].focus_inside()

    def on_terminal_supports_synchronized_output(self) -> None:
        self.wire.answered()

    def action_update(self) -> None:
        changed = self.view.poll()
        for pane in self.panes:
            pane.update_view(changed)

    def action_cover(self) -> None:
        self.push_screen(Cover())

    def action_toast(self) -> None:
        self.notify("line\n" * 12, timeout=60)

    def action_clear(self) -> None:
        self.clear_notifications()

    def text(self) -> str:
        """The screen as text."""
        return painted_text(self)


if __name__ == "__main__":
    run, panes, graphics = (sys.argv[1:] + ["samples", "auto"][len(sys.argv) - 2 :])[:3]
    Host(Path(run), panes, probe(graphics)).run()
