"""`tui-gen zoo`: figures are held against what recipes reach, small and as written; what was reached is kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import fake_cli, fake_worker, small_runs
from tests.known import DATASETS
from tests.waiting import wait_for
from tui_gen import catalog, datasets, runs
from tui_gen.report import headless, records, trials
from tui_gen.train.offline import validate
from tui_gen.train.run import checkpoints as saved

RECIPE = """
[recipe]
title = "Small"
figure = "20 nats"
source = "Somebody 2020"
check = ["train.steps=40"]
metric = "val/vae/loss"
better = "lower"
reach = {reach}
{more}
[model]
name = "vae"
hidden = [16]

[dataset]
name = "{dataset}"

[train]
steps = 900
validate_every = 20
device = "cpu"
"""


def recipe(name: str, reach: float, dataset: str = "digits", more: str = "") -> None:
    """A recipe of the user's own."""
    folder = Path(os.environ["XDG_CONFIG_HOME"]) / "tui-gen" / "recipes"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.toml").write_text(RECIPE.format(reach=reach, dataset=dataset, more=more))


def test_a_real_worker_reaches_a_figure(tmp_path):
    recipe("easy", 43)
    command = [sys.executable, "-m", "tui_gen", "zoo", "check", "--only", "easy", "--record", "r.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert done.returncode == 0, done.stdout + done.stderr
    assert lines["easy"].endswith("pass") and "figure: 20 nats (Somebody 2020)" in done.stdout
    assert "1 of 1 reached their figure" in done.stdout
    kept = records.read(tmp_path / "r.json").small["easy"]
    assert kept.verdict == records.PASSED and kept.steps == 40 and kept.device == "cpu (1 thread)"
    assert 15 < kept.reached < 43 and kept.seconds > 0
    assert kept.processor is not None and kept.processor >= 0  # its log tells


def test_results_as_json_and_as_a_markdown_table_in_the_catalogues_order(call, monkeypatch, tmp_path):
    fake_worker.install(monkeypatch, steps=20, rate=1e6)
    recipe("b-easy", 60)
    recipe("a-hard", 1)
    status, out, err = call("zoo", "check", "--only", "[ab]-*", "--json", "--jobs", "2")
    rows = {row["recipe"]: row for row in map(json.loads, out.splitlines())}
    assert status == 1 and set(rows) == {"a-hard", "b-easy"} and "1 of 2" in err
    assert rows["b-easy"]["verdict"] == "pass" and rows["a-hard"]["verdict"] == "MISSED"
    assert rows["b-easy"]["expected"] == 60 and 20 < rows["b-easy"]["reached"] < 60
    assert (rows["b-easy"]["figure"], rows["b-easy"]["source"]) == ("20 nats", "Somebody 2020")
    record = tmp_path / "reached.json"
    status, out, _ = call("zoo", "check", "--only", "b-easy", "a-hard", "--markdown", "--record", str(record))
    table = out.splitlines()
    assert table[0].startswith("| recipe |") and set(table[1]) == set("|-")
    assert [line.split("`")[1] for line in table[2:]] == ["a-hard", "b-easy"]
    assert "20 nats (Somebody 2020)" in table[3] and "≤ 60" in table[3] and table[3].endswith("pass |")
    status, again, _ = call("zoo", "table", "--markdown", "--record", str(record))
    assert status == 0 and again.splitlines() == ["Small versions:", "", *table]
    assert call("zoo", "table", "--only", "b-*", "--record", str(record))[1].splitlines()[-1].split()[0] == "b-easy"


def measuring(monkeypatch, **values: float) -> None:
    """What is found on all validation examples."""
    told = json.dumps({f"val/vae/{name}": value for name, value in values.items()})
    settings = {"stdout": subprocess.PIPE, "start_new_session": True}
    monkeypatch.setattr(trials, "validation", lambda running: subprocess.Popen(["printf", "%s", told], **settings))


def test_as_written_trains_where_there_is_data_and_goes_on_where_there_is_none(call, monkeypatch, tmp_path):
    started = fake_worker.install(monkeypatch, steps=52, rate=1e6)
    measuring(monkeypatch, loss=59.0)
    monkeypatch.setattr(records, "record_path", lambda: tmp_path / "reached.json")
    recipe("aimed", 1, more="aim = 60")
    recipe("plain", 1)
    recipe("far", 1, dataset="mnist")
    status, out, _ = call("zoo", "check", "--full", "--only", "aimed", "plain", "far", "--record")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert status == 0 and len(started) == 2
    assert lines["aimed"].endswith("pass: 2 epochs") and "≤ 60" in lines["aimed"]
    assert lines["plain"].endswith("trained: 2 epochs")
    assert "no data here: mnist; set dataset.root" in lines["far"]
    status, out, _ = call("zoo", "check", "--full", "--only", "aimed", "--set", "train.minutes=1")
    assert "trained: 2 epochs, with train.minutes=1" in out  # cut short, so not held against the aim
    kept = records.read().full
    assert set(kept) == {"aimed", "plain"} and kept["aimed"].expected == 60
    out = call("recipe", "aimed")[1]
    words = " ".join(line.removeprefix("# ") for line in out.splitlines() if line.startswith("#"))
    assert "20 nats (Somebody 2020)" in words and "as written: val/vae/loss" in words


AIMS = """
[recipe.aims]
digits = { metric = "val/vae/mse + val/vae/kl / 100 + -0.1", reach = 0.5 }
shapes = { metric = "val/vae/elbo", better = "higher", reach = -9 }
"""


def test_a_figure_is_stated_by_dataset_and_in_its_own_terms(call, monkeypatch):
    fake_worker.install(monkeypatch, steps=52, rate=1e6)
    measuring(monkeypatch, mse=0.25, kl=30.0, elbo=-9.5)
    recipe("both", 1, more=AIMS)

    def row(*words):
        status, out, _ = call("zoo", "check", "--full", "--only", "both", "--json", *words)
        return status, json.loads(out.splitlines()[0])

    status, found = row()
    assert (status, found["verdict"]) == (0, "pass") and found["reached"] == pytest.approx(0.45)
    assert found["expected"] == 0.5 and found["others"]["val/vae/kl"] == 30
    status, found = row("--set", "dataset.name=digits", "--set", "train.steps=900")  # which it says itself
    assert (status, found["verdict"], found["expected"]) == (0, "pass", 0.5) and "with" not in found["words"]
    status, found = row("--set", "dataset.name=shapes")
    assert (status, found["verdict"], found["dataset"]) == (1, "MISSED", "shapes")
    assert (found["metric"], found["reached"], found["expected"]) == ("val/vae/elbo", -9.5, -9)
    status, found = row("--set", "dataset.name=ring", "--set", "model.likelihood=gaussian")
    assert found["verdict"] == "trained" and "with dataset.name=ring, model.likelihood=gaussian" in found["words"]
    status, found = row("--set", "dataset.name=shapes", "--set", "model.beta=2")
    assert found["verdict"] == "trained" and "with model.beta=2" in found["words"]
    measuring(monkeypatch, kl=30.0)
    status, found = row()
    assert (status, found["verdict"]) == (1, "failed") and "no val/vae/mse + val/vae/kl / 100" in found["words"]


def test_where_the_last_checkpoint_cannot_be_measured_the_log_counts_and_that_is_said(call, monkeypatch):
    fake_worker.install(monkeypatch, steps=52, rate=1e6)
    broken = {"stdout": subprocess.PIPE, "start_new_session": True}
    monkeypatch.setattr(trials, "validation", lambda running: subprocess.Popen(["false"], **broken))
    recipe("plain", 1)
    out = call("zoo", "check", "--full", "--only", "plain")[1]
    assert "trained: 2 epochs, on a part of the validation examples" in out


def test_metrics_of_a_checkpoint_over_all_validation_examples(tmp_path, capsys):
    settings = {"model__network": "mlp", "dataset__name": "ring", "dataset__shift": 0, "quality__samples": 100}
    run, trainer = small_runs.make_run(tmp_path, "gan", **settings), small_runs.trainer("gan", **settings)
    for _ in range(3):
        trainer.train_step()
    saved.save(run, trainer.snapshot(), saved.Meta(3, 0.0, "test"))
    assert validate.main([str(run), "--quality"]) == 0
    found = json.loads(capsys.readouterr().out)
    whole = trainer.validate()  # the weights that are trained, not their averages
    assert {name: found[name] for name in whole} == pytest.approx(whole)
    assert trainer.validate(256) != pytest.approx(whole)
    assert 0 <= found["quality/precision"] <= 1
    assert validate.main([str(tmp_path)]) == 1 and capsys.readouterr().err.startswith("error: ")


def test_data_is_at_hand_in_the_cache_in_the_root_or_built_in(tmp_path):
    assert datasets.at_hand(DATASETS["digits"], "") and datasets.at_hand(DATASETS["python-help"], "/nowhere")
    assert not datasets.at_hand(DATASETS["mnist"], "") and not datasets.at_hand(DATASETS["mnist"], str(tmp_path))
    assert not datasets.at_hand(DATASETS["folder"], "") and datasets.at_hand(DATASETS["folder"], str(tmp_path))
    for base in (tmp_path, datasets.downloaded()):
        raw = base / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for name in DATASETS["mnist"].files.files:
            (raw / f"{name}.gz").touch()
    assert datasets.at_hand(DATASETS["mnist"], "") and datasets.at_hand(DATASETS["mnist"], str(tmp_path))
    assert not datasets.at_hand(DATASETS["fashion-mnist"], str(tmp_path))


def test_a_run_that_fails_is_one_line_and_the_others_go_on(call, monkeypatch, tmp_path):
    fake_worker.install(monkeypatch, steps=20, rate=1e6, crash_at=5)
    recipe("bad-one", 60)
    recipe("bad-two", 60, more='aim = "low"')
    recipe("bad-three", 60)
    status, out, err = call("zoo", "check", "--only", "bad-*", "--record", str(tmp_path / "r.json"))
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert status == 1 and "Traceback" not in out + err
    for name in ("bad-one", "bad-three"):
        assert "failed: RuntimeError: the fake worker was told to crash" in lines[name]
    assert "bad-two.toml: [recipe]: the check of its figure cannot be used" in err and "`$.aim`" in err
    assert not (tmp_path / "r.json").exists() or not records.read(tmp_path / "r.json").small  # nothing was measured


def test_a_metric_that_is_not_in_the_log_is_named_with_those_that_are(call, monkeypatch):
    fake_worker.install(monkeypatch, steps=20, rate=1e6)
    recipe("odd", 60)
    path = Path(os.environ["XDG_CONFIG_HOME"]) / "tui-gen" / "recipes" / "odd.toml"
    path.write_text(path.read_text().replace("val/vae/loss", "val/vae/los"))
    status, out, _ = call("zoo", "check", "--only", "odd")
    assert status == 1 and "no val/vae/los in its log; there are val/vae/loss\n" in out


def spend_the_budget_once_something_trained(monkeypatch) -> None:
    """Have the ten minutes of a budget be over as soon as a run says for how long it has trained, however slow the
    machine is."""

    def clock() -> float:
        trained = any(len(headless.drained(info.path).clock.values) for info in runs.list_runs(runs.default_root()))
        return time.monotonic() + (601 if trained else 0)

    monkeypatch.setattr(trials, "time", SimpleNamespace(monotonic=clock, strftime=time.strftime))


def test_when_the_budget_is_spent_what_trains_is_stopped_and_nothing_more_begins(call, monkeypatch):
    started = fake_worker.install(monkeypatch, rate=100)  # without an end
    for name in ("slow-a", "slow-b"):
        recipe(name, 60)
    spend_the_budget_once_something_trained(monkeypatch)
    status, out, _ = call("zoo", "check", "--only", "slow-*", "--budget", "10m")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert status == 1 and len(started) == 1
    assert lines["slow-a"].split()[-1] == "spent" and lines["slow-b"].endswith("not started: the budget is spent")


def test_what_was_stopped_goes_on_where_the_same_is_asked_for_again_and_only_there(call, monkeypatch):
    recipe("slow", 60)
    fake_worker.install(monkeypatch, rate=100)  # without an end
    with monkeypatch.context() as patch:
        spend_the_budget_once_something_trained(patch)
        call("zoo", "check", "--only", "slow", "--budget", "10m")
    (first,) = runs.list_runs(runs.default_root())
    assert first.state == "stopped" and first.step > 0
    started = fake_worker.install(monkeypatch, steps=first.step + 20, rate=1e6)
    assert call("zoo", "check", "--only", "slow", "--set", "train.seed=5")[1]  # something else
    (other,) = (info.path for info in runs.list_runs(runs.default_root()) if info.path != first.path)
    _, out, _ = call("zoo", "check", "--only", "slow")
    assert [Path(process.args[3]).name for process in started] == [Path(path).name for path in (other, first.path)]
    (line,) = (line for line in out.splitlines() if line.startswith("slow"))
    assert float(line.split()[-2]) >= 1  # the seconds before count as well
    call("zoo", "check", "--only", "slow")  # it has finished: anew
    assert len(runs.list_runs(runs.default_root())) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_what_trains_and_shows_what_there_is(number):
    recipe("endless", 60)
    process = fake_cli.start("zoo", "check", "--only", "endless", rate=50)
    root = runs.default_root()

    def trains() -> bool:
        return any(runs.state_of(path)[0] == "running" for path in root.glob("*check-endless*"))

    wait_for(trains, what="the run")
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == (130 if number == signal.SIGINT else 143) and "Traceback" not in err
    assert "stopping what trains, with a checkpoint" in err
    assert "stopped: interrupted" in out and "1 stopped" in out
    assert not any(info.live for info in runs.list_runs(root))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["check", "--only", "vae-digit"], "did you mean"),
        (["check", "--only", "nothing-*"], "no such recipe"),
        (["chek"], "invalid choice"),
        ([], "TASK"),
        (["check", "--jobs", "0"], "whole number"),
        (["check", "--budget", "soon"], "is not a time"),
        (["check", "--set", "train.setps=3"], "train.setps"),
        (["check", "--json", "--markdown"], "not allowed with"),
        (["table", "--record", "/nowhere/at/all.json"], "nothing is on record"),
    ],
)
def test_what_cannot_be_done_is_said(call, monkeypatch, words, told):
    fake_worker.install(monkeypatch, steps=20, rate=1e6)
    recipe("one", 60)
    only = ["--only", "one"] if "--set" in words else []
    status, out, err = call("zoo", *words, *only)
    assert told in out + err and "Traceback" not in out + err
    assert status != 0 or words[0] == "table"


def test_a_record_that_is_none_is_refused_before_anything_trains(call, monkeypatch, tmp_path):
    started = fake_worker.install(monkeypatch, steps=20, rate=1e6)
    (tmp_path / "r.json").write_text("[1, 2]")
    status, _, err = call("zoo", "check", "--record", str(tmp_path / "r.json"))
    assert status == 2 and "is no record of figures" in err and not started
    assert call("zoo", "table", "--record", str(tmp_path / "r.json"))[0] == 2


def test_a_recipe_may_state_no_figure(call, monkeypatch):
    fake_worker.install(monkeypatch, steps=20, rate=1e6)
    recipe("mute", 60)
    path = Path(os.environ["XDG_CONFIG_HOME"]) / "tui-gen" / "recipes" / "mute.toml"
    path.write_text(path.read_text()[path.read_text().index("[model]") :])
    status, _, err = call("zoo", "check", "--only", "mute")
    assert status == 1 and "mute: states no figure that can be checked" in err
    assert catalog.read().problems == []
