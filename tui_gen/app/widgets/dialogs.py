"""Dialogs: a question with named answers, a list of problems. By keyboard (arrows, letters, Enter) and mouse."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Static

from tui_gen.app.widgets.modal import Modal
from tui_gen.params import Problem, show
from tui_gen.quantities import count
from tui_gen.states import state_look
from tui_gen.text import clean, clean_lines

if TYPE_CHECKING:
    from tui_gen.remedy import Remedy

WIDTH, SHARE_X, SHARE_Y = 72, 0.94, 0.9
"""The cells of a dialog in a row, and how much of the screen it has at most."""
FRAME_X, FRAME_Y = 4, 2
"""Cells of a dialog that are its frame and padding."""
AROUND = 6
"""Cells of an answer beside its words: blanks, padding, and what parts it from the next."""
LOW = 5
"""Rows for a text and the blanks around it below which it has none."""


class Dialog(Modal[str]):
    """A box in the middle of the screen with a title, text and buttons; dismissed with the id of the answer.

    `answers` are (id, label); the first one has the focus, Escape gives `cancel`. The first letter of a label that no
    label before it has chooses it, too.
    """

    DEFAULT_CSS = """
    Dialog { align: center middle; background: $background 60%; }
    Dialog > #dialog {
        width: 72; max-width: 94%; height: auto; max-height: 90%;
        border: heavy $primary; border-title-style: bold; background: $surface; padding: 0 1;
    }
    Dialog #dialog-text { height: auto; max-height: 100%; margin: 1 0; scrollbar-size-vertical: 1; }
    Dialog #dialog-text > Static { width: 1fr; height: auto; }
    Dialog #dialog-buttons { height: auto; align-horizontal: right; }
    Dialog Button { margin-left: 2; min-width: 8; }
    Dialog.-narrow #dialog-buttons { layout: vertical; }
    Dialog.-low #dialog-text { margin: 0; }
    """
    BINDINGS = [
        Binding("escape", "cancel", "Cancel", id="dialog.cancel"),
        Binding("left,up", "app.focus_previous", show=False, id="dialog.previous"),
        Binding("right,down", "app.focus_next", show=False, id="dialog.next"),
        Binding("pageup", "page(-1)", show=False, id="dialog.page_up"),
        Binding("pagedown", "page(1)", show=False, id="dialog.page_down"),
    ]

    def __init__(
        self, title: str, text: str | Content, answers: Sequence[tuple[str, str]] = (("close", "Close"),)
    ) -> None:
        super().__init__()
        self._title = clean(title)
        self._text = text if isinstance(text, Content) else Content("\n".join(clean_lines(text)))
        self._answers = list(answers)
        self._letters: dict[str, str] = {}

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as box:
            box.border_title = Content(f" {self._title} ")
            with VerticalScroll(id="dialog-text", can_focus=False):
                yield from self.compose_text()
            with Horizontal(id="dialog-buttons"):
                for name, label in self._answers:
                    yield Button(self._label(name, label), id=f"answer-{name}", compact=True)

    def compose_text(self) -> ComposeResult:
        """What is inside; override for more than text."""
        yield Static(self._text)

    def _label(self, name: str, label: str) -> Content:
        for place, letter in enumerate(label):
            if letter.isalpha() and letter.lower() not in self._letters:
                self._letters[letter.lower()] = name
                return Content.assemble(" ", label[:place], (letter, "underline"), label[place + 1 :], " ")
        return Content(f" {label} ")

    def on_mount(self) -> None:
        """Focus the first answer."""
        self.query(Button).first().focus()

    def on_resize(self, event: events.Resize) -> None:
        """Answers that have no room beside each other stand one below the other, and the text leaves them theirs."""
        width = min(WIDTH, int(event.size.width * SHARE_X)) - FRAME_X
        height = int(event.size.height * SHARE_Y) - FRAME_Y
        narrow = sum(cell_len(label) + AROUND for _, label in self._answers) > width
        height -= len(self._answers) if narrow else 1
        self.set_class(narrow, "-narrow")
        self.set_class(height < LOW, "-low")
        self.query_one("#dialog-text").styles.max_height = max(1, height - (0 if height < LOW else 2))

    def on_key(self, event: events.Key) -> None:
        """A letter chooses its answer."""
        name = self._letters.get(event.key.lower()) if event.is_printable else None
        if name is not None:
            event.stop()
            self.dismiss(name)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """An answer was given."""
        event.stop()
        self.dismiss((event.button.id or "").removeprefix("answer-"))

    def on_click(self, event: events.Click) -> None:
        """A click outside the box is a cancel."""
        if not self.query_one("#dialog").region.contains(int(event.screen_x), int(event.screen_y)):
            self.dismiss("cancel")

    def action_cancel(self) -> None:
        """Leave without an answer."""
        self.dismiss("cancel")

    def action_page(self, direction: int) -> None:
        text = self.query_one("#dialog-text", VerticalScroll)
        if direction > 0:
            text.scroll_page_down(animate=False)
        else:
            text.scroll_page_up(animate=False)


def problems_dialog(title: str, problems: Sequence[Problem]) -> Dialog:
    """Every problem of a config, one a paragraph: key and value, what is wrong, the hint."""
    return Dialog(title, Content("\n").join([Content("\n".join(clean_lines(f"• {problem}"))) for problem in problems]))


def trust_dialog(who: str, folder: Path, code: Sequence[Path]) -> Dialog:
    """Whether the code in a folder that somebody's settings name may be executed; not to is the default."""
    names = ", ".join(str(path.relative_to(folder)) for path in code[:6]) + (", …" if len(code) > 6 else "")
    text = (
        f"{who} a folder of model files:\n\n{folder}\n{names}\n\n"
        "They are Python, and will be executed with your rights. You are asked again only if they change."
    )
    return Dialog("Whose code is this?", text, [("cancel", "Cancel"), ("trust", "Trust them")])


