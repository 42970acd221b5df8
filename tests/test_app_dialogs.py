"""Dialogs in terminals of any size: every answer is on the screen, and can be clicked."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Button

from tests.hosts import ThemedApp
from tests.painted import painted_text
from tests.waiting import wait_for_async
from tui_gen.app.panes.queue.sweep_dialog import SweepDialog
from tui_gen.app.widgets.dialogs import beside_dialog, broken_dialog, ended_dialog, quit_dialog, trust_dialog
from tui_gen.app.widgets.rollback_dialog import RollbackDialog
from tui_gen.params import Param
from tui_gen.remedy import smaller

LINES = [f"line {number} of what the worker said before it ended" for number in range(12)]
DIALOGS = {
    "quit": lambda: quit_dialog([("vae-digits-k3f9", "running")]),
    "beside": lambda: beside_dialog("start", "vae-mnist", [("wgan-gp-ring", "running", 1200)]),
    "trust": lambda: trust_dialog("This run names", Path("/a/folder/of/models"), [Path("/a/folder/of/models/one.py")]),
    "broken": lambda: broken_dialog("vae", "the loss is nan", smaller({"train.phases.vae.lr": 0.1}, 50), 40),
    "ended": lambda: ended_dialog("vae", "failed", "the disk is full", LINES, 40),
    "back": lambda: RollbackDialog("vae", [100, 200, 300], None),
}


async def until(pilot, condition):
    await wait_for_async(condition, what=lambda: painted_text(pilot.app), tick=pilot.pause)


@pytest.mark.parametrize("size", [(80, 24), (60, 20), (40, 12)])
async def test_every_answer_is_on_the_screen_and_can_be_clicked(size):
    app, answers = ThemedApp(), []
    async with app.run_test(size=size) as pilot:
        for name, dialog in DIALOGS.items():
            wanted = []
            for number in range(len(dialog()._answers)):
                app.push_screen(dialog(), answers.append)
                await until(pilot, lambda: len(app.screen_stack) == 2 and app.screen.query(Button))
                await pilot.pause()
                box = app.screen.query_one("#dialog").region.shrink(app.screen.query_one("#dialog").gutter)
                for button in app.screen.query(Button):
                    assert button.region.area and box.contains_region(button.region), (name, painted_text(app))
                    assert str(button.label).strip() in painted_text(app), (name, painted_text(app))
                button = list(app.screen.query(Button))[number]
                wanted.append(button.id.removeprefix("answer-"))
                assert await pilot.click(button, offset=(2, 0))
                await until(pilot, lambda: len(app.screen_stack) == 1)
            assert answers == wanted, name
            answers.clear()


@pytest.mark.parametrize("size", [(80, 24), (60, 20), (40, 12)])
async def test_every_field_of_the_sweep_form_is_on_the_screen_when_it_is_gone_to(size):
    app = ThemedApp()
    params = {f"train.{name}": Param(name, "int", 0) for name in ("seed", "steps", "threads")}
    dialog = SweepDialog("vae", params, dict.fromkeys(params, 0), lambda _: None, lambda _: ("loss", "lower"), {}, {})
    async with app.run_test(size=size) as pilot:
        app.push_screen(dialog)
        await until(pilot, lambda: len(app.screen_stack) == 2 and app.screen.query(Button))
        fields = list(app.screen.query("Input, OptionList, Button"))
        assert len(fields) == 10
        for field in fields:
            field.focus()

            def seen(field=field):
                x, y, width, height = field.region
                inside = x >= 0 and y >= 0 and x + width < size[0] and y + height < size[1] and width > 5
                return inside and app.screen.get_widget_at(x, y)[0] is field

            await until(pilot, seen)
