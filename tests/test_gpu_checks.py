"""The checks of `make gpu`, on the CPU: some of them, and that none keeps the others from being made."""

from __future__ import annotations

import json

import pytest
import torch

from tests.gpu import __main__ as command
from tests.gpu import checking, exactness, speeds
from tests.gpu.checking import Result, Setting

PENALTY = {"model__loss": "wasserstein-gp"}


@pytest.fixture
def setting(tmp_path):
    return Setting("cpu", True, str(tmp_path))


def test_averages_lack_of_memory_and_a_device_given_back_are_checked(setting):
    found = [*exactness.average(setting), *exactness.memory(setting), *exactness.yielded(setting)]
    assert [result.name for result in found if not result.held] == []
    assert len(found) == 4 and "raise train.accumulate" in found[1].words


def test_an_average_that_is_not_one_is_found(setting, monkeypatch):
    monkeypatch.setattr(torch, "_foreach_lerp_", lambda kept, new, share: None)
    (result,) = exactness.average(setting)
    assert result.held is False


def test_operations_are_counted_also_where_a_loss_takes_gradients(setting):
    plain, penalised = (checking.small("gan", setting.place, **exactness.MLP_GAN, **more) for more in ({}, PENALTY))
    few, many = speeds.operations(plain, 1), speeds.operations(penalised, 1)
    images = 16 * (64 * 64 + 64) * 2  # one pass of a batch through the discriminator
    assert many > few > 6 * images


def test_a_check_that_fails_keeps_no_other_from_being_made_and_is_told(monkeypatch, tmp_path, capsys):
    def made(name, setting, limit):
        if name == "memory":
            raise OSError("no process can be started")
        return [Result(name, name != "yield", "1.50 ×", "a | b")]

    monkeypatch.setattr(command, "made", made)
    out = tmp_path / "out.json"
    words = ["--device", "cpu", "--only", "worker,memory,yield,limit", "--out", str(out)]
    assert command.main(words) == 1
    table = capsys.readouterr().out
    assert "| worker | held | 1.50 × | a / b |" in table and "| yield | **NOT** | 1.50 × | a / b |" in table
    report = json.loads(out.read_text())
    assert [result["held"] for result in report["results"]] == [True, False, False, True] and not report["left_out"]
    assert report["results"][1]["words"] == "OSError: no process can be started" and "cpu" in report["machine"]
    assert command.main(["--device", "cpu", "--only", "worker,limit", "--total", "1"]) == 0
    assert "no time for worker, limit" in capsys.readouterr().out


def test_without_a_gpu_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert command.main([]) == 0 and capsys.readouterr().out.startswith("skipped: PyTorch finds no GPU here")
    with pytest.raises(SystemExit):
        command.main(["--only", "nothing"])
