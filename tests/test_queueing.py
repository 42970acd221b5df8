"""The queue's file: whoever changes it at once loses nothing, and nonsense in it is told and left as it is."""

from __future__ import annotations

import functools
import json
import os
import time

import pytest

from tests import fake_worker
from tui_gen import catalog as catalogs
from tui_gen import runs, slots
from tui_gen.queue import forecast, queueing
from tui_gen.queue.queueing import QueueDraft

known = functools.cache(catalogs.read)


def draft(name="vae-digits", *assignments, **more):
    """A recipe as it is put into a queue."""
    config = catalogs.resolve("vae-digits", known(), [f"name={name}", *assignments])
    made = queueing.draft(config)
    for key, value in more.items():
        setattr(made, key, value)
    return made


def names(root, *states):
    return [entry.name for entry in queueing.read(root).of(*states or queueing.STATES)]


@pytest.fixture
def root(tmp_path):
    return tmp_path / "runs"


def test_of_many_who_change_it_at_once_none_loses_an_entry(root):
    children = []
    for number in range(4):
        if (pid := os.fork()) == 0:
            try:
                for one in range(5):
                    queueing.add(root, [QueueDraft(name=f"{number}-{one}", config="")], top=one % 2 == 0)
                    waiting = queueing.read(root).of("waiting")
                    queueing.move(root, waiting[-1].id, "up")
            finally:
                os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    entries = queueing.read(root).entries
    assert sorted(entry.name for entry in entries) == sorted(f"{a}-{b}" for a in range(4) for b in range(5))
    assert sorted(entry.id for entry in entries) == list(range(1, 21))
    assert runs.list_runs(root) == [], "neither the queue nor what belongs to it is taken for a run"


def test_what_waits_is_moved_and_taken_out(root):
    queueing.add(root, [QueueDraft(name=name, config="") for name in "abcd"])
    for id, where, place, order in [
        (3, "up", 2, "acbd"), (1, "up", 1, "acbd"), (4, "top", 1, "dacb"), (4, "down", 2, "adcb"),
        (2, "down", 4, "adcb"), (1, "bottom", 4, "dcba"),
    ]:  # fmt: skip
        assert queueing.move(root, id, where) == place
        assert "".join(names(root)) == order
    queueing.update(root, 4, lambda entry: setattr(entry, "state", "running"))
    for change in (lambda: queueing.move(root, 4, "up"), lambda: queueing.remove(root, [1, 4])):
        with pytest.raises(runs.RunError, match=r"entry 4 \(d\) is"):
            change()
    with pytest.raises(runs.RunError, match="no entry 9 in the queue; it has 4, 3, 2, 1"):
        queueing.remove(root, [9])
    assert [entry.id for entry in queueing.remove(root, [1])] == [1]
    queueing.update(root, 3, lambda entry: setattr(entry, "state", "failed"))
    assert queueing.again(root, 3).id == 5, "a number is never given twice"
    assert queueing.clear(root) == 1 and "".join(names(root)) == "dbc"
    assert queueing.clear(root, waiting=True) == 2 and names(root) == ["d"]
    assert queueing.hold(root) and not queueing.hold(root) and queueing.read(root).held


@pytest.mark.parametrize(
    "text,words",
    [
        ("{", "is no queue"),
        ('{"entries": [{"id": "x"}]}', r"is no queue: .*entries\[0\].id"),
        ('{"entries": [{"id": 1, "name": "a", "config": "", "state": "flying"}]}', "entry 1 is 'flying'"),
        ('{"entries": [{"id": 1, "name": "a", "config": ""}, {"id": 1, "name": "b", "config": ""}]}', "two entries"),
        ('{"format": 99}', "newer tui-gen"),
    ],
)
def test_a_file_that_is_none_is_told_and_left_alone(root, text, words):
    root.mkdir()
    queueing.file_of(root).write_text(text)
    for attempt in (lambda: queueing.read(root), lambda: queueing.add(root, [QueueDraft(name="a", config="")])):
        with pytest.raises(runs.RunError, match=words):
            attempt()
    assert queueing.file_of(root).read_text() == text


