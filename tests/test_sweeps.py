"""Spaces of settings, their grids and random points; sweeps in the queue and what came of them."""

from __future__ import annotations

import csv
import io
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.settings import values_of
from tests.test_queue_command import queue, work  # noqa: F401 - a fixture
from tests.test_queueing import known
from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import events, params, runs, space, sweeps
from tui_gen.config import ConfigError
from tui_gen.log import event_log
from tui_gen.params import Param
from tui_gen.queue import queueing

SETTINGS = {
    "model.latent": Param("latent", "int", 16, ge=1, le=1024),
    "model.beta": Param("beta", "float", 1.0, ge=0),
    "model.hidden": Param("hidden", "list", [256], item="int", ge=1, min_items=1),
    "model.likelihood": Param("likelihood", "choice", "bernoulli", choices=["bernoulli", "gaussian"]),
    "model.conditional": Param("conditional", "bool", False),
    "train.phases.a.lr": Param("lr", "float", 1e-3, gt=0, le=10),
    "train.phases.b.lr": Param("lr", "float", 1e-3, gt=0, le=10),
}


def grid_of(text):
    return [next(iter(point.values())) for point in space.grid(space.parse([text], SETTINGS))]


@pytest.mark.parametrize(
    "text,values",
    [
        ("latent=8|16|32", [8, 16, 32]),
        ("model.latent = 8 | 8 | 16", [8, 16]),
        ("latent=4..8", [4, 5, 6, 7, 8]),
        ("latent=1..3", [1, 2, 3]),
        ("latent=1..1000:log:4", [1, 10, 100, 1000]),
        ("beta=0..1", [0.0, 0.25, 0.5, 0.75, 1.0]),
        ("beta=0..1:3", [0.0, 0.5, 1.0]),
        ("a.lr=1e-4..1e-2:log:3", [1e-4, 1e-3, 1e-2]),
        ("train.phases.b.lr=1e-4..1e-2:3:log", [1e-4, 1e-3, 1e-2]),
        ("hidden=256, 128|64", [[256, 128], [64]]),
        ("likelihood=gaussian|bernoulli", ["gaussian", "bernoulli"]),
        ("conditional=on|off", [True, False]),
        ("beta=2..2:log", [2.0]),
    ],
)
def test_values_are_those_that_are_written(text, values):
    assert grid_of(text) == values
    assert all(type(found) is type(wanted) for found, wanted in zip(grid_of(text), values))


@pytest.mark.parametrize(
    "text,words",
    [
        ("latent", "must look like key=values"),
        ("latent=", "must look like key=values"),
        ("latnt=1", "did you mean 'latent'"),
        ("lr=1e-3", "could be any of several .*train.phases.a.lr, train.phases.b.lr"),
        ("latent=0|8", "model.latent = 0: needs a whole number"),
        ("latent=eight", "needs a whole number"),
        ("latent=2,4", r"several values: model.latent='2\|4'"),
        ("latent=1..2000", "2000 needs a whole number, 1 ≤ x ≤ 1024"),
        ("latent=8..4", "goes down"),
        ("beta=0..1:log", "has no logarithm"),
        ("beta=0..1:cubic", "is no range"),
        ("beta=0..1:0", "has 0 values"),
        ("beta=..1", "nothing needs a number"),
        ("beta=0..nan", "nan needs a number"),
        ("likelihood=gausian", "did you mean 'gaussian'"),
    ],
)
def test_nonsense_is_told_with_what_may_be_written(text, words):
    with pytest.raises(ConfigError, match=words):
        space.parse([text], SETTINGS)


def test_every_problem_is_told_at_once_and_no_setting_is_given_twice():
    with pytest.raises(ConfigError) as told:
        space.parse(["latent=0", "beta=x", "nope=1"], SETTINGS)
    assert len(told.value.problems) == 3
    with pytest.raises(ConfigError, match="is given twice"):
        space.parse(["latent=1", "model.latent=2"], SETTINGS)
    for text in ("latent=|", "latent=0|8| 0", "likelihood=odd|odd"):  # one trouble is told once
        with pytest.raises(ConfigError) as told:
            space.parse([text], SETTINGS)
        assert len(told.value.problems) == 1, text


