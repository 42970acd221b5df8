"""Measuring a run's quality from the workbench."""

from tests.shell import screen_text, until, workbench
from tests.test_app_shell_runs import said, started


async def test_a_key_measures_the_run_and_shows_the_figures_where_the_samples_are(monkeypatch):
    async with workbench(monkeypatch, (200, 60)) as (app, pilot):
        view = await started(monkeypatch, app, pilot)
        assert app.enabled("ask('quality')") and app.key_of("run.quality") == "F4"
        await pilot.press("f4")
        await until(pilot, lambda: "quality measured at step" in said(app))
        assert "FID" in said(app) and "(real 0.8?)" in said(app)
        await until(pilot, lambda: "digits classifier network abc" in screen_text(app))
        assert app.workspace.pane("samples").kind == "quality"
        await until(pilot, lambda: "quality/fid" in view.series and "quality at step" in screen_text(app))
