"""A moment of a run has one number wherever a person reads it: how many steps had been made."""

from __future__ import annotations

import pytest

from tests.plot_host import write_run
from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import events
from tui_gen.app.panes.losses.going import going_of
from tui_gen.history.comparison import of_paths
from tui_gen.history.comparison_rows import results_rows
from tui_gen.history.run_facts import RunRow, text_of
from tui_gen.history.run_summary import summary_of
from tui_gen.marks import marks_of
from tui_gen.report.exports import csv
from tui_gen.report.page.document import document
from tui_gen.runs import info_of
from tui_gen.verdicts import health
from tui_gen.verdicts.goals import goals_of
from tui_gen.view import RunView


@pytest.fixture
def run(tmp_path):
    """A run of 400 steps whose best validation is that after 200, of which there is a checkpoint."""
    values = events.Metrics(start=0, values={"vae/loss": [2.0] * 400, "vae/elbo": [-30.0] * 400})
    found = events.Metrics(start=199, stride=200, values={"val/vae/elbo": [-25.0, -27.0]})
    saved = events.Checkpoint(step=200, path="checkpoints/000200")
    spike = events.Alert(step=199, level="warning", what="spike", where="vae/loss")
    path = write_run(tmp_path / "run", values, found, saved, spike, planned=400)
    catalog = catalogs.read([])
    tables = catalog.recipes["vae-digits"].tables
    (path / "config.toml").write_text(configs.dumps(configs.load(tables | {"name": "vae-digits"}, catalog)))
    return path


def test_the_best_step_is_that_of_its_checkpoint_wherever_it_is_told(run):
    catalog, view = catalogs.read([]), RunView.read(run)
    verdict = health.verdict(view)
    assert verdict is not None and "best -25 at step 200" in health.line(verdict)
    going = going_of(verdict, view, goals_of(run / "config.toml", catalog)[0])
    assert going is not None and going.whole.count("at step 200") == 1 and "best -25 at step 200" in going.whole
    assert text_of(RunRow(info_of(run), summary_of(run, catalog)), "best_step") == "200", "in Runs, and in sweeps"
    compared = of_paths([run], catalog, {run: view})
    assert "-25 at 200" in [cell.text for row in results_rows(compared) for cell in row]
    page = document(view)
    assert "val/vae/elbo -25 at step 200" in page and "One checkpoint was made, at step 200" in page


def test_the_crosshair_the_marks_and_the_log_tell_of_a_value_at_the_same_step(run):
    view = RunView.read(run)
    curve = view.series["vae/loss"]
    assert (curve.steps[0], curve.steps[-1], view.step) == (1, 400, 400)
    assert [mark.step for mark in marks_of(view)] == [200, 200] and view.log[-1][2].startswith("step 200: spike")


def test_the_log_and_its_rows_as_csv_count_from_0(run):
    rows = list(csv.rows(RunView.read(run)))
    assert (rows[1][0], rows[-1][0]) == ("0", "399")
    assert [row[0] for row in rows[1:] if row[rows[0].index("val/vae/elbo")]] == ["199", "399"]
