"""Filters and orders of lists of runs, in the workbench and on the command line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import fake_worker
from tui_gen import config as configs
from tui_gen import proof, remarks, runs
from tui_gen.history.run_facts import FACTS, RunRow, ordered, text_of
from tui_gen.history.run_filter import FilterError, RunFilter
from tui_gen.history.run_settings import RunSettings, values_of
from tui_gen.history.run_summary import RunSummary


def row(name="a", best=None, better="lower", metric="vae/loss", **fields):
    about = {"state": "finished", "step": 10, "steps": 100, "reason": "", "created": 0.0, "updated": 0.0} | fields
    summary = RunSummary(metric, better, best, 3, best, seconds=7200.0, bytes=5_000_000)
    return RunRow(runs.RunInfo(path=f"/nowhere/{name}", name=name, **about), summary)


@pytest.fixture
def three(world):
    rates = "train.phases.generator.lr=5e-4", "train.phases.discriminator.lr=5e-4"
    made = [
        fake_worker.make_run(None, "vae-digits", "train.phases.vae.lr=1e-3", "model.hidden=[64,32]"),
        fake_worker.make_run(None, "vae-digits", "train.phases.vae.lr=1e-4", 'notes="lr = 0.5"', "model.latent=3"),
        fake_worker.make_run(None, "dcgan-digits", *rates, 'tags=["old", "bad"]'),
    ]
    remarks.star(made[1])
    remarks.note(made[1], "Best so far")
    return {"vae": made[0], "slow": made[1], "gan": made[2]}


def matching(three, text):
    rows = [RunRow(runs.info_of(run)) for run in three.values()]
    names = {str(run): name for name, run in three.items()}
    return {names[row.info.path] for row in RunFilter(text).matching(rows, RunSettings())}


def test_words_and_expressions(three):
    for text, expected in {
        "": {"vae", "slow", "gan"},
        "VAE digits": {"vae", "slow"},
        "model:vae lr<5e-4": {"slow"},
        "lr<=1e-3": {"vae", "slow", "gan"},
        "lr=0.001": {"vae"},
        "generator.lr=5e-4": {"gan"},
        "vae.lr > 5e-4": {"vae"},
        "train.phases.vae.lr=1e-4": {"slow"},
        "hidden=64": {"vae"},
        "hidden!=64": {"slow", "gan"},
        "latent=3": {"slow"},
        "likelihood:bern": {"vae", "slow"},
        "conditional=false latent<10": {"slow"},
        "star": {"slow"},
        "-star": {"vae", "gan"},
        "not star model=vae": {"vae"},
        "star:no": {"vae", "gan"},
        "star or tag:old": {"slow", "gan"},
        "tag:old -tag:new": {"gan"},
        "tag!=old": {"vae", "slow"},
        "note:best": {"slow"},
        "notes>0": {"slow"},
        "bad": {"gan"},
        '"vae on"': set(),
        "state!=starting": set(),
        "age<1h age>=0": {"vae", "slow", "gan"},
        "lr:0.5": set(),
    }.items():
        assert matching(three, text) == expected, text


def test_what_makes_no_sense_is_told(three):
    for text, words in {
        "lr<": "lr< needs a value",
        "best<many": "'many' is no number",
        "model<3": "model is no number",
        "star:perhaps": "yes or no",
        "lrr<3": "no run has a setting lrr",
        "a or": "one side of `or`",
        "or a": "one side of `or`",
    }.items():
        with pytest.raises(FilterError, match=words):
            matching(three, text)


@given(st.text(alphabet='ab<>=!:-"or. 13eh★\x1b', max_size=20))
def test_no_text_is_a_surprise(text):
    rows = [row(), row("b", 3.0, tags=["a"], star=True)]
    try:
        RunFilter(text).matching(rows, RunSettings())
    except FilterError as error:
        assert str(error)


def test_summaries_are_compared_with_their_units():
    rows = [row("a", 99.0), row("b", 101.0), row("c")]
    expected = {"best<100": "a", "best>=99": "ab", "time>1h": "abc", "time<90m": "", "size>4.9M": "abc"}
    for text, names in expected.items():
        assert "".join(r.info.name for r in RunFilter(text).matching(rows, RunSettings())) == names, text
    assert RunFilter("best<100").needs_summaries and not RunFilter("vae lr<1").needs_summaries


def test_a_filter_that_is_typed_asks_no_run_twice(monkeypatch):
    """What the first terms have left is remembered, and is what they would leave of all."""
    facts = ("a", 1, "vae"), ("b", 2, "vae"), ("c", 3, "gan")
    rows = [row(name, best=best, model=model) for name, best, model in facts]
    asked, words = [], RunRow.words.fget
    monkeypatch.setattr(RunRow, "words", property(lambda self: asked.append(self.info.name) or words(self)))
    found = {}
    for text in ("vae", "vae best<", "vae best<2", "vae best<2 -b", "vae -b", "gan or vae best<3", "-vae best<9"):
        for part in (text, text.rpartition(" ")[0]):
            try:
                expected = RunFilter(part).matching(rows, RunSettings())
            except FilterError:
                continue
            asked.clear()
            assert RunFilter(part).matching(rows, RunSettings(), found) == expected
            if part in ("vae best<2", "vae"):
                assert not asked or part == text == "vae"


def test_orders():
    rows = [row("b", 2.0, step=5), row("a", 9.0, "higher", "acc", step=7), row("d"), row("c", 1.0, step=6),
            row("e", 8.0, "higher", "acc")]  # fmt: skip
    order = lambda key, down=None: "".join(r.info.name for r in ordered(rows, key, RunSettings(), down))  # noqa: E731
    assert order("name") == "abcde" and order("name", True) == "edcba"
    assert order("best") == "aecbd"  # each metric's best first, and none last
    assert order("best", True) == "eabcd"
    assert order("step").startswith("de") and order("last", True)[-1] == "d"
    for key in FACTS:
        assert sorted(order(key)) == list("abcde")
        assert isinstance(text_of(rows[0], key), str)


@given(st.floats(allow_nan=False, allow_infinity=False), st.text("ab\"\\\n#=[]' ", max_size=12))
def test_settings_are_those_of_the_parsed_config(number, text):
    from tui_gen.toml_writer import _toml as written

    text_line, rate_line = f"notes = {written(text)}", f"lr = {written(number)}   # help"
    data = f"format = 1\n{text_line}\n[train]\n{rate_line}\n[other]\nlr = true\n".encode()
    assert values_of(data, "train.lr") == [number] and values_of(data, "lr") == [number, True]
    assert values_of(data, "notes") == [text]


def test_the_command_line(three, call):
    names = lambda out: [line.split()[-1] for line in out.splitlines()[1:]]  # noqa: E731
    status, out, _ = call("runs", "--where", "model:vae", "--sort", "lr")
    assert status == 0 and names(out) == [three["slow"].name, three["vae"].name]
    assert names(call("runs", "--where", "model:vae", "--sort=-lr")[1]) == [three["vae"].name, three["slow"].name]
    status, out, _ = call("runs", "--where", "star", "--json", "--long")
    [found] = json.loads(out)
    assert found["star"] is True and found["notes"] == 1 and "metric" not in found["summary"]
    assert "★" in call("runs", "--long")[1]
    for words in (["--where", "lr<"], ["--where", "lrr<3"], ["--sort", "lrr"], ["--provenance"]):
        status, out, error = call("runs", *words)
        assert (status, out) == (2, "") and error.startswith("tui-gen: ")
    fake_worker.record(three["vae"])
    fake_worker.record(three["gan"])
    assert call("delete")[0] == 2 and call("delete", "--where", "tag:old")[0] == 2 and three["gan"].exists()
    assert call("delete", "--where", "tag:old", "--yes")[0] == 0 and not three["gan"].exists()
    with runs.claim(three["vae"]):
        fake_worker.record(three["vae"], state="running")
        status, _, error = call("delete", "--where", "model:vae -star", "--yes")
    assert status == 0 and "these train, and stay" in error and three["vae"].exists()


def test_who_passed_verify_resume_is_found_and_shown(three, call):
    tables = configs.read_toml(three["vae"] / "config.toml")
    proof.keep(proof.Proof(True, "vae", "digits", proof.digest(tables), steps=60, kills=3, seed=0, device="cpu"))
    assert [row["path"] for row in json.loads(call("runs", "--where", "exact", "--json")[1])] == [str(three["vae"])]
    assert call("runs", "--sort", "exact", "--long")[1].splitlines()[1].endswith(three["vae"].name)
    assert "EXACT" in call("runs", "--long")[1] and "exact resume proved" in call("runs", three["vae"].name)[1]
    assert call("runs", "--where", "not exact")[1].count("\n") == 3
