"""The Compare pane: several runs beside each other, by keys and by mouse."""

from __future__ import annotations

import pytest

from tests import fake_worker
from tests.shell import SIZES, until, until_shown, workbench
from tui_gen.app.panes.compare.asking import CompareAsked
from tui_gen.app.panes.compare.pane import ComparePane


@pytest.fixture
def two_runs():
    """Two finished runs of a recipe, with other rates."""
    runs = [fake_worker.make_run(None, "vae-digits", f"train.phases.vae.lr={lr}") for lr in ("1e-3", "3e-4")]
    return [fake_worker.record(run) for run in runs]


@pytest.mark.parametrize("size", SIZES)
async def test_runs_that_are_to_be_compared_show_in_what_they_differ(monkeypatch, two_runs, size):
    async with workbench(monkeypatch, SIZES[size]) as (app, pilot):
        app.workspace.pane("runs").post_message(CompareAsked(two_runs))
        screen = await until_shown(pilot, "train.phases.vae.lr", "0.001 °", "3e-4")
        assert "train.steps" not in screen and app.workspace.active.id == "compare"


async def test_the_palette_compares_with_the_run_that_is_shown(monkeypatch, two_runs):
    async with workbench(monkeypatch, (120, 40), open_run=two_runs[0]) as (app, pilot):
        pane = app.workspace.pane("compare")
        assert isinstance(pane, ComparePane)
        await until(pilot, lambda: pane.view is not None)
        await pilot.press("ctrl+p", *"compare with", "down", "enter")
        await until(pilot, lambda: [run.path for run in pane.compared] == two_runs)
        assert pane.compared[0].view is pane.view, "what is read already is not read again"
        await until_shown(pilot, "train.phases.vae.lr")
