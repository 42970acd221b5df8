"""The Log pane: what the run told, or the end of its worker's own output; wrapped, filtered, drawn in batches."""

from __future__ import annotations

import textwrap
import time
from itertools import compress
from typing import TYPE_CHECKING

from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import Binding
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Input

from tui_gen.app.panes.filtered import FilterPane
from tui_gen.states import LEVELS, level_look, themed
from tui_gen.text import clean_lines

if TYPE_CHECKING:
    from tui_gen.view import RunView

WITH_COLOUR = ("error", "warning", "state", "edit")
MOST_LINES = 20_000
"""Lines kept on screen; the files keep everything."""


class Lines(ScrollView, can_focus=True):
    """Text lines with a level each, wrapped to the width; stays at the end unless scrolled away from it."""

    ALLOW_MAXIMIZE = False
    ALLOW_SELECT = False
    COMPONENT_CLASSES = {f"lines--{level}" for level in WITH_COLOUR}
    DEFAULT_CSS = (
        """
    Lines {
        height: 1fr; width: 1fr; background: $background; color: $foreground;
        overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1;
    }
    """
        + "".join(f"Lines > .lines--{level} {{ color: {themed(LEVELS[level].tone)}; }}\n" for level in WITH_COLOUR)
        + "Lines > .lines--error { text-style: bold; }"
    )

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.words = ""
        """Said where there are none."""
        self._entries: list[tuple[str, str]] = []
        self._rows: list[tuple[str, str]] = []
        self._width = 0
        self._end = 0
        """Where the end was when the lines, or the size, changed last."""

    @property
    def at_end(self) -> bool:
        """Whether the newest line is followed."""
        return self.scroll_offset.y >= self._end - 1

    @property
    def rows(self) -> list[str]:
        """The wrapped rows, as text."""
        return [text for _, text in self._rows]

    def clear(self) -> None:
        self._entries, self._rows = [], []
        self._measure(True)

    def replace(self, entries: list[tuple[str, str]]) -> None:
        """Other lines; who had scrolled away from the end stays where he was."""
        at_end, place = self.at_end, self.scroll_offset.y
        self.clear()
        self.append(entries)
        if not at_end:
            self.scroll_to(y=place, animate=False, immediate=True)

    def append(self, entries: list[tuple[str, str]]) -> None:
        """Add (level, text) lines at the end."""
        if not entries:
            return
        at_end = self.at_end
        self._entries += entries
        if len(self._entries) > MOST_LINES:
            self._entries = self._entries[-MOST_LINES // 2 :]
            self._wrap_all()
        elif self._width:
            for level, text in entries:
                self._rows += self._wrap(level, text)
        self._measure(at_end)

    def _wrap(self, level: str, text: str) -> list[tuple[str, str]]:
        indent = " " * min(11, self._width // 3)
        lines = textwrap.wrap(
            text, max(8, self._width), subsequent_indent=indent, break_on_hyphens=False, drop_whitespace=True
        )
        return [(level, line) for line in lines or [""]]

    def _wrap_all(self) -> None:
        self._rows = [row for level, text in self._entries for row in self._wrap(level, text)]

    def _measure(self, to_end: bool) -> None:
        self.virtual_size = Size(self._width, len(self._rows))
        if to_end:
            self.scroll_end(animate=False, force=True, immediate=True, x_axis=False)
        self._end = self.max_scroll_y
        self.refresh()

    def on_resize(self) -> None:
        """Wrap anew where the width changed; the end stays in view."""
        width = self.scrollable_content_region.width
        at_end = self.at_end
        if width != self._width:
            self._width = width
            self._wrap_all()
        self._measure(at_end)

    def render_line(self, y: int) -> Strip:
        row = y + self.scroll_offset.y
        base = self.rich_style
        if row >= len(self._rows):
            words = self.words if y == 0 and not self._rows else ""
            return Strip([Segment(words, base)]).adjust_cell_length(self.size.width, base)
        level, text = self._rows[row]
        name = f"lines--{'warning' if level == 'alert' else level}"
        style = self.get_component_rich_style(name) if name in self.COMPONENT_CLASSES else base
        return Strip([Segment(text, style)]).adjust_cell_length(self.size.width, base)


class LogPane(FilterPane):
    """What happened in the run that is shown: states, checkpoints, edits, alerts, notes."""

    HELP = """
## Log

What the run told: when it started and stopped, checkpoints, edits with the step from which they hold, alerts with what
to try. The sign before a line is its level: `●` state, `✎` edit, `▲` warning, `✖` error.

- **/** filters by words (level names count, too); **Esc** clears the filter
- **o** switches to the worker's own output (`worker.log`) and back: tracebacks and prints are there
- **End** follows the newest line; scroll up to stay where you are
"""
    BINDINGS = [
        Binding("slash", "filter", "Filter", id="log.filter"),
        Binding("o", "toggle_output", "Worker's output", id="log.output"),
        Binding("escape", "clear_filter", "Clear the filter", show=False, id="log.clear_filter"),
    ]

    def __init__(self, *, id: str | None = "log", classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.output = False
        self._log_end = 0
        self._tail: tuple[int, int] = (0, 0)
        self._notes: list[tuple[float, str, str]] = []
        self._newest = 0.0
        """The time of the newest line that is shown."""
        self.lines = Lines(id="log-lines")

    def label(self, words: str, action: str) -> str:
        """Which of the two logs the key would show."""
        return "The run's log" if action == "toggle_output" and self.output else words

    def compose(self) -> ComposeResult:
        yield self.filter_line()
        yield self.lines

    def on_mount(self) -> None:
        """The worker's output has no events: look at it once a second, while it is shown."""
        self.lines.words = self._words()
        self._timer = self.set_interval(1.0, self._read_output, pause=True)

    def show_run(self, view: RunView | None) -> None:
        """Start over with this run's log."""
        super().show_run(view)
        self.list_anew()

    def note(self, level: str, text: str) -> None:
        """A line of the workbench's own, shown among the run's."""
        self._notes.append((time.time(), level, text))
        if not self.output:
            self._newest = self._notes[-1][0]
            self.lines.append(self._format([self._notes[-1]]))

    def update_view(self, parts: set[str]) -> None:
        """Append what is new."""
        if "log" not in parts or self.view is None or self.output:
            return
        start = self._log_end - self.view.log_offset
        if not 0 <= start <= len(self.view.log):
            self.list_anew()
            return
        new = self.view.log[start:]
        times = [self._newest, *(t for t, _, _ in new)]
        if times != sorted(times):  # a note of the workbench's own came before, while this was not shown
            self.list_anew()
            return
        self._log_end += len(new)
        self._newest = max([self._newest, *(t for t, _, _ in new)])
        self.lines.append(self._format(new))

    def list_anew(self) -> None:
        """Write all lines that match anew."""
        self._tail = (0, 0)
        self.lines.words = self._words()
        if self.output:
            self.lines.clear()
            self._read_output()
            return
        log = list(self.view.log) if self.view is not None else []
        self._log_end = len(log) + (self.view.log_offset if self.view is not None else 0)
        lines = sorted(log + self._notes, key=lambda line: line[0])
        self._newest = lines[-1][0] if lines else 0.0
        self.lines.replace(self._format(lines))

    def _words(self) -> str:
        """What an empty log says."""
        if any(box.value.split() for box in self.query(Input)):
            return "No line has these words."
        if self.output:
            return "What the worker prints comes here." if self.view is None else "The worker has printed nothing."
        return "What happens comes here: states, checkpoints, edits, alerts, each with its time."

    def _format(self, lines: list[tuple[float, str, str]]) -> list[tuple[str, str]]:
        rows = []
        for t, level, text in compress(lines, self.matching(f"{level} {text}" for _, level, text in lines)):
            clock = time.strftime("%H:%M:%S", time.localtime(t))
            rows += [(level, f"{clock} {level_look(level).sign} {part}") for part in clean_lines(text)]
        return rows

    def _read_output(self) -> None:
        """The end of worker.log, anew when the file changed."""
        if self.view is None or not self.output:
            return
        from tui_gen import runs

        try:
            status = (self.view.path / "worker.log").stat()
        except OSError:
            return
        stamp = (status.st_size, status.st_mtime_ns)
        if stamp == self._tail:
            return
        self._tail = stamp
        lines = runs.last_log_lines(self.view.path, 500)
        self.lines.clear()
        self.lines.append([("info", line) for line in compress(lines, self.matching(lines))])

    def action_toggle_output(self) -> None:
        """Show the worker's own output, or the log again."""
        self.output = not self.output
        if self.output:
            self._timer.resume()
        else:
            self._timer.pause()
        self.set_title("worker.log" if self.output else "")
        self.refresh_bindings()
        self.list_anew()

    def focus_inside(self) -> None:
        self.lines.focus()
