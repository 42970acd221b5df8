"""Keys that come faster than the workbench does what they say: each goes where the one before it has led."""

from __future__ import annotations

import asyncio

import pytest
from textual import events
from textual.widgets import Input, Tree

from tests.shell import until, workbench
from tui_gen.app.shell.palette import Commands
from tui_gen.app.widgets.text_dialog import TextDialog


def type_at_once(app, *keys):
    """Keys as they come from a slow machine or link: all of them before the first has done anything."""
    for key in keys:
        app.post_message(events.Key({"/": "slash", " ": "space"}.get(key, key), key if len(key) == 1 else None))


async def dialog(app, pilot, name):
    if name == "field":
        app.push_screen(TextDialog("Name", "what"), lambda answer: app.told.append(answer))
    else:
        app.do(name)
    await until(pilot, lambda: len(app.screen_stack) == 2 and app.focused is not None)


@pytest.mark.parametrize("name", ["keys", "field", "command_palette"])
async def test_keys_typed_right_after_escape_are_not_lost_in_the_dialog(monkeypatch, name):
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        await pilot.press("alt+1")
        tree = app.workspace.pane("models").query_one(Tree)
        before = tree.cursor_line
        await dialog(app, pilot, name)
        type_at_once(app, "escape", "down", "down")
        await until(pilot, lambda: tree.cursor_line == before + 2 and len(app.screen_stack) == 1)
        await dialog(app, pilot, name)
        type_at_once(app, "escape", "alt+2")
        await until(pilot, lambda: app.workspace.active.id == "form" and len(app.screen_stack) == 1)


async def test_a_field_that_goes_away_with_a_key_does_not_hold_up_the_others(monkeypatch):
    """What is typed goes on where the focus is then."""
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        await dialog(app, pilot, "field")
        box = app.screen.query_one(Input)
        box.on_key = lambda event: box.remove()
        type_at_once(app, "x", "escape", "alt+2")
        await until(pilot, lambda: app.workspace.active.id == "form" and len(app.screen_stack) == 1)


@pytest.mark.parametrize(("pane", "field"), [("models", "#search"), ("log", "Input"), ("runs", "Input")])
async def test_what_is_typed_right_behind_a_key_that_leads_to_a_field_is_its_text(monkeypatch, pane, field):
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        app.workspace.open(pane)
        await until(pilot, lambda: app.workspace.active.id == pane)
        for _ in range(2):
            type_at_once(app, *"/vae z1")
            box = app.workspace.pane(pane).query_one(field, Input)
            await until(pilot, lambda box=box: app.focused is box and box.value == "vae z1")
            type_at_once(app, "escape", "escape", "down", "alt+2")
            await until(pilot, lambda: app.workspace.active.id == "form")
            type_at_once(app, "alt+1", "alt+" + {"log": "5", "runs": "6"}.get(pane, "1"))
            await until(pilot, lambda: app.workspace.active.id == pane)


async def test_what_is_typed_right_behind_the_key_that_opens_a_dialog_is_for_it_and_enter_for_all_of_it(monkeypatch):
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        names = ("paper", "ember")
        for key in ("alt+1", "alt+5"):
            await pilot.press(key)
            for name in names:
                type_at_once(app, "ctrl+p", *f"theme: {name}", "enter")
                await until(pilot, lambda name=name: app.theme == name and len(app.screen_stack) == 1)
        type_at_once(app, "question_mark", "escape", "f10", "escape", "alt+2", "ctrl+p", *"qu")
        await until(pilot, lambda: len(app.screen_stack) == 2 and getattr(app.focused, "value", "") == "qu")
        type_at_once(app, "escape", "alt+3")
        await until(pilot, lambda: len(app.screen_stack) == 1 and app.workspace.active.id == "losses")


async def test_what_is_typed_behind_enter_in_a_palette_that_still_looks_is_for_what_comes_after_it(monkeypatch):
    looking, search = asyncio.Event(), Commands.search

    async def slow(self, query):
        await looking.wait()
        async for hit in search(self, query):
            yield hit

    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        monkeypatch.setattr(Commands, "search", slow)
        type_at_once(app, "ctrl+p", *"theme: paper", "enter", "ctrl+p", *"theme: ember", "enter", "alt+3")
        await until(pilot, lambda: getattr(app.focused, "value", "") == "theme: paper")
        for _ in range(5):
            await pilot.pause()
        assert app.focused.value == "theme: paper" and len(app.screen_stack) == 2
        looking.set()
        await until(pilot, lambda: app.theme == "ember" and app.workspace.active.id == "losses")
        assert len(app.screen_stack) == 1
        type_at_once(app, "ctrl+p", *"nothing is called so", "enter")
        await until(pilot, lambda: getattr(app.focused, "value", "") == "nothing is called so")
        type_at_once(app, "escape", "alt+2")
        await until(pilot, lambda: len(app.screen_stack) == 1 and app.workspace.active.id == "form")
