"""Layouts: the run takes the screen, one key brings the form, and what was chosen and moved is kept."""

from __future__ import annotations

import sys

import pytest

from tests.pty_terminal import PtyTerminal
from tests.shell import SIZES, screen_text, until, until_shown, workbench
from tests.test_app_watching import shown, state, two_runs, watches
from tui_gen.app.panes.registry import PANES
from tui_gen.app.shell.tabs import tab_texts
from tui_gen.app.shell.tour import STOPS

__all__ = ["two_runs"]


@pytest.mark.parametrize(("size", "others"), [("120x40", ["log"]), ("200x60", ["log"]), ("80x24", None)])
async def test_a_run_takes_the_screen_and_one_key_brings_the_form(monkeypatch, two_runs, size, others):
    async with workbench(monkeypatch, SIZES[size], open_run=two_runs[0]) as (app, pilot):
        screen = ["losses", "samples", *others] if others else ["losses"]
        await until(pilot, lambda: watches(app) and shown(app) == screen)
        await pilot.press("f2")
        await until(pilot, lambda: watches(app, "form"))
        assert ("losses" in shown(app)) == bool(others), "beside the form, where there is room"
        await pilot.press("f2")
        await until(pilot, lambda: watches(app) and shown(app) == screen)
        await pilot.press("1")
        await until(pilot, lambda: watches(app, "models"))
        await pilot.press("f2", "f2")
        await until(pilot, lambda: watches(app, "models"), "the one that was used last")
        app.action_close_run()
        await until(pilot, lambda: state(app) is None)
        assert app.workspace.layout_name == "edit"


async def test_a_layout_that_was_chosen_is_the_one_runs_are_shown_in(monkeypatch, two_runs):
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        await pilot.press("f3", *"compare", "down", "enter")
        await until(pilot, lambda: app.workspace.layout_name == "compare" and "models" not in shown(app))
        app.choose_layout("edit")
        await until(pilot, lambda: "models" in shown(app) or "form" in shown(app))
    async with workbench(monkeypatch, (120, 40), open_run=two_runs[0]) as (app, pilot):
        await until(pilot, lambda: watches(app) and app.workspace.layout_name == "edit")
        await pilot.resize_terminal(200, 60)
        await until(pilot, lambda: app.workspace.size.width == 200)
        app.workspace.open("runs")
        app.open_run(two_runs[1])
        await until(pilot, lambda: state(app) == "stopped" and watches(app))
        assert app.workspace.layout_name == "watch", "chosen for another shape of terminal"


@pytest.mark.parametrize("size", [(200, 60), (120, 40), (100, 50), (80, 24)])
async def test_a_layout_that_is_chosen_shows_what_it_is_for(monkeypatch, two_runs, size):
    panes = {"compare": ["compare", "runs"], "monitor": ["system", "losses"], "explore": ["explore"],
             "watch": ["losses", "samples"], "edit": ["form"]}  # fmt: skip
    async with workbench(monkeypatch, size, open_run=two_runs[0]) as (app, pilot):
        await until(pilot, lambda: watches(app))
        for layout in (*panes, *panes):
            app.workspace.open("log")
            app.choose_layout(layout)
            wanted = set(panes[layout][: 1 if size[1] == 24 else 2])
            await until(pilot, lambda wanted=wanted: wanted <= set(shown(app)))
            await until(pilot, lambda about=panes[layout][0]: watches(app, about), "the keyboard")


async def test_a_pane_that_the_layout_has_folded_away_takes_the_whole_screen_from_another(monkeypatch, two_runs):
    async with workbench(monkeypatch, (120, 40), open_run=two_runs[0]) as (app, pilot):
        await until(pilot, lambda: watches(app) and "form" not in shown(app))
        await pilot.press("z")
        await until(pilot, lambda: shown(app) == ["losses"])
        await pilot.press("2")
        await until(pilot, lambda: watches(app, "form") and shown(app) == ["form"])
        await pilot.press("z")
        await until(pilot, lambda: watches(app, "form") and {"form", "losses"} <= set(shown(app)))


@pytest.mark.parametrize("shown_pane", ["form", "edits"])
@pytest.mark.parametrize("room", [240, 120, 80, 60, 40])
def test_tabs_have_all_panes_there_is_room_for(room, shown_pane):
    panes = tuple(row.id for row in PANES)
    texts = dict(tab_texts(panes, shown_pane, room))
    assert sum(map(len, texts.values())) <= room
    assert list(texts) == [row.id for row in PANES if row.key or row.id == shown_pane or room >= 120]
    for row in PANES:
        if row.id in texts:
            text = texts[row.id]
            assert (row.key or row.title[:2]) in text and text.startswith("▐") == (row.id == shown_pane)
            assert room < 80 or row.title[:3] in text


async def test_restoring_the_layout_can_be_undone(monkeypatch):
    async with workbench(monkeypatch, (200, 60)) as (app, pilot):
        pane = app.workspace.pane("form")
        at_first = pane.region
        await pilot.press("alt+2", "alt+right")
        await until(pilot, lambda: pane.region.right == at_first.right + 4)
        app.action_reset_layout()
        await until(pilot, lambda: pane.region == at_first)
        assert app.layout_can_be_put_back
        app.action_reset_layout()
        await until(pilot, lambda: pane.region.right == at_first.right + 4)
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        pane = app.workspace.pane("form")
        medium = pane.region
        await pilot.press("alt+2", "alt+left")
        await until(pilot, lambda: pane.region.right == medium.right - 4)
        await pilot.resize_terminal(200, 60)
        await until(pilot, lambda: pane.region.right == at_first.right + 4, "each shape has its own")
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: pane.region.right == medium.right - 4)
        await pilot.press("alt+v", "end")
        row = next(y for y, line in enumerate(screen_text(app).splitlines()) if "Restore the layout" in line)
        await pilot.click(offset=(20, row))
        await until(pilot, lambda: pane.region == medium, "by the menu")