def test_a_grid_has_every_combination_once_and_is_not_endless():
    points = space.grid(space.parse(["latent=1|2", "beta=0..1:2", "conditional=on|off"], SETTINGS))
    assert len(points) == 8 == len({tuple(point.items()) for point in points})
    with pytest.raises(ConfigError, match="has 100,000 combinations"):
        space.grid(space.parse(["latent=1..1024:1000", "beta=0..1:100"], SETTINGS))


def test_random_points_are_different_the_same_for_a_seed_and_spread_as_is_said():
    axes = space.parse(["a.lr=1e-4..1:log", "latent=1..64"], SETTINGS)
    points = space.sample(axes, 400, 7)
    assert points == space.sample(axes, 400, 7) != space.sample(axes, 400, 8)
    assert len({tuple(point.items()) for point in points}) == 400
    below = sum(point["train.phases.a.lr"] < 1e-2 for point in points)
    assert 150 < below < 250, "half of them lie below the middle of the logarithm"
    assert len(space.sample(space.parse(["latent=1..3"], SETTINGS), 50, 0)) == 3, "there are no more"
    for count in (0, 1001):
        with pytest.raises(ConfigError, match="needs a whole number, 1 ≤ x ≤ 1000"):
            space.sample(axes, count, 0)


@settings(max_examples=40)
@given(st.data(), st.sampled_from([param for param in SETTINGS.values() if param.kind in ("int", "float")]))
def test_whatever_is_drawn_of_a_range_is_allowed(data, param):
    ends = st.tuples(values_of(param), values_of(param)).map(sorted)
    low, high = data.draw(ends)
    log = low > 0 and data.draw(st.booleans())
    text = f"{params.show(low)}..{params.show(high)}{':log' * log}"
    axis = space.axis("model.x", text, {"model.x": param})
    for value in [*axis.grid(), *(axis.draw(random.Random(seed)) for seed in range(5))]:
        assert low <= value <= high and math.isfinite(value)
        assert params.check_value(param, value) == (value, "")
    assert space.axis("model.x", axis.words(), {"model.x": param}).grid() == axis.grid()


@pytest.mark.parametrize(
    "key,value,words",
    [
        ("model.latent", 16, "8|16|32"), ("model.latent", 1, "1|2"), ("model.latent", 1024, "512|1024"),
        ("a.lr", 1e-3, "1e-4..0.01:log:3"), ("model.beta", 0.0, "0..1:3"), ("model.conditional", True, "false|true"),
        ("model.likelihood", "gaussian", "bernoulli|gaussian"), ("model.hidden", [256, 128], "256, 128"),
    ],
)  # fmt: skip
def test_values_that_are_proposed_can_be_parsed(key, value, words):
    param = SETTINGS[space.full_key(key, SETTINGS)]
    assert space.proposal(param, value) == words
    assert space.axis("model.x", words, {"model.x": param}).grid()


# -- in the queue


def finish(entry, loss, state="done"):
    """What a run of an entry leaves that was validated with this loss."""
    root = runs.default_root()
    run = runs.create(root, entry.name, entry.config)
    writer = event_log.EventWriter(run / "events.jsonl")
    writer.write(events.Metrics(start=9, values={"val/vae/loss": [loss]}), events.Metrics(
        start=19, values={"val/vae/loss": [loss + 1]}), events.State(state="finished", step=20))  # fmt: skip
    writer.close()

    def end(entry):
        entry.state, entry.run, entry.begun = state, run.name, True

    queueing.update(root, entry.id, end)
    return run


