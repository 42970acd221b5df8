"""What the tests take for the screen is what a user sees there."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.screen import ModalScreen
from textual.widgets import Static

from tests.painted import painted_text


class Question(ModalScreen[None]):
    CSS = "Question { align: center middle; } Question Static { width: 10; height: 1; }"

    def compose(self) -> ComposeResult:
        yield Static("question")


class Workplace(App[None]):
    def compose(self) -> ComposeResult:
        yield Static("what lies below")


async def test_a_look_at_a_dialog_that_is_to_be_painted_anew_leaves_what_shows_through_it():
    app = Workplace()
    async with app.run_test(size=(40, 9)) as pilot:
        await app.push_screen(Question())
        await pilot.pause()
        app.screen.refresh()  # as where something below has changed: it is painted a moment later
        for moment in ("before", "after"):
            shown = painted_text(app)
            assert "what lies below" in shown and "question" in shown, f"{moment} it is painted:\n{shown}"
            await pilot.pause()