async def test_the_tour_shows_every_pane_it_speaks_of_and_leaves_all_as_it_was(monkeypatch):
    async with workbench(monkeypatch, (80, 24)) as (app, pilot):
        await pilot.press("alt+5")
        app.action_tour()
        await until(pilot, lambda: "1/6" in screen_text(app) and shown(app) == ["models"])
        for title, pane in (("2/6", "form"), ("3/6", "losses"), ("4/6", "samples"), ("5/6", "runs"), ("6/6", "models")):
            await pilot.press("enter")
            await until(pilot, lambda title=title, pane=pane: title in screen_text(app) and shown(app) == [pane])
            assert "{" not in screen_text(app) and "—" not in screen_text(app).split(title)[1]
        await pilot.press("left")
        await until(pilot, lambda: "5/6" in screen_text(app) and shown(app) == ["runs"])
        await pilot.press("left", "left", "left")
        await pilot.resize_terminal(70, 20)
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: "form" in shown(app))
        await pilot.press("right", "right")
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: "4/6" in screen_text(app) and shown(app) == ["samples"], "in this shape, too")
        await pilot.press("enter", "enter", "enter")
        await until(pilot, lambda: len(app.screen_stack) == 1 and shown(app) == ["log"])
        assert app.settings.get("tour", False) and app.workspace.layout_name == "edit"
        words = sum(len(stop.text.split()) for stop in STOPS)
        assert words < 240, "read in a minute"
        app.action_tour()
        await until(pilot, lambda: "1/6" in screen_text(app))
        await pilot.click(offset=(40, 21))
        await until(pilot, lambda: "2/6" in screen_text(app), "a click goes on")
        await pilot.press("left")
        await until(pilot, lambda: "1/6" in screen_text(app))
        await pilot.press("f10")
        await until(pilot, lambda: "Read the models again" in screen_text(app), "the key is pressed")


def test_whoever_comes_for_the_first_time_is_shown_around_once(world):
    (world / "config" / "tui-gen" / "settings.toml").unlink()
    with PtyTerminal([sys.executable, "-m", "tui_gen"], 100, 30) as terminal:
        terminal.wait_for_text("1/6")
        terminal.press("escape")
        terminal.wait_gone("1/6")
        terminal.press("ctrl+q")
        assert terminal.wait_exit() == 0
    with PtyTerminal([sys.executable, "-m", "tui_gen"], 100, 30) as terminal:
        terminal.wait_for_text("choose a recipe")
        terminal.press("f10")
        assert "1/6" not in terminal.wait_for_text("Read the models again")
        terminal.press("escape", "ctrl+q")
        assert terminal.wait_exit() == 0


@pytest.mark.parametrize("key", ["z", ""])
async def test_tabs_and_a_pane_that_fills_the_screen_are_as_before_the_tour(monkeypatch, key):
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        await pilot.press("alt+7", "alt+3", *[key] * bool(key))
        before = ["losses"] if key else ["models", "form", "losses", "samples", "system"]
        await until(pilot, lambda: watches(app, "losses") and shown(app) == before)
        app.action_tour()
        for number in range(1, 6):
            await until(pilot, lambda number=number: f"{number}/6" in screen_text(app))
            await pilot.press("enter")
        await pilot.press("escape")
        await until(pilot, lambda: watches(app, "losses") and shown(app) == before)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_panes_that_come_late_tell_of_the_recipe_too(monkeypatch, size):
    async with workbench(monkeypatch, size) as (app, pilot):
        assert app.form.draft.source == "vae-digits"
        await pilot.press("alt+3")
        await until_shown(pilot, "F5 trains it")
        assert {pane.card.name if pane.card else "" for pane in app.workspace.panes} == {"vae-digits"}


async def test_a_pane_of_which_nothing_could_be_seen_in_its_place_is_opened_over_all_others(monkeypatch, two_runs):
    async with workbench(monkeypatch, (120, 40), open_run=two_runs[0]) as (app, pilot):
        await until(pilot, lambda: watches(app))
        await pilot.press("8")
        await until(pilot, lambda: shown(app) == ["explore"] and watches(app, "explore"))
        assert app.workspace.pane("explore").region.height > 30 and " z Restore " in screen_text(app)
        await pilot.press("0")
        await until(pilot, lambda: shown(app) == ["data"])
        await pilot.press("4")
        await until(pilot, lambda: shown(app) == ["losses", "samples", "log"] and watches(app, "samples"))
        await pilot.press("8", "z")
        await until(pilot, lambda: shown(app) == ["losses", "samples", "explore"])
        await until(pilot, lambda: " z Maximise " in screen_text(app))
        await pilot.press("3", "8")
        await until(pilot, lambda: watches(app, "explore") and len(shown(app)) == 3, "where it was put")
        await pilot.press("z")
        await until(pilot, lambda: shown(app) == ["explore"])
        await pilot.press("3")
        await until(pilot, lambda: shown(app) == ["losses"], "by hand, it stays so for the next")
        await pilot.resize_terminal(80, 24)
        await pilot.press("z")
        await until(pilot, lambda: not app.workspace.maximised and "Maximise" not in screen_text(app))
