"""The System pane: where a run's time goes, what holds it up, and what its machine is at."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tui_gen.app.panes.base import NO_RUN, Pane
from tui_gen.app.panes.form.asking import form_beside
from tui_gen.app.panes.form.pane import LiveEditAsked
from tui_gen.app.panes.system.rows import Rows, UsageReading, beside, machine_rows, time_rows
from tui_gen.machine import Gauge
from tui_gen.params import show
from tui_gen.states import VERDICTS, themed
from tui_gen.verdicts import bottleneck
from tui_gen.verdicts.bottleneck import Bottleneck

if TYPE_CHECKING:
    from textual import events

    from tui_gen.app.panes.form.pane import FormPane
    from tui_gen.view import RunView

"""How bad something is: a sign, and a colour."""
SIDE_BY_SIDE = 100
"""Columns from which the machine stands beside the time."""
HISTORY = 400
"""Accounts that a history is made of, at most."""
WAITING = "The first figures come after two seconds of training."
OLD = "This run has no such figures: an earlier version trained it."


class SystemPane(Pane):
    """Shows where the time goes and what the machine is at; one key follows the advice where a live setting does."""

    HELP = """
## System

What holds the run up, in one line, with what to do about it; below it where the time goes, and what the process and
its machine are at, with their recent history. All of it is in the run's log, so runs on other machines and runs that
are over have it, too.

- **a** (or a click on the line) follows the advice: a setting of the live run is edited, one of the next run is put
  into the form, as is what would have helped a run that is over
- **w** turns from the last minute to the whole run and back

*input-bound* waits for batches, *launch-bound* for the start of ever so small operations, *crowded* for CPUs that
others have; *compute-bound* is as it should be. A few steps in a second are timed, which costs nothing that one could
measure, and changes no number.

