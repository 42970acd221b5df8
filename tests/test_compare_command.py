"""`tui-gen compare`: what differs, what came of it, as text and as CSV."""

from __future__ import annotations

import csv
import io

import pytest

from tests.test_app_compare import run
from tui_gen import cli, events


@pytest.fixture
def root(tmp_path):
    run(tmp_path, "first", losses=[5.0, 3.0, 4.0])
    run(tmp_path, "second", losses=[5.0, 2.5], train__phases__vae__lr="1e-4")
    return tmp_path


def told(capsys, *words):
    status = cli.main([*words])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_runs_are_compared_by_settings_and_results(root, capsys):
    status, out, _ = told(capsys, "compare", "first", "second", "--runs", str(root))
    assert status == 0
    lines = [line.split() for line in out.splitlines()]
    assert ["train.phases.vae.lr", "0.001", "°", "1e-4"] in lines
    assert ["last", "4", "2.5"] in lines and ["lowest", "3", "at", "2", "2.5", "at", "2", "★"] in lines
    assert "train.batch_size" not in out and "B  second" in out and "⣀" not in out, "no plot in a pipe"
    _, plotted, _ = told(capsys, "compare", "first", "second", "--runs", str(root), "--metric", "loss")
    assert "vae/loss" in plotted and any("\u2800" < c <= "\u28ff" for c in plotted)


def test_csv_has_a_column_a_run(root, capsys):
    _, out, _ = told(capsys, "compare", "first", "second", "--runs", str(root), "--csv")
    rows = list(csv.reader(io.StringIO(out)))
    assert rows[0] == ["what", "name", "20260101-0000-first", "20260101-0000-second"]
    assert ["setting", "train.phases.vae.lr", "0.001", "1e-4"] in rows
    assert ["best", "vae/loss", "3", "2.5"] in rows and ["best step", "vae/loss", "2", "2"] in rows
    _, out, _ = told(capsys, "compare", "first", "second", "--runs", str(root), "--csv", "--metric", "vae/loss")
    assert list(csv.reader(io.StringIO(out)))[1:] == [["0", "5", "5"], ["1", "3", "2.5"], ["2", "4", ""]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["first"], "2 to 12 runs can be compared, these name only 20260101-0000-first"),
        (["first", "first"], "these name only"),
        (["first", "nobody"], "no run 'nobody'"),
        (["first", "second", "--metric", "los"], "did you mean"),
        (["first", "second", "--open"], "needs a terminal"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(root, capsys, words, message):
    status, out, err = told(capsys, "compare", *words, "--runs", str(root))
    assert status == 2 and not out and message in err and err.count("\n") == 1


def test_a_config_that_cannot_be_read_is_said_and_the_rest_is_compared(root, capsys):
    (root / "20260101-0000-second" / "config.toml").write_text("[[[")
    _, out, _ = told(capsys, "compare", "first", "second", "--runs", str(root))
    assert "B: its config.toml is not valid TOML" in out and "2.5 at 2" in out


def test_what_a_spreadsheet_would_compute_is_text(root, capsys):
    (root / "20260101-0000-first" / "config.toml").write_text('name = "first"\n[model]\nname = "=1+1"\n')
    _, out, _ = told(capsys, "compare", "first", "second", "--runs", str(root), "--csv")
    assert ["setting", "model.name", "'=1+1", "vae"] in list(csv.reader(io.StringIO(out)))


def test_twelve_runs_have_tables_as_wide_as_the_terminal(tmp_path):
    from tui_gen import catalog as catalogs
    from tui_gen.history.comparison import of_paths
    from tui_gen.report.comparison_text import tables

    paths = [run(tmp_path, f"run-{n}", losses=[float(n)], train__seed=n, model__latent=n + 1) for n in range(12)]
    compared = of_paths(paths, catalogs.read())
    for one in compared:
        one.view.read_all()
    lines = list(tables(compared, catalogs.read(), 80))
    assert max(map(len, lines)) <= 80
    assert [letter for line in lines for letter in line.split() if len(letter) == 1 and letter.isupper()] == [
        *"ABCDEFGHIJKL" * 2
    ]


def test_a_run_that_came_from_events_alone_has_its_metrics(root, capsys):
    from tests.plot_host import append

    append(root / "20260101-0000-first", events.Metrics(start=0, values={"val/vae/loss": [9.0]}))
    _, out, _ = told(capsys, "compare", "first", "second", "--runs", str(root))
    assert ["last", "9", "–"] in [line.split() for line in out.splitlines()]
