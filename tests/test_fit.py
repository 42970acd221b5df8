"""Which batch fits, by real steps: where trying ends, what follows, and how the command says so."""

from __future__ import annotations

import json

import pytest
import torch

from tests import small_runs
from tui_gen import cli
from tui_gen import config as configs
from tui_gen.report.commands import fit as command
from tui_gen.train.offline import fit
from tui_gen.verdicts.fitting import FitReply, FitRequest, Try, expected, largest, parts

GB = 10**9


def told(*peaks, room=10 * GB):
    return FitReply([Try(1 << power, peak) for power, peak in enumerate(peaks)], room, "cpu")


@pytest.mark.parametrize(
    "reply, most, batch, best",
    [
        (told(GB, 2 * GB, 4 * GB), 4, 4, 1),
        (told(GB, 2 * GB, 8 * GB), 2, 4, 2),
        (told(GB, 2 * GB, 0), 2, 4, 2),
        (told(GB, 2 * GB, 8 * GB), 2, 7, 4),
        (told(6 * GB, 9 * GB), 1, 3, 3),
        (told(8 * GB), 0, 4, 0),
        (told(0), 0, 4, 0),
    ],
)
def test_the_parts_are_the_fewest_whose_size_was_safe(reply, most, batch, best):
    assert largest(reply) == most and parts(reply, batch) == best


def test_what_was_not_tried_is_expected_along_a_line():
    tries = [Try(2, 3 * GB), Try(4, 4 * GB)]
    assert expected(tries, 8) == 6 * GB and expected(tries[:1], 4) == 6 * GB and expected([], 1) == float("inf")
    assert expected([*tries, Try(8, 0)], 8) == 6 * GB


def tried(monkeypatch, peaks, most=64, room=10 * GB, fault=0):
    """The tries where each size takes so many bytes, and more than `fault` examples are out of memory."""
    trainer, sizes = small_runs.trainer("autoencoder", train__batch_size=most), []

    def step(fraction, examples):
        if fault and len(examples[0]) > fault:
            raise torch.OutOfMemoryError("no more")
        sizes.append(len(examples[0]))

    trainer.train_step = step
    monkeypatch.setattr(fit, "_peak", lambda device: peaks(sizes[-1]))
    made = fit.tries(trainer, room, most)
    assert len(sizes) == fit.STEPS * sum(attempt.peak > 0 for attempt in made)
    return [attempt.size for attempt in made], made[-1].peak


def test_sizes_double_up_to_the_batch(monkeypatch):
    assert tried(monkeypatch, lambda size: GB)[0] == [2, 4, 8, 16, 32, 64]
    assert tried(monkeypatch, lambda size: GB, most=50)[0] == [2, 4, 8, 16, 32, 50]
    assert tried(monkeypatch, lambda size: GB, most=1)[0] == [1]


def test_trying_ends_before_the_memory_does(monkeypatch):
    """A size that should take more than there is, is not tried: on a CPU nobody would tell."""
    sizes, last = tried(monkeypatch, lambda size: GB + size * GB // 8, room=6 * GB)
    assert sizes == [2, 4, 8, 16, 32] and last == 5 * GB


def test_a_gpu_that_has_no_more_says_so(monkeypatch):
    assert tried(monkeypatch, lambda size: GB, fault=10) == ([2, 4, 8, 16], 0)


def test_real_steps_of_a_real_config():
    reply = fit.reply(FitRequest(configs.to_tables(small_runs.config("vq-vae", train__accumulate=4))))
    assert not reply.words and [attempt.size for attempt in reply.tries] == [2, 4, 8, 16]
    assert all(50e6 < attempt.peak < reply.room for attempt in reply.tries) and parts(reply, 16) == 1


def test_what_stands_against_it_is_said():
    broken = configs.to_tables(small_runs.config("vae")) | {"train": {"steps": 0}}
    assert "has no length" in fit.reply(FitRequest(broken)).words


@pytest.mark.parametrize(
    "reply, status, words",
    [
        (told(GB, 2 * GB, 4 * GB), 0, "--set train.accumulate=16"),
        (told(8 * GB), 1, "nothing fits"),
        (FitReply(words="no data"), 1, "tui-gen: no data"),
    ],
)
def test_the_command_says_what_to_set(monkeypatch, capsys, reply, status, words):
    monkeypatch.setattr(command, "tried", lambda config, dirs: reply)
    assert cli.main(["fit", "vae-digits", "--set", "train.batch_size=64"]) == status
    said = capsys.readouterr()
    assert words in said.out + said.err
    if not reply.words:
        assert cli.main(["fit", "vae-digits", "--set", "train.batch_size=64", "--json"]) == status
        found = json.loads(capsys.readouterr().out)
        assert found["batch_size"] == 64 and found["accumulate"] == (None if status else 16)


def test_a_process_that_is_killed_says_that_memory_may_be_short(monkeypatch):
    class Done:
        returncode, stdout, stderr = -9, b"", b""

    monkeypatch.setattr(command.children, "run", lambda *words, **more: Done())
    assert "ended by signal 9" in command.tried(small_runs.config("vae"), []).words
