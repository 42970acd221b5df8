"""GPUs by stand-ins: which is picked, what its graphs take away, what has no room, and what it says of itself."""

from __future__ import annotations

import contextlib
import os
from types import SimpleNamespace

import pytest
import torch

from tests import small_runs
from tui_gen import config as configs
from tui_gen.config import TrainConfig
from tui_gen.train.engine import compiling, devices
from tui_gen.train.engine.building import TrainingError, weights_of
from tui_gen.train.offline import machine
from tui_gen.train.offline.alike import unlike
from tui_gen.train.run import processes
from tui_gen.train.run.worker import Worker

CUDA = torch.device("cuda", 0)


@pytest.fixture
def accelerator(monkeypatch):
    """Has PyTorch find so many devices of a kind."""

    def have(kind, count):
        here = torch.device(kind) if count else None
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: here)
        monkeypatch.setattr(torch.accelerator, "device_count", lambda: count)

    return have


class Captured:
    """Computes as CUDA graphs do: all of them write to one place, and what one gave is gone when the next begins."""

    def __init__(self):
        self.out = []

    def __call__(self, plain):
        def compute(batch):
            inputs = {id(value) for value in batch.shared.values()}
            for tensor in self.out:
                assert id(tensor) not in inputs, "a tensor of another graph goes into this one"
                tensor.fill_(float("nan") if tensor.is_floating_point() else -1)
            names, row, gradients = plain(batch)
            left = [value for value in batch.shared.values() if id(value) not in inputs]
            self.out = [row, *left, *(gradient for gradient in gradients if gradient is not None)]
            return names, row, gradients

        return compute


FAMILIES = {
    "gan": ("gan", {"model__replay": 20, "model__replay_share": 0.5}),
    "gan in parts": ("gan", {"train__accumulate": 2}),
    "vq-vae": ("vq-vae", {}),
}


@pytest.mark.parametrize("which", FAMILIES)
def test_phases_that_share_tensors_are_trained_by_graphs_that_share_memory(which):
    family, settings = FAMILIES[which]
    plain, fast = (small_runs.trainer(family, **settings) for _ in range(2))
    captured = Captured()
    for name, compute in fast.compute.items():
        fast.compute[name] = compiling.keeping(captured(compute))
    for trainer in (plain, fast):
        torch.manual_seed(0)
        for _ in range(4):
            trainer.train_step()
    mine, theirs = ({"weights": weights_of(trainer.model), "state": trainer.state()} for trainer in (fast, plain))
    assert unlike(theirs, mine) == []
    for event in fast.meter.flush():
        assert all(value == value for values in event.values.values() for value in values)


def test_what_a_loss_leaves_in_lists_is_kept_as_well():
    static = torch.zeros(2)

    def captured(batch):
        static.add_(1)
        batch.shared |= {"pair": (static, [static]), "by name": {"a": static}, "count": 3}
        return ("loss",), static, [None]

    batch = SimpleNamespace(shared={"before": static})
    compiling.keeping(captured)(batch)
    static.fill_(9)
    assert batch.shared["pair"][0].tolist() == batch.shared["pair"][1][0].tolist() == [1, 1]
    assert batch.shared["by name"]["a"].tolist() == [1, 1] and batch.shared["count"] == 3
    assert batch.shared["before"] is static


def test_a_capture_that_fails_leaves_the_random_numbers_of_both_generators(monkeypatch):
    own = torch.Generator().manual_seed(3)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: own.get_state())
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: own.set_state(state))
    drawn, said, calls = [], [], []

    def plain(batch):
        drawn.append((torch.rand(1).item(), torch.rand(1, generator=own).item()))
        return ("loss",), torch.zeros(1), []

    def fast(batch):
        calls.append(batch)
        out = plain(batch)
        if len(calls) == 3:  # the graph is captured at some later call, and there is no room for it, say
            raise torch.OutOfMemoryError("CUDA out of memory")
        return out

    compute = compiling._with_fallback("vae", plain, fast, said.append, CUDA)
    torch.manual_seed(5)
    for _ in range(5):
        compute("batch")
    assert len(calls) == 3 and "torch.compile failed (OutOfMemoryError" in said[-1] and len(said) == 2
    del drawn[2]  # what was drawn in vain
    torch.manual_seed(5)
    own.manual_seed(3)
    assert drawn == [(torch.rand(1).item(), torch.rand(1, generator=own).item()) for _ in range(5)]