def test_a_hand_may_add_to_it_and_what_a_newer_version_says_is_passed_over(root):
    root.mkdir()
    entry = {"id": 7, "name": "by hand", "config": draft().config, "colour": "blue"}
    queueing.file_of(root).write_text(json.dumps({"entries": [entry]}))
    assert queueing.add(root, [QueueDraft(name="next", config="")])[0].id == 8
    assert names(root, "waiting") == ["by hand", "next"]
    assert queueing.QueueEntry(id=1, name="", config="", run="../elsewhere").path(root) is None


@pytest.mark.parametrize(
    "device,devices,expected",
    [
        ("auto", ["cpu"], ["cpu"]),
        ("auto", ["cuda:0", "cuda:1", "cpu"], ["cuda:0", "cuda:1"]),
        ("auto", ["mps", "cpu"], ["mps"]),
        ("cuda", ["cuda:0", "cpu"], ["cuda:0"]),
        ("cuda:1", ["cpu"], ["cuda:1"]),
        ("cpu", ["cuda:0", "cpu"], ["cpu"]),
    ],
)
def test_a_config_is_trained_on_one_of_its_devices(device, devices, expected):
    assert slots.wanted(device, devices) == expected


VISIBLE = [("", 0), ("0", 1), ("0,2", 2), ("GPU-a,-1,1", 1), ("-1", 0), ("MIG-a,MIG-b", 1)]


@pytest.mark.parametrize("visible,count", VISIBLE)
def test_gpus_are_those_that_pytorch_would_see(monkeypatch, visible, count):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr("sys.platform", "linux")
    assert slots.here() == [*(f"cuda:{number}" for number in range(count)), "cpu"]


# -- when it ends


def test_ends_are_predicted_from_runs_that_are_over(root, monkeypatch):
    monkeypatch.setattr(slots, "here", lambda: ["cpu"])
    past = fake_worker.make_run(root, "vae-digits", "train.steps=200")
    fake_worker.record(past, steps=200)  # of which its log says: 200 steps in one second
    now = time.time()
    queueing.add(root, [draft("a", "train.steps=2000"), draft("b", "train.minutes=2"), draft("c", "train.epochs=10")])
    ends = forecast.Forecast(root).ends(queueing.read(root), now)
    assert ends[1].end == pytest.approx(now + 10, abs=0.2)
    assert ends[2].end == pytest.approx(now + 130, abs=0.4)
    assert ends[3].end == pytest.approx(now + 130 + 260 / 200, abs=0.6)
    assert ends[3].words(now).startswith("≈ ")
    stands = forecast.Forecast(root).ends(queueing.read(root), now, stands=True)
    assert stands[1] == (None, pytest.approx(10, abs=0.2))


def test_where_nothing_is_known_it_says_so_of_all_that_comes_after(root, monkeypatch):
    monkeypatch.setattr(slots, "here", lambda: ["cpu"])
    fake_worker.record(fake_worker.make_run(root, "vae-digits"), steps=200)
    unknown = queueing.draft(catalogs.resolve("dcgan-digits", known(), []))
    queueing.add(root, [draft("a", "train.steps=400"), unknown, draft("c", "train.steps=400")])
    queue = queueing.read(root)
    ends = forecast.Forecast(root).ends(queue)
    assert ends[1].end is not None
    assert [ends[number].words() for number in (2, 3)] == ["unknown", "takes ≈ 2 s"]
    assert ends[3].seconds == pytest.approx(2, abs=0.1)


def test_what_is_trained_ends_by_its_own_pace(root, monkeypatch):
    monkeypatch.setattr(slots, "here", lambda: ["cpu"])
    run = fake_worker.make_run(root, "vae-digits", "train.steps=2000")
    fake_worker.record(run, steps=200, state="running")  # at 100 steps/s, of its 200
    queueing.add(root, [draft("a", "train.steps=2000"), draft("b", "train.steps=600")])

    def train(entry):
        entry.state, entry.run, entry.by, entry.slot, entry.begun = "running", run.name, entry.host, "cpu", True

    queueing.update(root, 1, train)
    now = time.time()
    ends = forecast.Forecast(root).ends(queueing.read(root), now)
    assert ends[1].end == pytest.approx(now, abs=0.2)
    assert ends[2].end == pytest.approx(now + 3, abs=0.4)
