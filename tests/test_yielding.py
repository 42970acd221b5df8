"""Giving the device back: every reference to a tensor has the other memory, and training goes on to the same bits."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import pytest
import torch

from tests import small_runs
from tests.loop_run import Run, all_ended
from tests.waiting import wait_for
from tui_gen import control, events
from tui_gen.log import event_log
from tui_gen.train.engine.building import weights_of
from tui_gen.train.offline.alike import unlike
from tui_gen.train.run import yielding


@pytest.fixture
def start(tmp_path):
    made = []

    def begin(**kwargs):
        run = Run(tmp_path, **kwargs)
        made.append(run)
        run.thread.start()
        return run

    yield begin
    all_ended(made)


HOST = torch.device("cpu")
everywhere = yielding.on_device


def copied(storage):
    return yielding.copied(storage, HOST)


def tensors_of(before):
    """Every tensor of this process but these (by their ids)."""
    return [tensor for tensor in everywhere(HOST) if id(tensor) not in before]


@pytest.mark.parametrize("family", ["gan", "pretrained-classifier"])
def test_a_trainer_whose_memory_is_all_another_goes_on_to_the_same_bits(family):
    """As on a GPU, with memory in place of devices: no tensor may be left that has the memory from before."""
    whole = small_runs.trainer(family)
    for _ in range(9):
        whole.train_step()
    expected = whole.state() | {"weights": weights_of(whole.model), "average": weights_of(whole.eval_model)}
    gc.collect()
    before = {id(tensor): tensor for tensor in everywhere(HOST)}  # kept, so that no id is given out again
    moved = small_runs.trainer(family)  # seeds what is random anew
    for _ in range(5):
        moved.train_step()
    moved.meter.flush()
    yielding.forget_copies(moved)
    for _ in range(2):  # there, and back
        gc.collect()
        tensors = tensors_of(before)
        memory = [tensor.untyped_storage() for tensor in tensors]  # kept, as well
        old = {storage.data_ptr() for storage in memory if storage.nbytes()}
        yielding.relocate(tensors, copied, copied)
        yielding.forget_copies(moved)
        assert len(tensors) > 30
        del tensors
        gc.collect()
        left = [tensor for tensor in tensors_of(before) if tensor.untyped_storage().data_ptr() in old]
        assert not left, [tuple(tensor.shape) for tensor in left]
    for _ in range(4):
        moved.train_step()
    found = moved.state() | {"weights": weights_of(moved.model), "average": weights_of(moved.eval_model)}
    assert unlike(expected, found) == []


def test_what_shares_memory_goes_on_sharing_it_and_a_fault_changes_nothing():
    base = torch.arange(24.0).reshape(2, 3, 4)
    channels_last = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    weight = torch.nn.Parameter(torch.randn(3, 3))
    view, whole = base[1, :, ::2], [base, base[1, :, ::2]]
    bits = torch.tensor([-0.0, float("nan")], dtype=torch.bfloat16)
    (weight.sum() * 2).backward()
    expected = [tensor.clone() for tensor in (base, view, channels_last, weight, bits)]
    tensors = [base, view, *whole, channels_last, weight, weight.grad, bits, torch.empty(0)]
    addresses = [tensor.data_ptr() for tensor in tensors]
    yielding.relocate(tensors, copied, copied)
    assert all(now != was for now, was in zip([t.data_ptr() for t in tensors[:-1]], addresses))
    assert unlike([base, view, channels_last, weight, bits], expected) == []
    assert channels_last.is_contiguous(memory_format=torch.channels_last) and weight.is_leaf and weight.requires_grad
    view.fill_(7)
    assert (base[1, :, ::2] == 7).all() and (whole[1] == 7).all()

    calls = []

    def full(storage):
        calls.append(storage)
        if len(calls) > 2:
            raise torch.OutOfMemoryError("no room")
        return copied(storage)

    expected = [tensor.clone() for tensor in tensors]
    with pytest.raises(torch.OutOfMemoryError):
        yielding.relocate(tensors, full, copied)
    assert unlike(tensors, expected) == []
    view.fill_(8)
    assert (base[1, :, ::2] == 8).all()


def test_a_run_that_yields_says_so_and_goes_on_to_the_same_bits(start):
    settings = {"train__steps": 60, "train__ema": 0.9, "preview__every_steps": 25}
    whole = start(**settings)
    whole.finish()
    expected = whole.trainer.state() | {"weights": weights_of(whole.trainer.model)}
    run = start(**settings)
    run.ask("yield")
    wait_for(lambda: run.loop.state == "paused", what="the pause")
    said = run.ask("yield").data
    assert said["words"].startswith("yielded: ") and "given back" in said["words"]
    for op in ("sample", "quality", "rollback"):
        with pytest.raises(control.ControlError, match="yielded"):
            run.ask(op)
    assert run.ask("checkpoint").data["path"]
    states = [event for event in event_log.read(run.path / "events.jsonl", events.State) if event.state == "paused"]
    assert states[-1].reason == said["words"]
    run.ask("resume")
    view = run.finish()
    assert view.state == "finished" and not view.reason
    assert unlike(expected, run.trainer.state() | {"weights": weights_of(run.trainer.model)}) == []


def test_a_device_is_given_back_and_taken_again_once_it_has_room(monkeypatch):
    """As on a GPU, which this machine need not have: the calls that need one are stood in for."""
    whole = small_runs.trainer("gan")
    for _ in range(6):
        whole.train_step()
    expected = whole.state() | {"weights": weights_of(whole.model)}
    gc.collect()
    before = {id(tensor): tensor for tensor in everywhere(HOST)}  # kept, so that no id is given out again
    trainer = small_runs.trainer("gan")
    for _ in range(3):
        trainer.train_step()
    trainer.meter.flush()
    here, gpu, sizes, room = trainer.device, torch.device("cuda", 0), iter([3 * 10**9, 10**9]), []
    asked: list[str] = []

    def copied_where_there_is_room(storage, device):
        if device == gpu and len(room) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if device == gpu:
            room.append(storage)
        return torch.UntypedStorage(storage.nbytes()).copy_(storage)

    monkeypatch.setattr(yielding, "on_device", lambda device: tensors_of(before))
    monkeypatch.setattr(yielding, "copied", copied_where_there_is_room)
    monkeypatch.setattr(yielding, "occupied", lambda device: next(sizes))
    monkeypatch.setattr(yielding, "allocated", lambda device: 0)
    monkeypatch.setattr(yielding, "_empty_caches", lambda device: asked.append("emptied"))
    trainer.device = gpu
    loop = SimpleNamespace(
        trainer=trainer, paused=False, flush=lambda: asked.append("flushed"),
        measuring=SimpleNamespace(drop=lambda words: asked.append("dropped")),
    )  # fmt: skip
    run = yielding.Yielding(loop)
    request = control.Request({"op": "yield"})
    run.ask(request)
    assert request.wait()[0]["words"] == "yielded: 2.0 GB of cuda:0 are given back, its state is in host memory"
    assert loop.paused and asked == ["flushed", "dropped", "emptied"]
    assert run.refuses(control.Request({"op": "sample"})) and not run.refuses(control.Request({"op": "checkpoint"}))
    request = control.Request({"op": "resume"})
    assert not run.back(request) and "no room for the run now" in request.wait()[0]["error"] and run.words
    room.clear()
    monkeypatch.setattr(yielding, "copied", lambda storage, device: copied_where_there_is_room(storage, HOST))
    assert run.back(control.Request({"op": "resume"})) and not run.words
    trainer.device = here
    for _ in range(3):
        trainer.train_step()
    assert unlike(expected, trainer.state() | {"weights": weights_of(trainer.model)}) == []