def test_any_kind_of_accelerator_is_picked(accelerator):
    accelerator("xpu", 2)
    assert devices.pick_device("auto") == torch.device("xpu") and devices.pick_device("xpu:1").index == 1
    assert devices.pick_device("cpu") == torch.device("cpu")
    with pytest.raises(TrainingError, match="xpu:2: this machine has 2 XPU devices"):
        devices.pick_device("xpu:2")
    with pytest.raises(TrainingError, match="cuda: this machine has 0 CUDA devices"):
        devices.pick_device("cuda")
    accelerator("cuda", 0)
    assert devices.pick_device("auto") == torch.device("cpu")
    made = small_runs.tables("vae", train__device="xpu:1")
    assert configs.load(made, small_runs.built()[0]).train.device == "xpu:1"


def test_a_device_other_than_the_first_is_made_the_current_one(monkeypatch):
    entered = []
    monkeypatch.setattr(torch.accelerator, "set_device_index", entered.append)
    for name in ("cpu", "cuda", "cuda:0", "cuda:1"):
        devices.enter(torch.device(name))
    assert entered == [torch.device("cuda", 1)]


@pytest.mark.parametrize("major,precision", [(7, torch.float32), (8, torch.bfloat16)])
def test_a_gpu_that_only_imitates_bfloat16_computes_in_float32(monkeypatch, major, precision):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(major=major))
    assert devices.pick_precision("auto", CUDA) is precision


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GB)"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 40000000000 bytes."),
    ],
)
def test_no_room_is_known_in_whosever_words_and_what_to_do_is_said(error):
    assert devices.lacks_memory(error) and "raise train.accumulate" in Worker._why(error)


@pytest.fixture
def as_before():
    """PyTorch's choice of algorithms, put back after the test."""
    before = torch.utils.deterministic.fill_uninitialized_memory
    yield
    devices.be_deterministic(False)
    torch.utils.deterministic.fill_uninitialized_memory = before


@pytest.mark.parametrize("wish", [True, False])
def test_a_config_may_ask_for_the_same_bits_each_time(as_before, monkeypatch, wish):
    """What cannot be had so ends the run, with what to do; here by an operation that has no such form on a CPU."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "to be put back")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    device = processes.device_of(None, TrainConfig(deterministic=wish, device="cpu"))
    assert device.type == "cpu" and torch.are_deterministic_algorithms_enabled() == wish
    assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == (":4096:8" if wish else None)
    with pytest.raises(RuntimeError) if wish else contextlib.nullcontext() as raised:
        torch.zeros(3).put_(torch.tensor([0, 0]), torch.tensor([1.0, 2.0]))
    if wish:
        words = Worker._why(raised.value)
        assert words.startswith("put_ has no algorithm here") and "train.deterministic = false" in words


def test_another_fault_is_not_taken_for_a_lack_of_memory():
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    assert not devices.lacks_memory(error) and "shapes" in Worker._why(error)
    assert not devices.lacks_memory(ValueError("out of memory"))


def test_the_doctor_is_told_of_every_accelerator_and_of_one_that_fails(accelerator, monkeypatch):
    accelerator("cuda", 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "H")
    monkeypatch.setattr(torch.accelerator, "get_memory_info", lambda device: (5, 9))
    ones = torch.ones
    monkeypatch.setattr(torch, "ones", lambda count, device: ones(count))
    assert machine.accelerators() == [{"id": "cuda:0", "name": "H", "free": 5, "memory": 9}]

    def broken(count, device):
        raise RuntimeError("no kernel image is available\nmore")

    monkeypatch.setattr(torch, "ones", broken)
    assert machine.accelerators()[0]["fault"] == "no kernel image is available"
    accelerator("mps", 0)
    assert machine.accelerators() == []
