"""Checkpoints are what was written, to the bit, or they are not used; looking at them changes nothing."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import stat

import msgspec
import pytest
import torch

from tests import small_runs
from tests.damages import DAMAGES, FILES
from tui_gen import checkpoints as files
from tui_gen import dependencies, events, runs, tuned
from tui_gen.log import event_log
from tui_gen.train.engine import compiling
from tui_gen.train.engine.building import TrainingError, weights_of
from tui_gen.train.offline import quality as measuring
from tui_gen.train.offline import sample
from tui_gen.train.offline.restore import RestoreError, restore
from tui_gen.train.run import checkpoints
from tui_gen.train.run.loop import RunLoop
from tui_gen.view import RunView


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A run with averaged weights and checkpoints of steps 2 and 4."""
    run = small_runs.make_run(tmp_path_factory.mktemp("runs"), "gan")
    trainer = small_runs.trainer("gan")
    for step in (2, 4):
        while trainer.step < step:
            trainer.train_step()
        checkpoints.save(run, trainer.snapshot(), checkpoints.Meta(step, 0.0, "test"))
    return run


@pytest.fixture
def run(template, tmp_path):
    return shutil.copytree(template, tmp_path / "run")


def at(run, step):
    return files.directory(run, step)


def tree(folder):
    return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@contextlib.contextmanager
def within(seconds):
    """Fail what still waits after so long."""

    def fail(*_):
        raise AssertionError(f"it still waits after {seconds} s")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", DAMAGES)
def test_every_damage_leads_to_the_checkpoint_before_with_the_reason(run, name):
    DAMAGES[name](at(run, 4))
    file = "meta.json" if name == "folder swept" else name.split()[0]
    said, good = checkpoints.newest(run)
    assert "000004" in said and file in said and good.meta.step == 2 and good.average is not None
    assert files.newest_sound(run) == 2
    before, told = tree(run), []
    assert restore(run, device="cpu", report=told.append).step == 2
    assert [(one.level, file in one.text) for one in told if "000004" in one.text] == [("warning", True)]
    with pytest.raises(RestoreError, match=re.escape(file)):
        restore(run, 4, "cpu")
    assert tree(run) == before


def test_the_weights_of_another_checkpoint_are_not_taken_for_its_own(run):
    """They are whole in themselves, and of the same size."""
    shutil.copyfile(at(run, 2) / "model.safetensors", at(run, 4) / "model.safetensors")
    said, good = checkpoints.newest(run)
    assert "model.safetensors is not what was written" in said and good.meta.step == 2


