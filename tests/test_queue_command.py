"""`tui-gen queue`: what is typed, and what is answered."""

from __future__ import annotations

import json

import pytest

from tests import fake_worker
from tui_gen import launch, runs
from tui_gen.queue import queueing


@pytest.fixture
def work(monkeypatch):
    """Nothing is trained; how often that was asked for."""
    calls = []
    monkeypatch.setattr(launch.WarmWorker, "spawn", lambda self: None)
    monkeypatch.setattr(queueing, "work", lambda root, **more: calls.append(more) or True)
    return calls


def queue():
    return queueing.read(runs.default_root())


def test_add_list_move_remove_pause_and_resume(call, work):
    status, out, err = call("queue")
    assert (status, out) == (0, "") and "tui-gen queue add CONFIG" in err
    fake_worker.record(fake_worker.make_run(None, "vae-digits"), steps=200)
    status, out, _ = call("queue", "add", "vae-digits", "dcgan-digits", "--set", "train.steps=300")
    assert status == 0 and len(work) == 1
    assert out.splitlines()[:2] == ["1  vae-digits: vae on digits", "2  dcgan-digits: gan on digits"]
    assert "steps = 300" in queue().get(1).config and "steps = 300" in queue().get(2).config
    status, out, err = call("queue")
    rows = out.splitlines()
    assert rows[0].split() == ["ID", "STATE", "STEP", "ENDS", "NAME", "MODEL", "DATASET", "RUN"]
    assert rows[1].split()[:3] == ["1", "waiting", "takes"] and rows[2].split()[:3] == ["2", "waiting", "unknown"]
    assert "nothing trains it: tui-gen queue start" in err
    assert call("queue", "move", "2", "up")[1] == "2 is number 1 of what waits\n"
    found = json.loads(call("queue", "--json")[1])
    assert [entry["id"] for entry in found["entries"]] == [2, 1]
    assert found["entries"][0]["expected_end"] is None and found["entries"][1].get("expected_end", 0) is None
    call("queue", "pause")
    assert "tui-gen queue resume" in call("queue")[2] and call("queue", "add", "vae-digits")[0] == 0 and len(work) == 1
    call("queue", "resume")
    assert len(work) == 2 and not queue().held
    assert call("queue", "remove", "1", "2")[1] == "removed 1 (vae-digits)\nremoved 2 (dcgan-digits)\n"
    assert call("queue", "clear", "--all")[1] == "removed 1 entry\n"
    assert call("queue", "start")[0] == 2
    assert "tui-gen queue resume" not in call("queue")[2]
    call("queue", "pause")
    assert "nothing is in the queue" in (told := call("queue")[2]) and "tui-gen queue resume lets it go on" in told


@pytest.mark.parametrize(
    "words,told",
    [
        (["add"], "required: CONFIG|RECIPE"),
        (["add", "vae-digitss"], "did you mean 'vae-digits'"),
        (["add", "vae-digits", "--set", "train.batch_size=0"], "train.batch_size = 0: needs a whole number"),
        (["add", "vae-digits", "dcgan-digits", "--set", "model.latent=one"], "model.latent"),
        (["move", "x", "up"], "'x' is no number of an entry"),
        (["move", "1", "sideways"], "invalid choice: 'sideways'"),
        (["remove", "1"], "no entry 1 in the queue; it is empty"),
        (["again", "99999999999999"], "is no number of an entry"),
        (["start"], "nothing is in the queue"),
        (["dance"], "invalid choice: 'dance'"),
    ],
)
def test_nonsense_is_told_and_adds_nothing(call, work, words, told):
    status, _, err = call("queue", *words)
    assert status == 2 and told in err and "Traceback" not in err
    assert queue().entries == [] and work == []


def test_an_entry_that_is_over_is_added_once_more(call, work):
    call("queue", "add", "vae-digits", "--set", "name=first")
    queueing.update(runs.default_root(), 1, lambda entry: setattr(entry, "state", "failed"))
    assert "2  first: vae on digits" in call("queue", "again", "1")[1]
    assert queue().get(2).config == queue().get(1).config
    assert call("queue", "again", "2")[0] == 2
