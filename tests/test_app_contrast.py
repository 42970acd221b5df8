"""A test card: every pane, in every state and theme, is read without effort; no colour hides a word."""

import re

import pytest
from textual.color import Color

from tests import fake_worker
from tests.shell import screen_text, until, until_shown, workbench
from tui_gen.app import themes

DRAWN = re.compile(r"[\s\u2500-\u259f\u2800-\u28ff▸▾]*")
"""Frames, curves, pictures and scroll bars: not text."""
UNKNOWN = {"ansi-dark", "ansi-light"}
"""Themes of the terminal's own colours."""
HARD = ("atom-one-dark", "gruvbox", "solarized-light", "textual-light")
"""Textual's themes in which most was illegible."""


def illegible(app, least=themes.REST):
    """Every piece of text with less contrast than it must have: (ratio, row, text)."""
    found = []
    values = value_regions(app)
    # what lies behind a dialog is dimmed on purpose
    dialogs = [one.region for one in app.screen.children if one.display]
    shown = dialogs if len(app.screen_stack) > 1 else [app.screen.region]
    for y, strip in enumerate(app.screen._compositor.render_strips()):
        x = 0
        for segment in strip:
            text, style, at = segment.text, segment.style, x
            x += segment.cell_length
            if DRAWN.fullmatch(text) or style is None or not any(region.contains(at, y) for region in shown):
                continue
            front, back = (Color.from_rich_color(one) for one in (style.color, style.bgcolor))
            if style.reverse:
                front, back = back, front
            if style.dim:
                front = front.blend(back, 0.5)
            ratio = themes.contrast(front.with_alpha(1), back.with_alpha(1))
            wanted = themes.VALUE if any(region.contains(at, y) for region in values) else least
            if ratio < wanted - 0.01:
                found.append((round(ratio, 2), y, text.strip()))
    return found


def value_regions(app):
    """Where what is shown is the content itself: log, runs, the form's values."""
    if len(app.screen_stack) > 1:
        return []
    panes = [app.workspace.pane(name) for name in ("log", "runs")]
    return [pane.content_region for pane in panes if pane.display and pane.content_region.area]


async def in_every_theme(app, pilot, state, names=None):
    wrong = {}
    for name in names or [*app.own_themes, *HARD]:
        app.theme = name
        await pilot.pause()
        if found := illegible(app):
            wrong[name] = found[:6]
    assert not wrong, f"{state}\n{screen_text(app)}"


async def test_every_pane_is_read_in_every_theme(monkeypatch):
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        await in_every_theme(app, pilot, "at the start", sorted({*app.theme_names} - UNKNOWN))
        await pilot.press("enter")
        await until_shown(pilot, "kl_warmup")
        await in_every_theme(app, pilot, "a form with a cursor")
        fake_worker.install(monkeypatch)
        await pilot.press("f5")
        await until(pilot, lambda: app.conductor.view is not None and app.conductor.view.series, "losses")
        await pilot.press("f6")
        await until(pilot, lambda: "‖ paused" in app.status.text)
        await pilot.press("alt+2")
        await in_every_theme(app, pilot, "a form with locked fields, beside a run")
        for level in ("info", "warning", "error"):
            app.conductor.view.log.append((0.0, level, f"a line of {level}"))
        shown = {"alt+5": "the log", "alt+6": "the list of runs", "f10": "a menu", "question_mark": "keys"}
        for key, what in shown.items():
            await pilot.press(key)
            await pilot.pause()
            await in_every_theme(app, pilot, what)
            if len(app.screen_stack) > 1:
                await pilot.press("escape")
                await until(pilot, lambda: len(app.screen_stack) == 1)
        await pilot.press("f9")
        await until(pilot, lambda: "■ stopped" in app.status.text)
        await in_every_theme(app, pilot, "a run that ended")


@pytest.mark.parametrize("ground", ["#000000", "#ffffff", "#808080", "#ffff00", "#0178d4"])
def test_colours_move_no_further_than_they_must(ground):
    back = Color.parse(ground)
    for colour in (back, Color.parse("#777777"), Color.parse("#ff0000")):
        moved = themes.legible(colour, [back], themes.REST)
        assert themes.contrast(moved, back) >= themes.REST
        if themes.contrast(colour, back) >= themes.REST + themes.ROUNDING:
            assert moved == colour
    assert themes.contrast(Color(0, 0, 0), Color(255, 255, 255)) == pytest.approx(21)
