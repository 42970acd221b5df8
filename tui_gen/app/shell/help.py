"""Help dialogs: the focused pane's help (F1), the list of keys (?), and what this program is."""

from __future__ import annotations

from collections.abc import Iterable

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style
from textual.visual import Visual

from tui_gen.app.widgets.modal import Modal
from tui_gen.app.widgets.prose import prose

ABOUT = """\
tui-gen {version}

Train generative models from a terminal: pick a model, edit its hyperparameters, watch losses and images live,
steer the run while it trains, leave, come back.

A run is a directory, and training is a process of its own. Nothing that happens to this window touches it: quit,
lose the link, close the terminal. `tui-gen attach` shows it again.

Runs of this workbench are kept in {root}

MIT licence. Built with Textual, PyTorch and msgspec.
"""


WIDTH, FRAME = 96, 5
"""Cells of a page, and those of them that are its frame and scrollbar."""


class LongText(ScrollView, can_focus=True):
    """A text of any length: wrapped once for its width, and only the lines on screen are rendered."""

    DEFAULT_CSS = """
    LongText { height: auto; max-height: 100%; overflow-x: hidden; scrollbar-size-vertical: 1; }
    """

    def __init__(self, text: Content) -> None:
        super().__init__()
        self._text = text
        self._lines: list[Content] = []
        self._wrapped_for = 0

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """The number of lines; a column is left to the scrollbar."""
        width = max(1, width - 1)
        if width != self._wrapped_for:
            self._wrapped_for, self._lines = width, self._text.wrap(width)
            self.set_reactive(LongText.virtual_size, Size(width, len(self._lines)))
        return len(self._lines)

    def render_line(self, y: int) -> Strip:
        number, width = y + self.scroll_offset.y, self.size.width
        if number >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        line, selection = self._lines[number], self.text_selection
        if selection is not None and (span := selection.get_span(number)) is not None:
            start, end = span
            style = Style.from_styles(self.screen.get_component_styles("screen--selection"))
            line = line.stylize(style, start, len(line) if end == -1 else end)
        strips = Visual.to_strips(self, line, width, 1, self.visual_style, apply_selection=False, pad=True)
        strip = strips[0] if strips else Strip.blank(width, self.rich_style)
        return strip.apply_offsets(0, number)

    def get_selection(self, selection: Selection) -> tuple[str, str]:
        """What is selected of it, and what comes after that."""
        return selection.extract("\n".join(line.plain for line in self._lines)), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Another part is selected."""
        self.refresh()


class ReadingPage(Modal[None]):
    """A page to read: scrolled by keys and wheel, left with Escape, Enter, q, F1 or a click beside it."""

    DEFAULT_CSS = """
    ReadingPage { align: center middle; background: $background 60%; }
    ReadingPage > Vertical {
        width: 96; max-width: 96%; height: auto; max-height: 94%;
        border: heavy $primary; border-title-style: bold; background: $surface; padding: 0 1;
    }
    """
    BINDINGS = [Binding("escape,enter,q,f1,question_mark", "leave", "Close", id="reading.close")]

    def __init__(self, title: str, text: str | Content, markdown: bool = False, below: Content | None = None) -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._markdown = markdown
        self._below = below

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Content(f" {self._title} ")
            box.border_subtitle = Content(" Esc closes ")
            yield LongText(self._content())

    def _content(self) -> Content:
        if isinstance(self._text, Content):
            return self._text
        if not self._markdown:
            return Content(self._text)
        text = prose(self._text, min(WIDTH, int(0.96 * self.app.size.width)) - FRAME)
        return Content("\n\n").join([text, self._below]) if self._below is not None else text

    def on_mount(self) -> None:
        """Focus the page, so that keys scroll it."""
        self.query_one(LongText).focus()

    def on_click(self, event: events.Click) -> None:
        """A click beside the page leaves."""
        if not self.query_one(Vertical).region.contains(int(event.screen_x), int(event.screen_y)):
            self.dismiss(None)

    def action_leave(self) -> None:
        self.dismiss(None)


Sections = Iterable[tuple[str, Iterable[tuple[str, str, str]]]]
"""(title, rows of (keys, what they do, binding id))."""


def keys_page(sections: Sections) -> Content:
    """Every key as a page; the ids are what `keys.toml` names."""
    lines = [
        keys_text(sections),
        Content(""),
        Content("Other keys: map the names on the right in ~/.config/tui-gen/keys.toml, for example"),
        Content('  "run.start" = ["f5", "ctrl+r"]'),
    ]
    return Content("\n").join(lines)


def keys_text(sections: Sections) -> Content:
    """Keys, section by section, a row each."""
    parts: list[Content] = []
    for title, rows in sections:
        rows = list(rows)
        if not rows:
            continue
        if parts:
            parts.append(Content(""))
        parts.append(Content.styled(title, "bold underline"))
        for key, words, name in rows:
            parts.append(Content.assemble((f"  {key:<18}", "bold"), f" {words:<34} ", (name, "$quiet")))
    return Content("\n").join(parts)