def test_meta_has_the_digest_of_each_file_and_seals_itself(run):
    meta = files.read_meta(at(run, 4))
    assert set(meta.files) == set(FILES) - {"meta.json"}
    for name, one in meta.files.items():
        data = (at(run, 4) / name).read_bytes()
        assert (one.size, one.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    raw = (at(run, 4) / "meta.json").read_bytes()
    for place in range(0, len(raw), 7):  # none of it can change
        (at(run, 4) / "meta.json").write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        with pytest.raises(files.DamagedError):
            files.read_meta(at(run, 4))


def test_a_folder_that_was_renamed_is_not_another_steps_checkpoint(run):
    at(run, 4).rename(at(run, 6))
    said, good = checkpoints.newest(run)
    assert "000006" in said and "step 4" in said and good.meta.step == 2


@pytest.mark.parametrize("name", ["meta.json", "state.pt"])
def test_what_is_no_file_is_damage_and_nobody_waits_for_it(run, name):
    """A pipe that nobody writes to; for the digest of a file that was empty it would even be of the right size."""
    path, meta = at(run, 4), files.read_meta(at(run, 4))
    (path / name).unlink()
    os.mkfifo(path / name)
    if name == "state.pt":
        meta.files[name] = files.FileSum(0, hashlib.sha256().hexdigest())
        (path / "meta.json").write_bytes(files.sealed(meta))
    with within(20):
        said, good = checkpoints.newest(run)
    assert name in said and "not a regular file" in said and good.meta.step == 2


def test_a_checkpoint_has_no_files_elsewhere(run):
    meta = files.read_meta(at(run, 4))
    meta.files["../000002/state.pt"] = files.sum_of(at(run, 2) / "state.pt")
    (at(run, 4) / "meta.json").write_bytes(files.sealed(meta))
    assert [one.problem for one in files.found(run) if one.meta is None] == [
        "000004 is damaged: its meta.json names '../000002/state.pt', which is no file of it"
    ]
    (at(run, 4) / "meta.json").write_bytes(bytes(files.LARGEST_META + 1))
    assert "larger than" in files.found(run)[-1].problem


def older(path):
    """Make a checkpoint as it was before there were digests."""
    meta = msgspec.json.decode((path / "meta.json").read_bytes())
    kept = {key: meta[key] for key in ("step", "seconds", "reason", "ranked", "compiled")}
    (path / "meta.json").write_bytes(msgspec.json.encode(kept))


def test_a_checkpoint_without_digests_loads_as_before(run):
    whole = checkpoints.load(at(run, 4))
    older(at(run, 4))
    found = checkpoints.load(at(run, 4), averaged=True)
    assert torch.equal(found.state["rng"], whole.state["rng"])
    for name, tensor in whole.weights.items():
        assert torch.equal(found.weights[name], tensor)
    assert files.newest_sound(run) == 4 and restore(run, device="cpu").step == 4


@pytest.mark.parametrize("began", ["1", "0", "before it was told"])
def test_a_run_keeps_the_hand_made_speed_that_it_began_with(run, monkeypatch, began):
    """Bits depend on it: whatever the environment of whoever resumes it says."""
    with_it = began != "0"
    monkeypatch.setenv("TUI_GEN_TUNED", "1" if with_it else "0")
    first = loop_of(run)
    first.run()
    path = at(run, first.trainer.step)
    assert files.read_meta(path).tuned == with_it == tuned.on()
    if began == "before it was told":
        older(path)
    monkeypatch.setenv("TUI_GEN_TUNED", "0" if with_it else "1")
    loop = loop_of(run)
    loop.resume()
    loop.run()
    assert tuned.on() == with_it
    assert any("hand-made speed" in event.text for event in event_log.read(run / "events.jsonl", events.Note))
    tuned.use(not with_it)
    restore(run, device="cpu")
    assert tuned.on() == with_it
    tuned.use(None)


@pytest.mark.parametrize("tensors", [True, False])
def test_a_compiled_run_stays_compiled_as_it_was(run, monkeypatch, tensors):
    """Live numbers were constants of compiled code before they were tensors, and its products were exchanged before a
    run said what computes them: bits depend on it."""
    meta = checkpoints.Meta(4, 0.0, "test", compiled=True, tensors=True)
    first = loop_of(run)
    first.resume()
    saved = checkpoints.save(run, first.trainer.snapshot(), meta)
    if not tensors:
        older(saved)
    applied = []
    monkeypatch.setattr(compiling, "apply", lambda trainer, say, *how: applied.append(how))
    loop = loop_of(run)
    loop.resume()
    loop.run()
    assert applied == [(tensors, "")] and files.read_meta(at(run, loop.trainer.step)).tensors == tensors


@pytest.mark.parametrize("part", [10, 50])
def test_a_run_goes_on_to_validate_on_as_many_examples(run, part):
    """Also one that began before checkpoints told, when there were more of them."""
    first = loop_of(run)
    first.resume()
    saved = checkpoints.save(run, first.trainer.snapshot(), checkpoints.Meta(4, 0.0, "test", validation_part=part))
    if part == 10:
        older(saved)
    loop = loop_of(run)
    loop.resume()
    assert loop.agenda.validation_part == part
    loop.run()
    assert files.read_meta(at(run, loop.trainer.step)).validation_part == part


def test_averaged_weights_that_are_missing_never_become_raw_ones(run):
    older(at(run, 4))
    (at(run, 4) / "ema.safetensors").unlink()
    said, good = checkpoints.newest(run, averaged=True)
    assert "ema.safetensors is missing" in said and good.meta.step == 2
    assert restore(run, device="cpu").step == 2


def loop_of(run):
    trainer = small_runs.trainer("gan")
    return RunLoop(run, trainer, event_log.EventWriter(run / "events.jsonl"), {})


def log_of(run):
    view = RunView(run)
    view.poll()
    return [(level, text) for _, level, text in view.log]


def test_a_run_goes_on_from_the_good_one_and_keeps_the_damaged_one_out_of_the_way(run):
    good = checkpoints.load(at(run, 2))
    (at(run, 4) / "ema.safetensors").unlink()
    loop = loop_of(run)
    loop.resume()
    assert loop.trainer.step == 2
    for name, tensor in weights_of(loop.trainer.average).items():
        assert torch.equal(tensor, good.average[name])
    (warning,) = [text for level, text in log_of(run) if level == "warning" and "000004" in text]
    assert "ema.safetensors is missing" in warning and "the one before" in warning
    # else it would count as the newest of those that are kept, and the first new one would go
    loop.config.checkpoint.keep_last = 1
    loop.trainer.train_step()
    loop.checkpoint("test")
    assert files.steps(run) == [3] and (run / "checkpoints" / "damaged-000004" / "model.safetensors").exists()


def test_where_every_checkpoint_is_damaged_the_run_does_not_begin_again_unasked(run):
    for step in (2, 4):
        (at(run, step) / "state.pt").write_bytes(b"")
    before = tree(run / "checkpoints")
    with pytest.raises(TrainingError, match=r"no checkpoint of run can be used: 000004 .*state\.pt"):
        loop_of(run).resume()
    assert tree(run / "checkpoints") == before and "resumed" not in str(log_of(run))
    with pytest.raises(RestoreError, match=r"no checkpoint of run can be used: 000004 .*state\.pt"):
        restore(run)


def test_what_a_kill_cut_short_is_no_damage(run):
    partial = at(run, 6).with_name(".000006.partial")
    partial.mkdir()
    told = []
    assert restore(run, device="cpu", report=told.append).step == 4 and partial.is_dir()
    assert not [one for one in told if getattr(one, "level", "") == "warning"]
    loop_of(run).resume()
    assert not partial.exists()
    assert [level for level, text in log_of(run) if "000006 was cut short by a kill" in text] == ["info"]


def test_one_that_was_being_replaced_when_the_run_was_killed_is_read_where_it_is(run):
    old = at(run, 4).with_name(".000004.old")
    at(run, 4).rename(old)
    assert files.steps(run) == [2, 4] and restore(run, device="cpu").step == 4 and old.is_dir()
    shutil.copytree(old, at(run, 4))
    assert [one.path.name for one in files.found(run)] == ["000002", "000004"]


def test_a_checkpoint_is_had_where_no_thread_can_be_started(run, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(checkpoints.threading.Thread, "start", refuse)
    trainer = small_runs.trainer("gan")
    assert checkpoints.load(checkpoints.save(run, trainer.snapshot(), checkpoints.Meta(0, 0.0, "test"))).meta.step == 0


@pytest.mark.parametrize("command", [sample, measuring], ids=["sample", "quality"])
def test_sample_and_quality_say_which_checkpoint_they_passed_over(run, tmp_path, monkeypatch, capsys, command):
    (at(run, 4) / "model.safetensors").unlink()
    more = ["-o", str(tmp_path / "grid.png"), "-n", "4"] if command is sample else ["--samples", "60"]
    monkeypatch.setattr("sys.argv", ["", str(run), "--device", "cpu", *more])
    assert command.main() == 0
    warned = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert warned == ["warning: checkpoint 000004 is damaged: model.safetensors is missing; trying the one before"]


def test_another_run_takes_the_newest_good_one_and_says_why(run):
    (at(run, 4) / "ema.safetensors").write_bytes(bytes((at(run, 4) / "ema.safetensors").stat().st_size))
    catalog = small_runs.built()[0]
    need = dependencies.Need("model.first_stage", str(run), ["sample"])
    assert dependencies.find(need, catalog, run.parent) == (run, 2)
    (words,) = files.damaged_after(run, 2)
    assert "000004" in words and "ema.safetensors" in words and files.damaged_after(run, 4) == []
    (at(run, 2) / "meta.json").unlink()
    with pytest.raises(runs.RunError, match=r"no checkpoint of the run run can be used: 000004 .*ema\.safetensors"):
        dependencies.find(need, catalog, run.parent)


def test_others_may_read_a_checkpoint_s_weights_where_they_may_read_the_rest(tmp_path):
    """safetensors 0.8.0 lets nobody but the owner read what it writes, whatever the umask."""
    before = os.umask(0o027)
    try:
        path = checkpoints.save(tmp_path, small_runs.trainer("vae").snapshot(), files.Meta(0, 1.0, "test"))
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()}
    assert "model.safetensors" in modes and set(modes.values()) == {0o640}
