"""A replay on screen: a line that shows where it is, and obeys the mouse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.strip import Strip
from textual.widget import Widget

from tui_gen.app.terminal.found import shows_ascii
from tui_gen.quantities import count
from tui_gen.speeds import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from tui_gen.app.shell.status import StatusBar
    from tui_gen.replay import Playback
    from tui_gen.view import RunView

SIGNS = ("▶", "‖", "─", "●")
"""Play, pause, the line, where it is."""
PLAIN = (">", "=", "-", "O")


def playback_of(view: RunView | None) -> Playback | None:
    """What plays the run that is shown; None where it is no replay."""
    if view is None or not view.replaying:
        return None
    from tui_gen.replay import ReplayView

    return view.playback if isinstance(view, ReplayView) else None


class ReplayBar(Widget):
    """One line above the status bar while a run is replayed: `‖ 20× - + ────●──── 1,200/2,000  end`.

    A click on the first sign pauses, on - and + changes the speed, on the line (or a drag along it) jumps, on `end`
    shows the run as it is. `hurry` has what came of it looked at at once.
    """

    DEFAULT_CSS = """
    ReplayBar { height: 1; width: 1fr; background: $panel; color: $on-panel; display: none; }
    """

    def __init__(self, status: StatusBar, hurry: Callable[[], None]) -> None:
        super().__init__(id="replay")
        self._hurry = hurry
        self._status = status
        self._key: object = None
        self._held = False
        status.also.append(self.look)

    def look(self) -> None:
        """Show where the replay is, or nothing; drawn only where that changed."""
        playing = playback_of(self._status.view)
        if self.is_mounted and self.display != (playing is not None):
            self.display = playing is not None
        key = (playing.words, playing.speed, playing.step, playing.end) if playing is not None else None
        if key != self._key:
            self._key = key
            self.refresh()

    def _ends(self, playing: Playback) -> tuple[str, str]:
        """What stands before the line, and after it."""
        play, pause = (PLAIN if shows_ascii(self) else SIGNS)[:2]
        sign = play if playing.paused or playing.over else pause
        return f" {sign} {shown(playing.speed):>6} - + ", f" {count(playing.step)}/{count(playing.end)}  end "

    def _track(self, playing: Playback) -> tuple[int, int]:
        """The first column of the line, and its length."""
        before, after = self._ends(playing)
        return len(before), max(2, self.size.width - len(before) - len(after))

    def render_line(self, y: int) -> Strip:
        playing, width, base = playback_of(self._status.view), self.size.width, self.rich_style
        if playing is None:
            return Strip.blank(width, base)
        line, knob = (PLAIN if shows_ascii(self) else SIGNS)[2:]
        before, after = self._ends(playing)
        length = self._track(playing)[1]
        at = min(length - 1, round(playing.step / playing.end * (length - 1)))
        bold = base + Style(bold=True)
        segments = [
            Segment(before, bold), Segment(line * at, base), Segment(knob, bold),
            Segment(line * (length - 1 - at), base), Segment(after, base),
        ]  # fmt: skip
        return Strip(segments).adjust_cell_length(width, base)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """The sign, the speed, the line, or the end."""
        playing = playback_of(self._status.view)
        if playing is None:
            return
        start, length = self._track(playing)
        x = event.x
        if x >= self.size.width - 4:
            self.run_worker(self.app.run_action("stop"), exit_on_error=False)
        elif x >= start:
            self._held = x < start + length
            self._go(playing, x - start, length)
            if self._held:
                self.capture_mouse()
        elif x >= start - 4:
            playing.change_speed(-1 if x < start - 2 else 1)
        else:
            playing.toggle()
        self._told()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """A drag along the line."""
        playing = playback_of(self._status.view)
        if self._held and playing is not None:
            start, length = self._track(playing)
            self._go(playing, event.x - start, length)
            self._told()

    def on_mouse_up(self) -> None:
        """The end of a drag."""
        if self._held:
            self._held = False
            self.release_mouse()

    def _go(self, playing: Playback, place: int, length: int) -> None:
        playing.jump(round(min(max(place / (length - 1), 0.0), 1.0) * playing.end))

    def _told(self) -> None:
        self._hurry()
        self._status.update_text()
        self.app.refresh_bindings()
