"""What is checked before a start is the same for the workbench and for the command line, and writes the same down."""

import pytest

from tui_gen import catalog as catalogs
from tui_gen import starting
from tui_gen.app.steering.session import Session
from tui_gen.config import ConfigError
from tui_gen.report import headless, stdout

FOLDER = {"dataset.name": "folder", "model.first_stage": "latest"}


@pytest.fixture
def known(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    return catalogs.read()


@pytest.mark.parametrize(
    ("root", "words"),
    [("nowhere", "is not there (correct it)"), ("~nobody-of-this-name/x", "there is no user 'nobody-of-this-name'")],
)
def test_both_object_to_the_same_with_the_same_words_at_once(known, tmp_path, capsys, root, words):
    settings = [f"{key}={value}" for key, value in (FOLDER | {"dataset.root": root}).items()]
    tables = catalogs.override(known.recipes["latent-diffusion-digits"].tables, settings, known)
    with pytest.raises(ConfigError) as refused:
        headless.resolve("latent-diffusion-digits", settings, [], tmp_path / "runs", stdout.standard()[1])
    made, problems = Session(tmp_path / "runs", [], known).check(tables)
    assert made is None and problems == refused.value.problems
    assert [problem.key for problem in problems] == ["dataset.root", "model.first_stage"]
    assert words in str(problems[0]) and "no run in" in str(problems[1])


def test_both_write_down_where_the_data_are_for_a_worker_that_runs_elsewhere(known, tmp_path):
    settings = ["dataset.name=folder", "dataset.root=pictures"]
    tables = catalogs.override(known.recipes["vae-digits"].tables, settings, known)
    made, _ = Session(tmp_path / "runs", [], known).check(tables)
    resolved = headless.resolve("vae-digits", settings, [], tmp_path / "runs", stdout.standard()[1])
    assert made.dataset.root == resolved.dataset.root == str(tmp_path / "pictures")


def test_a_config_keeps_a_root_that_has_a_problem(known, tmp_path):
    made = catalogs.resolve("vae-digits", known, ["dataset.name=folder", "dataset.root=nowhere"])
    (problem,) = starting.settle(made, known, tmp_path / "runs")
    assert (problem.key, problem.value, made.dataset.root) == ("dataset.root", str(tmp_path / "nowhere"), "nowhere")
