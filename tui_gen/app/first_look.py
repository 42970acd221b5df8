"""The curves of a run are on screen while Textual, and all that stands around them, is still being imported.

`FirstLook.show` draws them where the losses pane had its plots when a run was opened last in a terminal of this size,
in the colours that they had then, by the pane's own modules, which need no widget. Textual then begins on the same
screen, and its first frame brings the rest. So a run is seen in half the time, from the second time on.

What is remembered is thrown away with the caches, and of no use after any change of the settings.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tui_gen import __version__, files
from tui_gen.places import cache_dir, config_dir

if TYPE_CHECKING:
    from tui_gen.app.panes.curves.drawing import DrawnPlot
    from tui_gen.app.panes.curves.sections import PlotBox
    from tui_gen.app.terminal.taken import TakenScreen
    from tui_gen.view import RunView

FILE = "first-look.json"
MOST = 8
"""Looks that are remembered: of terminals of other sizes, say."""
NEAR = 0.05
"""Seconds for the terminal's answer beyond which nothing is sent that is to be sent again."""
READING = 0.06
"""Seconds of reading after which what was read by then is drawn."""


class Seen(msgspec.Struct, array_like=True):
    """The plots as they were seen: their place on the screen (x, y, width, height), and what is sent before text of
    each style: before frames and curves, and before words. "" is the style of blanks.
    """

    grid: tuple[int, int, int, int]
    styles: dict[str, tuple[str, str]]


_views: dict[Path, RunView] = {}


def view_of(run: Path) -> RunView | None:
    """The run as far as it was read for a first look: for the first who asks."""
    return _views.pop(run, None)


class FirstLook:
    """That at one run, on a screen, with the theme that was asked for, if any."""

    def __init__(self, run: Path, model_dirs: list[str], screen: TakenScreen, theme: str | None) -> None:
        self.run, self.screen = run, screen
        self._model_dirs, self._theme, self._size = model_dirs, theme, screen.size
        self._key = self._key_now()

    def _key_now(self) -> str:
        """What the look depends on."""
        terminal, settings = self.screen.terminal, (0, 0)
        with contextlib.suppress(OSError):
            found = os.stat(config_dir() / "settings.toml")
            settings = found.st_mtime_ns, found.st_size
        can = terminal.colours, terminal.colour, terminal.unicode
        return " ".join(map(str, (__version__, *self._size, self._theme, *can, *settings)))

    @property
    def drawn(self) -> bool:
        """Whether there was one."""
        return self.screen.used

    def show(self) -> None:
        """Draw it, where it is known how the curves looked and the terminal is near."""
        seen, answered = _remembered().get(self._key), self.screen.terminal.round_trip
        if seen is None or answered is None or answered > NEAR:
            return
        with contextlib.suppress(Exception):  # whoever opens the run meets the same fault, and tells of it
            if picture := self._picture(seen):
                self.screen.show(picture)

    def _picture(self, seen: Seen) -> str:
        """What is sent, of the run as far as it is read in a moment; empty where there are no curves by then."""
        from tui_gen.log import prefetch
        from tui_gen.view import RunView

        if not prefetch.ready(self.run / "events.jsonl", READING):
            return ""
        view = RunView(self.run)
        view.poll(READING)
        _views[self.run] = view
        if not view.series:
            return ""
        from tui_gen.app.panes.losses.shown import first_plots

        plain = not self.screen.terminal.unicode
        return _painted(first_plots(view, self._model_dirs, *seen.grid[2:], plain), seen)

    def remember(self, size: tuple[int, int], seen: Seen) -> None:
        """How the curves look in a window of this size, for the next time. Says nothing where that cannot be kept."""
        if size != self._size or self._key != self._key_now():
            return  # it is another window, or another theme, it may be
        known = _remembered()
        if known.pop(self._key, None) != seen:
            known = dict([*known.items(), (self._key, seen)][-MOST:])
            with contextlib.suppress(OSError):
                cache_dir().mkdir(parents=True, exist_ok=True)
                with files.written_whole(cache_dir() / FILE) as aside:
                    aside.write_bytes(msgspec.json.encode(known))


def _remembered() -> dict[str, Seen]:
    with contextlib.suppress(OSError, ValueError):  # msgspec's errors are ValueErrors
        return msgspec.json.decode((cache_dir() / FILE).read_bytes(), type=dict[str, Seen])
    return {}


def _painted(plots: Iterable[tuple[PlotBox, DrawnPlot]], seen: Seen) -> str:
    """What is sent for plots at their places."""
    from tui_gen.app.panes.curves.drawing import hued
    from tui_gen.draw.text import is_line_art

    x, y, *_ = seen.grid
    ground = seen.styles.get("", ("", ""))
    parts = [f"{ground[0]}\x1b[2J"]
    for box, plot in plots:
        for number, row in enumerate(plot.rows, y + box.y + 1):
            parts.append(f"\x1b[{number};{x + box.x + 1}H")
            for text, key in row:
                drawn, written = seen.styles.get(hued(key, plot.panel), ground)
                parts.append(f"\x1b[0m{drawn if is_line_art(text) else written}{text}")
    return "".join([*parts, "\x1b[0m"])
