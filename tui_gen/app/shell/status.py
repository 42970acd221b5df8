"""The status bar: one line of what the run does, how far it is, and what the link carries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.widget import Widget

from tui_gen.progress import epoch, memory, place, preparation, speed
from tui_gen.progress import parts as in_parts
from tui_gen.quantities import duration, link_rate, round_trip
from tui_gen.states import level_look, state_look, themed
from tui_gen.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from tui_gen.view import RunView


def facts(view: RunView) -> list[str]:
    """What there is to say about a run besides its state, the most important first."""
    parts = [place(view)]
    shown_live = view.live or bool(view.replaying)
    running, system = shown_live and view.state == "running", view.system
    if running and view.eta is not None:
        parts.append(f"ETA {duration(view.eta)}")
    if running:
        parts += speed(view)
    elif not shown_live and system is not None and system.seconds:
        parts.append(f"took {duration(system.seconds)}")
    parts.append(epoch(view))
    parts.append(view.plan.device if view.plan else "")
    parts.append(memory(view) if shown_live else "")
    parts.append(in_parts(view))
    return [part for part in parts if part]


class StatusBar(Widget):
    """One line: state, progress, speed and the link. Repainted only when its text changes."""

    DEFAULT_CSS = """
    StatusBar { height: 1; width: 1fr; background: $panel; color: $on-panel; padding: 0 1; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.view: RunView | None = None
        self.also: list[Callable[[], None]] = []
        """What tells of the run beside this line: called wherever it may have changed."""
        self._key: object = None
        self._content = Content("")
        self.link: tuple[float | None, float] = (None, 0.0)
        """Seconds to the terminal and back (None where unknown) and bytes a second sent to it."""
        self.message = ""
        """What is being done right now (starting, stopping…); empty shows the run."""
        self.trouble = ""
        """Something that is wrong and stays wrong (a full disk), shown until it is over."""

        self.place = self.place_trouble = ""
        """Which machine's runs these are, where it is another one; and why it cannot be reached."""

    def show(self, view: RunView | None) -> None:
        """Show this run from now on."""
        self.view = view
        self.trouble = ""
        self.update_text()

    def update_text(self) -> None:
        """Compose the line anew; nothing is drawn where it stayed the same."""
        left = self._left()
        right = self._right()
        if (left, right) != self._key:
            self._key = (left, right)
            self.refresh()
        for look in self.also:
            look()

    def _left(self) -> tuple[str, str, list[str]]:
        """(state word with glyph, state, facts)."""
        view = self.view
        if view is None:
            hint = f"choose a run of {clean(self.place)}" if self.place else "choose a recipe and press F5 to train it"
            return ("○ no run", "", [*self._away(), self.message or hint])
        from tui_gen import runs  # the first frame is there without it

        word = f"{state_look(view.state).sign} {view.state}"
        parts = facts(view)
        if self.trouble:
            parts.insert(0, clean(f"{level_look('error').sign} {self.trouble}"))
        if self.message:
            parts.insert(0, self.message)
        if view.progress is not None:
            parts.insert(0, preparation(view.progress))
        if view.replaying:
            parts.insert(0, view.replaying)
        if view.reason and not view.live:
            parts.insert(1, clean(view.reason))
        elif view.reason and (view.state == "paused" or runs.standing(view.reason)):
            parts.insert(0, clean(view.reason))
        parts = [*self._away(), *parts]
        return (word, view.state, parts)

    def _away(self) -> list[str]:
        """What is the matter with the link to another machine."""
        return [clean(f"{level_look('error').sign} {self.place_trouble}")] if self.place_trouble else []

    def _right(self) -> str:
        trip, rate = self.link
        parts = []
        if trip is not None:
            parts.append(f"link {round_trip(trip)}")
        parts.append(link_rate(rate))
        return " · ".join(parts)

    @property
    def text(self) -> str:
        """What is shown, as plain text."""
        return self.render().plain

    def render(self) -> Content:
        """The line, its facts dropped from the least important where there is no room."""
        word, state, parts = self._left()
        right = self._right()
        room = max(1, self.content_size.width or 80)
        while len(parts) > 1 and len(word) + len(" · ".join(parts)) + len(right) + 5 > room:
            parts = parts[:-1]
        middle = " · ".join(parts)
        if len(word) + len(middle) + len(right) + 5 > room:
            right = ""
        space = max(1, room - len(word) - len(middle) - len(right) - 2)
        return Content.assemble(
            (word, f"bold {themed(state_look(state).tone)}"), "  ", middle, " " * space, (right, "$quiet")
        )