The GPU's own figures need the package `nvidia-ml-py`.
"""
    DEFAULT_CSS = """
    SystemPane > #verdict { height: auto; max-height: 3; padding: 0 1; }
    SystemPane > VerticalScroll { padding: 0 1; scrollbar-size-vertical: 1; }
    """
    BINDINGS = [
        Binding("a", "apply", "Follow the advice", id="system.apply"),
        Binding("w", "span", "Whole run", id="system.span"),
    ]

    def __init__(self, *, id: str | None = "system", classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.verdict: Bottleneck | None = None
        self.whole = False
        """Whether the whole run is shown, and not the last minute of it."""
        self._settings: dict[str, Any] | None = None
        self._own: Gauge | None = None
        self._texts: tuple[str, str] = ("", "")
        self._state = ""
        self._form_before: FormPane | None = None

    def compose(self) -> ComposeResult:
        """The verdict, and the figures."""
        yield Static("", id="verdict", markup=False)
        with VerticalScroll():
            yield Static(NO_RUN, id="figures", markup=False)

    def show_run(self, view: RunView | None) -> None:
        """Another run, or none."""
        super().show_run(view)
        self._settings = None
        self._draw()

    def update_view(self, parts: set[str]) -> None:
        """Draw what is new."""
        if "marks" in parts:
            self._settings = None  # read again: something was edited
        if parts & {"usage", "marks"} or (self.view is not None and self.view.state != self._state):
            self._draw()

    def beat(self, quiet_for: float) -> None:
        """A run that has gone silent has no news to tell of it; and the form may say something else now."""
        if self.verdict is not None and self._next_form is not self._form_before:
            self._draw()
            self.refresh_bindings()
        stalled = self.verdict is not None and self.verdict.kind == "stalled"
        if self.view is not None and self.view.state == "running" and (stalled or quiet_for > bottleneck.SILENT):
            self._draw(quiet_for)

    def on_resize(self) -> None:
        """Lay the rows out anew."""
        self._draw()

    def label(self, words: str, action: str) -> str:
        """What the keys would do now."""
        if action == "span" and self.whole:
            return "Last minute"
        if action == "apply" and self.verdict is not None and self.verdict.key:
            where = "" if self._is_live else ", next run"
            return f"{self.verdict.key.rpartition('.')[2]} = {show(self.verdict.value)}{where}"
        return words

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Advice can be followed where a setting does it, of the live run or in the form for the next one, which does
        not have it yet; of a run that is over there is no last minute."""
        if action == "apply":
            return True if self._is_live or self._next_form is not None else None
        if action == "span":
            return True if self.view is not None and self.view.live else None
        return super().check_action(action, parameters)

    @property
    def _is_live(self) -> bool:
        """Whether a setting of the live run follows the advice."""
        verdict = self.verdict
        return self.view is not None and self.view.live and verdict is not None and bool(verdict.key) and (
            not verdict.later
        )

    @property
    def _next_form(self) -> FormPane | None:
        """The form, where the advice is for the next run, which has this setting and another value of it."""
        verdict, form = self.verdict, form_beside(self)
        if verdict is None or form is None or self._is_live or verdict.key not in form.draft.params:
            return None
        return form if form.draft.value(verdict.key) != verdict.value else None

    def action_apply(self) -> None:
        """Set what the verdict advises."""
        verdict = self.verdict
        if verdict is not None and self._is_live:
            self.post_message(LiveEditAsked(verdict.key, verdict.value))
        elif verdict is not None and (form := self._next_form) is not None:
            form.put(verdict.key, show(verdict.value))
            self._draw()
            self.refresh_bindings()

    def action_span(self) -> None:
        """The last minute, or the whole run."""
        self.whole = not self.whole
        self._draw()
        self.refresh_bindings()

    def on_click(self, event: events.Click) -> None:
        """A click on the verdict follows it."""
        if getattr(event.widget, "id", "") == "verdict":
            self.action_apply()

    def _draw(self, silent: float = 0.0) -> None:
        view = self.view
        if not self.is_mounted or not self.display:
            return
        before, self.verdict = self.verdict, None
        verdict, figures = Content(""), Content(NO_RUN)
        if view is not None:
            self._state = view.state
            if self._settings is None:
                self._settings = bottleneck.settings_of(view)
            self.verdict = bottleneck.of_view(view, self._settings, silent)
            if self.verdict is not None:
                verdict = verdict_line(self.verdict, self._offer())
            figures = Content(OLD if view.step and not view.live and not view.usage else WAITING)
            if view.usage:
                figures = Content("\n").join(self._rows(view))
        texts = verdict.plain, figures.plain
        if texts != self._texts:
            self._texts = texts
            line = self.query_one("#verdict", Static)
            line.display = bool(verdict.plain)
            line.update(verdict)
            self.query_one("#figures", Static).update(figures)
        if (before is not None and before.key) != (self.verdict is not None and self.verdict.key):
            self.refresh_bindings()

    def _offer(self) -> str:
        """What following the advice does, after the key for it, as it is mapped."""
        keymap = getattr(self.app, "keymap", {})
        key = str(keymap.get("system.apply", "a")).split(",")[0]
        self._form_before = form = self._next_form
        return f"{key} sets it" if self._is_live else f"{key} puts it into the form" if form is not None else ""

    def _rows(self, view: RunView) -> Rows:
        whole = self.whole or not view.live
        times = bottleneck.recent(view.usage, math.inf if whole else bottleneck.LATELY)
        loads = [usage.load for usage in view.usage[-HISTORY:]]
        processes = view.plan.processes if view.plan is not None else 1
        reading = UsageReading(times, "the whole run" if whole else "lately", loads, processes)
        room = self.query_one(VerticalScroll).scrollable_content_region
        width = max(20, room.width - 2)
        self._own = self._own or Gauge()
        own = self._own.read() if view.live else None
        left = time_rows(reading, width if width < SIDE_BY_SIDE else width // 2 - 2, room.height)
        right = machine_rows(reading, own, width if width < SIDE_BY_SIDE else width - width // 2 - 2)
        if width < SIDE_BY_SIDE:
            return [*left, Content(""), *right]
        return beside(left, right, width // 2 + 2)


def verdict_line(verdict: Bottleneck, offer: str = "") -> Content:
    """A verdict as a line, with the key that follows its advice and what that does, if there is one."""
    look = VERDICTS[verdict.level]
    parts: list[Any] = [(f"{look.sign} {verdict.sentence}. ", f"bold {themed(look.tone)}"), verdict.advice]
    if offer:
        parts += [" ", (f" {offer} ", "reverse")]
    return Content.assemble(*parts)
