"""The sweep dialog: which settings are varied, by which values, in a grid or at random; how many runs that makes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Input, OptionList, Static
from textual.widgets.option_list import Option

from tui_gen import space
from tui_gen.app.background import away
from tui_gen.app.widgets.modal import Modal
from tui_gen.config import ConfigError
from tui_gen.effects import lacking
from tui_gen.params import Param, Problem, show
from tui_gen.queue.forecast import length_words
from tui_gen.search import asking
from tui_gen.search.asking import SearchWish
from tui_gen.search.specs import PRUNERS
from tui_gen.space import Axis, Point
from tui_gen.text import clean

MOST_TRIALS = 100_000
COUNT = re.compile(r":\d+(?=:|$)")
"""How many values a range has in a grid."""


class SweepPlan(NamedTuple):
    """What was chosen: the axes, and the points of them that are to be trained; or a search, which finds its points."""

    axes: list[Axis]
    points: list[Point]
    wish: SearchWish | None = None


class SweepDialog(Modal[SweepPlan | None]):
    """Asks for a space of settings around a config; the answer is a SweepPlan, or None.

    `settings` and `values` are those of the config, by dotted key; `seconds_of` predicts how long points take, called
    in a thread; `judgement_of` says by what trials are judged, and which way is better, for a metric or for none.
    `phases_when` has the conditions under which the model's phases are trained: what does nothing is not offered.
    """

    DEFAULT_CSS = """
    SweepDialog { align: center middle; background: $background 60%; }
    SweepDialog > Vertical {
        width: 90%; max-width: 100; height: auto; max-height: 96%;
        border: heavy $primary; border-title-style: bold; background: $surface; padding: 0 1;
        overflow: hidden auto; scrollbar-size-vertical: 1;
    }
    SweepDialog Input { border: none; padding: 0 1; height: 1; background: $panel; }
    SweepDialog OptionList {
        height: 5; border: none; padding: 0; background: $surface; scrollbar-size-vertical: 1;
        text-wrap: nowrap; text-overflow: ellipsis;
    }
    SweepDialog OptionList:focus { border: none; }
    SweepDialog #axes { height: auto; max-height: 6; scrollbar-size-vertical: 1; }
    SweepDialog .heading { color: $quiet; height: 1; }
    SweepDialog .row { height: 1; overflow: auto hidden; scrollbar-size-horizontal: 0; }
    SweepDialog .row > Static { width: auto; color: $quiet; }
    SweepDialog .row > Input { width: 8; margin-right: 1; }
    SweepDialog .row > #trials, SweepDialog .row > #jobs { width: 7; }
    SweepDialog .row > #pruner { width: 11; }
    SweepDialog .row > #metric { width: 1fr; min-width: 12; }
    SweepDialog #words { height: auto; max-height: 4; margin-top: 1; }
    SweepDialog #words.wrong { color: $text-error; }
    SweepDialog #buttons { height: 1; align-horizontal: right; }
    SweepDialog Button { margin-left: 2; min-width: 8; }
    """
    BINDINGS = [
        Binding("escape", "cancel", "Cancel", show=False, id="sweep.cancel"),
        Binding("down", "app.focus_next", show=False, id="sweep.next"),
        Binding("up", "app.focus_previous", show=False, id="sweep.previous"),
        Binding("ctrl+s,f5", "add", "Add", priority=True, id="sweep.add"),
    ]

    def __init__(
        self, name: str, settings: Mapping[str, Param], values: Mapping[str, Any],
        seconds_of: Callable[[list[Point]], float | None], judgement_of: Callable[[str], tuple[str, str]],
        phases_when: Mapping[str, str], known: Mapping[str, str],
    ) -> None:  # fmt: skip
        super().__init__()
        self._judgement_of = judgement_of
        self._about, self._params, self._config, self._seconds_of = name, settings, values, seconds_of
        self._phases_when, self._known = phases_when, known
        self._numbers = count()
        self._offered: list[str] = []
        self._varied: dict[str, list[Any]] = {}
        """The ends, or all, of the values that are tried, by dotted key."""
        self._plan: SweepPlan | None = None
        self._words = ""

    def compose(self) -> ComposeResult:
        """Settings to pick from, those that were picked, how, and what that makes."""
        with Vertical() as box:
            box.border_title = Content(f" Sweep: {clean(self._about)} ")
            yield _field("find", "", "a setting to vary: words of its name or help, Enter")
            yield OptionList(id="settings")
            yield Static("Values: 8|16|32 or 0..1:5 or 1e-4..1e-2:log; empty: left out", classes="heading")
            yield VerticalScroll(id="axes", can_focus=False)
            with Horizontal(classes="row"):
                yield Static("at random ")
                yield _field("random", "", "no")
                yield Static("of them, seed ")
                yield _field("seed", "0", "0")
                yield Static("(empty: a grid of all)")
            with Horizontal(classes="row"):
                yield Static("or learn: trials ")
                yield _field("trials", "", "no")
                yield Static("jobs ")
                yield _field("jobs", "", "auto")
                yield Static("pruner ")
                yield _field("pruner", "", "hyperband")
                yield Static("by ")
                yield _field("metric", "", "its metric")
            yield Static("", id="words", markup=False)
            with Horizontal(id="buttons"):
                yield Button("Go", id="add", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    def on_mount(self) -> None:
        self._list()
        self._reckon()

    # -- which settings

    def _list(self) -> None:
        words = self.query_one("#find", Input).value.lower().split()
        keys = [key for key in self._params if not self._lacking(key)]
        keys = [key for key in keys if all(word in f"{key} {self._params[key].help}".lower() for word in words)]
        if keys == self._offered:
            return
        self._offered = keys
        options = self.query_one("#settings", OptionList)
        options.clear_options()
        for key in keys:
            row = Content.assemble(
                f"{key} = {clean(show(self._config.get(key)))}  ", (clean(self._params[key].help), "$quiet")
            )
            options.add_option(Option(row, id=key))
        if keys:
            options.highlighted = 0

    def _lacking(self, key: str) -> str:
        """What a setting would need to do anything, where the others are as in the config, or as they are varied."""

        def values(name: str) -> Sequence[Any]:
            return self._varied.get(name) or [self._config.get(name)]

        return lacking(key, self._params[key], self._phases_when, values, self._known)

    @on(Input.Changed, "#find")
    def _on_find(self, event: Input.Changed) -> None:
        event.stop()
        self._list()

    @on(Input.Submitted, "#find")
    def _on_found(self, event: Input.Submitted) -> None:
        event.stop()
        options = self.query_one("#settings", OptionList)
        if options.highlighted is not None and options.option_count:
            self.vary(options.get_option_at_index(options.highlighted).id or "")

    @on(OptionList.OptionSelected)
    def _on_picked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.vary(event.option.id or "")

    def vary(self, key: str) -> None:
        """A line for a setting, with values around the one that it has; the line that is there, if there is one."""
        for box in self.query("#axes Input").results(Input):
            if box.value.partition("=")[0].strip() == key:
                box.focus()
                return
        words = space.proposal(self._params[key], self._config.get(key))
        box = _field(f"axis-{next(self._numbers)}", f"{key}={words}", "left out")
        self.query_one("#axes", VerticalScroll).mount(box)
        box.focus()
        self.call_after_refresh(self._reckon)

    # -- what it makes

    @on(Input.Changed, "#trials")
    def _on_trials(self, event: Input.Changed) -> None:
        """What learns draws from the whole of a range: how many values a grid would have of it goes."""
        if event.value.strip():
            for box in self.query("#axes Input").results(Input):
                box.value = COUNT.sub("", box.value)

    @on(Input.Changed)
    def _on_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._reckon()

    @on(Input.Submitted)
    def _on_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.input.id != "find":
            self.query_one("#add", Button).focus()

    def _reckon(self) -> None:
        """How many runs it makes, and how long they take, as far as that is known; or what is wrong."""
        self._plan = None
        self._varied = {}
        texts = [box.value for box in self.query("#axes Input").results(Input) if box.value.strip()]
        if not texts:
            self._list()
            self._tell("Pick settings above, with Enter or a click.")
            return
        try:
            axes = space.parse(texts, self._params)
            self._varied = {axis.key: axis.ends() for axis in axes}
            self._list()
            if idle := [Problem(axis.key, None, f"has no effect without {when}") for axis in axes
                        if (when := self._lacking(axis.key))]:  # fmt: skip
                raise ConfigError("--space", idle)
            if self._text("trials"):
                self._reckon_search(axes)
                return
            points = self._points(axes)
        except ConfigError as error:
            self._tell("\n".join(map(str, error.problems)), wrong=True)
            return
        self._plan = SweepPlan(axes, points)
        self._tell(_count(points))
        self.run_worker(self._predict(points), group="predict", exclusive=True, exit_on_error=False)

    def _text(self, name: str) -> str:
        return self.query_one(f"#{name}", Input).value.strip()

    def _numbers_of(self, *names: str) -> dict[str, str]:
        numbers = {name: self._text(name) for name in names}
        for name, text in numbers.items():
            if text and not (text.isdecimal() and len(text) < 10):
                raise ConfigError("--space", [Problem(name, text, "needs a whole number")])
        return numbers

    def _reckon_search(self, axes: list[Axis]) -> None:
        """A search of so many trials, in place of points that are known. Raises ConfigError."""
        numbers, pruner = self._numbers_of("trials", "jobs", "seed"), self._text("pruner")
        asking.refuse_counts(axes, "tpe")
        if self._text("random"):
            raise ConfigError("--space", [Problem("random", self._text("random"), "or trials: give one of them")])
        if pruner not in ("", *PRUNERS):
            raise ConfigError("--space", [Problem("pruner", pruner, "is none of " + ", ".join(PRUNERS))])
        trials, jobs = int(numbers["trials"]), int(numbers["jobs"] or 0)
        if not 1 <= trials <= MOST_TRIALS or jobs > MOST_TRIALS:
            raise ConfigError("--space", [Problem("trials", trials, f"needs a whole number, 1 ≤ x ≤ {MOST_TRIALS}")])
        metric, better = self._judgement_of(self._text("metric"))
        wish = SearchWish(
            space=[f"{axis.key}={axis.words()}" for axis in axes], metric=metric, pruner=pruner, trials=trials,
            jobs=jobs or None, seed=int(numbers["seed"] or 0),
        )  # fmt: skip
        self._plan = SweepPlan(axes, [], wish)
        how = f"{trials:,} trials, chosen by TPE, pruned by {pruner or 'hyperband'}" if pruner != "none" else (
            f"{trials:,} trials, chosen by TPE"
        )  # fmt: skip
        self._tell(f"{how}; by {metric}, the {better} the better. They begin now, in the background.")

    def _points(self, axes: list[Axis]) -> list[Point]:
        numbers = self._numbers_of("random", "seed")
        if not numbers["random"]:
            return space.grid(axes)
        return space.sample(axes, int(numbers["random"]), int(numbers["seed"] or 0))

    async def _predict(self, points: list[Point]) -> None:
        seconds = await away(self._seconds_of, points)
        if self.is_attached and self._plan is not None and self._plan.points is points:
            time = f"{length_words(seconds)} one after another" if seconds is not None else "nobody knows how long"
            self._tell(f"{_count(points)}, {time}. The first: {space.point_words(points[0])}")

    def _tell(self, words: str, wrong: bool = False) -> None:
        line = self.query_one("#words", Static)
        line.set_class(wrong, "wrong")
        if words != self._words:
            self._words = words
            line.update(Content("\n".join(clean(part) for part in words.splitlines()[:4])))

    # -- the answer

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Add them, or not."""
        event.stop()
        if event.button.id == "add":
            self.action_add()
        else:
            self.dismiss(None)

    def action_add(self) -> None:
        """Add what was chosen, where that can be."""
        if self._plan is not None:
            self.dismiss(self._plan)
        else:
            self.app.bell()

    def action_cancel(self) -> None:
        self.dismiss(None)


def _count(points: list[Point]) -> str:
    return f"{len(points):,} {'run' if len(points) == 1 else 'runs'}"


def _field(id: str, value: str, placeholder: str) -> Input:
    box = Input(value, id=id, placeholder=placeholder, compact=True, select_on_focus=False)
    box.cursor_blink = False
    return box
