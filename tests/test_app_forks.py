"""Forks in the workbench: asked for on the losses, the samples and the list of runs; through the form, or as it is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.loop_run import Run
from tests.shell import screen_text, until, until_shown, workbench
from tui_gen import config as configs
from tui_gen import forks, launch, runs

LR = "train.phases.vae.lr"



@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of 20 steps with checkpoints at 8, 16 and 20."""
    settings = dict(train__steps=20, checkpoint__keep_last=9, checkpoint__every_steps=8, preview__every_steps=6)
    run = Run(tmp_path_factory.mktemp("runs"), edits=[{"step": 14, "key": "model.beta", "value": 2.0}], **settings)
    run.thread.start()
    return run.finish().path


@pytest.fixture
def begun(monkeypatch):
    """Runs that a worker was started for, none of which is there."""
    paths = []

    def begin(path, warm, *, resume=False, model_dirs=None):
        paths.append((path, resume))
        return SimpleNamespace(poll=lambda: 0)

    monkeypatch.setattr(launch, "begin", begin)
    return paths


async def test_a_fork_from_the_crosshair_goes_through_the_form(monkeypatch, trained, begun):
    async with workbench(monkeypatch, (80, 24), open_run=trained) as (app, pilot):
        await until(pilot, lambda: app.conductor.view is not None and app.conductor.view.step == 20)
        losses = app.workspace.pane("losses")
        app.workspace.open("losses")
        await until(pilot, lambda: losses.grid.size.height and "elbo" in screen_text(app))
        await pilot.press("home")
        await until(pilot, lambda: losses.looking.cursor == 1)
        await pilot.press("F")
        await until(pilot, lambda: "no checkpoint at step 1" in "\n".join(app.told))
        for _ in range(10):
            await pilot.press("right")
        await until(pilot, lambda: losses.looking.cursor == 11)
        await pilot.press("F")
        await until_shown(pilot, "past up to step 11", "same steps again up to 11", "model.beta")
        await pilot.press("c")
        await until(pilot, lambda: app.form.fork is not None and app.workspace.active is app.form)
        assert app.form.draft.source == f"fork of {trained.name} at step 11" and not app.form.problems()
        app.form.put("train.batch_size", "4")
        await pilot.press("f5")
        await until_shown(pilot, "This cannot be forked", "cannot change at step 11")
        assert not begun
        await pilot.press("escape", "ctrl+z")
        app.form.put(LR, "5e-3")
        await pilot.press("f5")
        await until(pilot, lambda: begun and app.conductor.view.path == begun[0][0])
        path, resume = begun[0]
        assert resume and forks.origin(path).changes == {LR: (1e-3, 5e-3)} and path.parent == runs.default_root()
        assert [edit["step"] for edit in configs.read_toml(path / "config.toml")["edits"]] == [11, 14]
        assert app.conductor.view.forks and app.conductor.view.step == 8
        app.pick_recipe("vae-digits")
        assert app.form.fork is None


async def test_a_fork_of_a_preview_s_step_or_of_a_run_in_the_list_starts_as_it_is(monkeypatch, trained, begun):
    async with workbench(monkeypatch, (120, 40), open_run=trained) as (app, pilot):
        await until(pilot, lambda: app.conductor.view is not None and app.conductor.view.step == 20)
        samples = app.workspace.pane("samples")
        app.workspace.open("samples")
        await until(pilot, lambda: samples.preview is not None)
        await pilot.press("end", "left")
        await until(pilot, lambda: samples.preview.step == 18)
        await pilot.press("F")
        await until_shown(pilot, "past up to step 18", "same steps again")
        await pilot.press("s")
        await until(pilot, lambda: len(begun) == 1)
        assert (forks.origin(begun[0][0]).step, forks.origin(begun[0][0]).start) == (18, 16)
        await until(pilot, lambda: app.conductor.view.path == begun[0][0])
        app.workspace.open("runs")
        pane = app.workspace.pane("runs")
        await until(pilot, lambda: [info.path for info in pane.rows] == [str(begun[0][0])])
        await pilot.press("F")
        await until_shown(pilot, "past up to step 16")
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert len(begun) == 1