def beside_dialog(doing: str, what: str, others: Sequence[tuple[str, str, int]]) -> Dialog:
    """Whether to `start` (or `resume`) what is named while others, each (name, state, step), are live here; not to is
    the default."""
    lines = [f"{name} {state_look(state).doing}, at step {count(step)}." for name, state, step in others]
    it, they_stay = ("it", "it stays") if len(others) == 1 else ("them", "they stay")
    if all(state == "paused" for _, state, _ in others):
        cost = f"{what} beside {it} lacks nothing but memory as long as {they_stay} paused."
    else:
        cost = f"{what} beside {it} leaves each of them only a part of this machine."
    lines += ["", f"{cost} Stopped, with a checkpoint, {it.replace('them', 'they')} can be resumed."]
    answers = [
        ("cancel", "Cancel"),
        ("beside", f"{doing.capitalize()} beside {it}"),
        ("stop", f"Stop {it}, then {doing}"),
    ]
    return Dialog("Another run is live" if len(others) == 1 else "Other runs are live", "\n".join(lines), answers)


def quit_dialog(live: Sequence[tuple[str, str]]) -> Dialog:
    """What to do with live runs, each (name, state); leaving them as they are is the default."""
    names = [f"{name} (paused)" if state == "paused" else name for name, state in live]
    if len(live) > 1:
        text = f"{len(live)} runs are live: {', '.join(names)}. They stay as they are without the workbench."
    elif live[0][1] == "paused":
        text = f"{live[0][0]} is paused, and stays so without the workbench; tui-gen attach shows it again."
    else:
        text = f"{live[0][0]} is still training. It goes on without the workbench; tui-gen attach shows it again."
    leave = "Leave paused" if all(state == "paused" for _, state in live) else "Leave running"
    return Dialog(
        "Quit", text, [("leave", leave), ("stop", "Stop with a checkpoint"), ("cancel", "Cancel")]
    )


def broken_dialog(name: str, reason: str, remedy: Remedy, checkpoint: int | None) -> Dialog:
    """A run's loss was no number: the offer to go on with a smaller learning rate, or as it was.

    Answers with `smaller`, `resume`, `back` (to a checkpoint of choice) or `close`. `checkpoint` as in `ended_dialog`.
    """
    begin, go_on = "Begin again (it has no checkpoint)", f"Go on from its checkpoint at {count(checkpoint or 0)}"
    where = begin if checkpoint is None else go_on
    lines = [f"{reason[:1].upper()}{reason[1:]}.", ""] if reason else []
    lines += [f"As it was it would break again. {where} with a smaller learning rate:", ""]
    lines += [f"  {key} = {show(value)}  (it was {show(remedy.was[key])})" for key, value in remedy.now.items()]
    answers = [("smaller", "Resume with it"), ("resume", "As it was"), ("back", "Go back…"), ("close", "Close")]
    return Dialog(f"{name}: its loss is not finite", "\n".join(lines), answers)


def ended_dialog(
    name: str, state: str, reason: str, lines: Sequence[str], checkpoint: int | None, there: bool = True
) -> Dialog:
    """A run ended badly: why, the last lines that were heard of it, and the offer to go on where its folder is there.

    `checkpoint` is the step of its last checkpoint, or None where it would begin again.
    """
    parts = [Content("\n".join(clean_lines(f"{reason[:1].upper()}{reason[1:] or 'No reason was given'}.")))]
    if lines:
        parts += [Content(""), Content("The last that was heard of it:")]
        parts += [Content.styled(f"  {clean(line)}", "$quiet") for line in lines]
    if not there:
        how = "Nothing can be resumed here. What was read of it stays on the screen until another run is opened."
    elif checkpoint is None:
        how = "It has no checkpoint yet: Resume trains it again from the start."
    else:
        how = f"Resume goes on from its checkpoint at step {count(checkpoint)}."
    parts += [Content(""), Content(how)]
    answers = [*[("resume", "Resume")][: int(there)], ("close", "Close")]
    return Dialog(f"{name}: {state}", Content("\n").join(parts), answers)