def test_a_sweep_is_added_as_a_group_and_its_results_compared(call, work):  # noqa: F811
    words = ["sweep", "vae-digits", "--space", "lr=1e-4..1e-2:log:3", "latent=4|8", "--set", "train.steps=20"]
    status, out, err = call("queue", *words, "--dry-run")
    assert status == 0 and out.splitlines()[0] == "lr=1e-4 latent=4" and "6 runs, for an unknown time" in err
    assert queue().entries == [] and work == []
    assert call("queue", *words)[0] == 0 and len(work) == 1
    entries = queue().entries
    assert {entry.group for entry in entries} == {"sweep-1"} and len(entries) == 6
    assert entries[1].values == {"train.phases.vae.lr": 1e-4, "model.latent": 8}
    tables = configs.load(configs.parse_toml(entries[1].config, ""), known())
    assert (tables.train.phases["vae"].lr, tables.model.values["latent"], tables.train.steps) == (1e-4, 8, 20)
    assert entries[1].name == "vae-digits lr=1e-4 latent=8"
    assert call("queue", "results", "--best")[0] == 2, "none has a result yet"
    finish(entries[0], 30.0)
    best = finish(entries[3], 20.0)
    finish(entries[4], 25.0, state="failed")
    status, out, err = call("queue", "results", "sweep-1")
    rows = [line.split() for line in out.splitlines()]
    assert rows[0][:6] == ["ID", "STATE", "lr", "latent", "val/vae/loss", "AT"]
    assert rows[1][:7] == ["4", "done", "0.001", "8", "20", "★", "10"]
    assert [row[0] for row in rows[1:]] == ["4", "5", "1", "2", "3", "6"], "the best first, then what has no result"
    assert "3 of 6 are over; val/vae/loss: the lower the better" in err
    found = list(csv.DictReader(io.StringIO(call("queue", "results", "--csv")[1])))
    assert (found[0]["best"], found[0]["train.phases.vae.lr"], found[0]["run"]) == ("20.0", "0.001", best.name)
    status, out, _ = call("queue", "results", "--best")
    assert out == (best / "config.toml").read_text()
    assert "removed 0 entries" in call("queue", "clear")[1], "the results of sweeps stay"
    assert call("queue", "remove", "sweep-1")[1].count("removed") == 6 and queue().entries == []


@pytest.mark.parametrize(
    "words,told",
    [
        (["--space", "lr=1"], "required|lr"),
        (["--space", "latent=0"], "model.latent = 0: needs a whole number"),
        (["--space", "steps=10|20", "epochs=1|2"], "are both lengths"),
        (["--space", "latent=1..3", "--grid", "--random", "2"], "not allowed with argument"),
        (["--space", "latent=1..3", "--random", "0"], "is not a whole number from 1"),
        (["--space", "latent=1..3", "--random", "2", "--seed", "9" * 30], "is not a seed"),
        (["--space", "train.lr=1|2"], "did you mean train.phases.generator.lr or"),
        (["--space", "name=a|b"], "names no setting|model.name"),
        ([], "--space"),
    ],
)
def test_a_sweep_that_cannot_be_is_told_and_adds_nothing(call, work, words, told):  # noqa: F811
    status, _, err = call("queue", "sweep", "dcgan-digits", *words)
    assert status == 2 and "Traceback" not in err and any(part in err for part in told.split("|"))
    assert queue().entries == []


def test_a_length_that_is_varied_takes_the_place_of_the_one_that_was_set():
    base = catalogs.resolve("vae-digits", known(), ["train.steps=100"])
    made = sweeps.configs_of(base, [{"train.epochs": 2.0}], known(), runs.default_root())
    assert (made[0].train.epochs, made[0].train.steps) == (2.0, 0)


def test_names_of_sweeps_that_are_none_are_told(call):
    assert "no sweep is in the queue" in call("queue", "results")[2]
    queueing.add(runs.default_root(), [queueing.QueueDraft(name="a", config="")], sweep=True)
    assert "did you mean 'sweep-1'" in call("queue", "results", "sweep-2")[2]


@pytest.mark.parametrize("steps,words", [(0, ""), (100, "train.phases.autoencoder.lr, train.phases.pre")])
def test_a_name_means_the_only_setting_that_does_something(steps, words):
    catalog = catalogs.read([])
    tables = {"model": {"name": "autoencoder", "pretrain_steps": steps}, "train": {"steps": 10}}
    base = configs.load(tables, catalog, "test")
    known, idle = sweeps.settings_of(base, catalog), sweeps.idle(base, catalog)
    if words:
        with pytest.raises(ConfigError, match=words):
            space.full_key("lr", known, idle)
    else:
        assert space.full_key("lr", known, idle) == "train.phases.autoencoder.lr"
        assert space.full_key("train.phases.pretrain.lr", known, idle) == "train.phases.pretrain.lr"
        with pytest.raises(ConfigError, match="could be any of several"):
            space.full_key("lr", known)
