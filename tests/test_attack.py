"""The attack itself: it counts, it tells differences of a bit, it stops where it says, and does the same again."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest
import torch

from tests import fake_worker
from tests.attack import bits, forked, kills, logs, outcome, settings, sockets
from tests.attack.outcome import Outcome
from tests.damages import DAMAGES
from tui_gen import runs
from tui_gen.train.offline import alike

ROOT = Path(__file__).parent.parent


def test_the_29_damages_change_a_checkpoint_each_in_its_own_way(tmp_path):
    seen = set()
    for name, damage in DAMAGES.items():
        folder = tmp_path / name
        folder.mkdir()
        for number, file in enumerate(("model.safetensors", "ema.safetensors", "state.pt", "meta.json")):
            (folder / file).write_bytes(bytes(range(1, 200)) * 3 + bytes([number + 1]))
        damage(folder)
        seen.add(tuple(sorted((path.name, path.read_bytes()) for path in folder.iterdir())))
    assert len(seen) == len(DAMAGES) == 29


def test_a_bit_makes_a_difference():
    one = {"weights": [torch.zeros(3), {"lr": 1e-3, "of": "/runs/a@12", "none": None}], "nan": float("nan")}
    same = {"weights": [torch.zeros(3), {"lr": 1e-3, "of": "/other/b@12", "none": None}], "nan": float("nan")}
    assert alike.unlike(one, same) == []
    assert alike.unlike(torch.tensor([0.0]), torch.tensor([-0.0])) == [" differs"]
    for change in ({"lr": 2e-3}, {"of": "/runs/a@13"}, {"none": 0}, {"more": 1}):
        other = {**one, "weights": [torch.zeros(3), {**one["weights"][1], **change}]}
        assert alike.unlike(one, other), change


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_process_dies_at_the_operation_it_is_told(tmp_path, number):
    """Of: open, write, half of the write, rename. Half of what was to be written is there, or all, or nothing."""
    folder, told = tmp_path / "run", tmp_path / "told"
    folder.mkdir()
    pid = os.fork()
    if pid == 0:
        try:
            with forked.Places(folder, told, number).counted():
                handle = os.open(folder / "a.000123.txt", os.O_WRONLY | os.O_CREAT)
                os.write(handle, b"0123456789")
                os.rename(folder / "a.000123.txt", folder / "b.txt")
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    kinds = ["open a.N.txt", "write a.N.txt", "half of write a.N.txt", "rename b.txt"]
    assert [forked.kind_of(one) for one in forked.operations(told)] == kinds[:number]
    left = {path.name: path.read_bytes() for path in folder.iterdir()}
    contents = [{}, {"a.000123.txt": b""}, {"a.000123.txt": b"01234"}, {"a.000123.txt": b"0123456789"}]
    assert left == contents[number - 1]


def test_a_forked_worker_trains_as_one_that_is_started_does():
    run = fake_worker.make_run(None, "vae-digits", "train.steps=3", "train.device=cpu", "train.compile=off")
    assert forked.worker(run).wait() == 0
    assert runs.state_of(run)[:2] == ("finished", 3)


def test_names_of_operations_are_those_of_their_kind():
    assert forked.kind_of("mkdir .000006.partial") == "mkdir .N.partial"
    assert forked.kind_of("open .000040-codes.png.312.7") == forked.kind_of("open .000000.png.9.9")
    assert forked.kind_of("rename 000040-quality.txt") != forked.kind_of("rename 000040-code.txt")
    assert forked.kind_of("mkdir 20261120-1530-vae-digits-k3f9") == "mkdir RUN"


def test_what_did_not_hold_is_counted_and_told(capsys):
    row, other = Outcome("kind", "one"), Outcome("kind", "other", detail="a detail")
    row.take([], "first")
    row.take(["a thing", "another"], "second")
    other.take([], "third")
    assert (row.tried, row.held) == (2, 1) and outcome.broken_lines([row, other]) == [
        "kind, one: second: a thing; another"
    ]
    assert "second" in capsys.readouterr().err
    assert outcome.all_held([other])
    assert not any(map(outcome.all_held, ([], [row, other], [other, Outcome("no", "time")])))
    text = outcome.text_table([row, other])
    assert "NOT HELD" in text.splitlines()[1] and text.splitlines()[-1].split() == ["all", "3", "2"]
    put = outcome.with_table("a\n<!-- attack -->\nold\n<!-- /attack -->\nb", [other], "seed 5")
    assert "| kind | other | 1 | 1 | a detail |" in put and "(seed 5)" in put and "old" not in put and put[-2:] == "\nb"
    with pytest.raises(ValueError, match="attack"):
        outcome.with_table("nothing", [], "")


@pytest.mark.parametrize(("moments", "wrong"), [(0, 0), (0, 1), (3, 0), (3, 1)])
def test_a_run_that_went_wrong_counts_however_often_it_was_stopped(monkeypatch, tmp_path, moments, wrong):
    monkeypatch.setattr(kills.Trial, "finished", property(lambda _: True))
    monkeypatch.setattr(bits, "differences", lambda *_: ["a bit"] * wrong)
    trial, row = kills.Trial.__new__(kills.Trial), Outcome("SIGKILL", "VAE")
    trial.reference, trial.run = kills.Reference("VAE", tmp_path, tmp_path, 1.0, 5), tmp_path
    trial.moments, trial.wrong = [f"at {number} s" for number in range(moments)], []
    assert trial.conclude(row) == moments
    assert row.tried == max(moments, wrong) and row.tried - row.held == wrong


def test_mutations_are_the_same_for_a_seed_and_differ_otherwise():
    tables = {"name": "x", "model": {"name": "vae"}, "train": {"steps": 5}}
    log = b'{"type":"state","state":"running","step":5,"t":1.0}\n' * 9
    for make in (
        lambda dice: repr(settings.mutated(dice, tables, [1])),
        lambda dice: settings.scratched(dice, "a = 1\n[b]\nc = 2\n" * 9),
        lambda dice: logs.mutated(dice, log),
        sockets.malformed,
    ):
        many = [make(random.Random(f"seed {seed}")) for seed in range(40)]
        assert many == [make(random.Random(f"seed {seed}")) for seed in range(40)]
        assert len(set(many)) > 20
    assert tables == {"name": "x", "model": {"name": "vae"}, "train": {"steps": 5}}


def test_the_page_of_attacks_has_a_place_for_the_table():
    text = (ROOT / "docs" / "attacks.md").read_text(encoding="utf-8")
    assert outcome.PLACE.search(text)
