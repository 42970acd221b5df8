"""The optimisers: those with little around their kernels give PyTorch's bits."""

from __future__ import annotations

import io
from copy import deepcopy

import pytest
import torch
from torch import nn

from tests import small_runs
from tui_gen import tuned
from tui_gen.config import Optim
from tui_gen.train.engine import optim
from tui_gen.train.engine.building import weights_of
from tui_gen.train.tuned import fused_adam, fused_sgd, late_compiler, lean_foreach
from tui_gen.train.tuned.fused_adam import FusedAdam


@pytest.fixture(autouse=True)
def as_the_environment_says():
    """Hand-made speed, whatever a run in this process had before."""
    tuned.use(None)
    yield
    tuned.use(None)


def nets() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    one = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    two = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    two.load_state_dict(one.state_dict())
    return one, two


def steps(net: nn.Module, optimizer: torch.optim.Optimizer, count: int, seed: int, frozen: int = -1) -> None:
    """Train; `frozen` is the step at which the first layer has no gradient."""
    random = torch.Generator().manual_seed(seed)
    for step in range(count):
        optimizer.zero_grad()
        net(torch.randn(4, 5, generator=random)).square().mean().backward()
        if step == frozen:
            net[0].weight.grad = None
        optimizer.param_groups[0]["lr"] = 1e-2 / (step + 1)
        optimizer.step()


@pytest.mark.parametrize("frozen", [-1, 0, 3])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_fused_adam_gives_the_same_bits_as_pytorch(frozen, decay):
    mine, theirs = nets()
    ours = optim.build(Optim(lr=1e-2, weight_decay=decay, beta1=0.5), list(mine.parameters()))
    plain = torch.optim.Adam(theirs.parameters(), 1e-2, betas=(0.5, 0.999), weight_decay=decay, fused=True)
    assert isinstance(ours, FusedAdam)
    steps(mine, ours, 6, 1, frozen)
    steps(theirs, plain, 6, 1, frozen)
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)
        assert ours.state[a]["step"] == plain.state[b]["step"]


@pytest.mark.parametrize("frozen", [-1, 0, 3])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("by_hand", [True, False])
def test_sgd_gives_the_same_bits_as_pytorch(monkeypatch, frozen, momentum, by_hand):
    """Also where a parameter's first gradient comes later, for which PyTorch has its form that is not fused."""
    monkeypatch.setenv("TUI_GEN_TUNED", "1" if by_hand else "0")
    mine, theirs = nets()
    ours = optim.build(Optim("sgd", lr=1e-2, weight_decay=0.1, beta1=momentum), list(mine.parameters()))
    fused = {"fused": True} if momentum == 0 or frozen else {"foreach": False}
    plain = torch.optim.SGD(theirs.parameters(), 1e-2, momentum=momentum, weight_decay=0.1, **fused)
    assert type(ours) is (fused_sgd.FusedSGD if by_hand else fused_sgd.SGD)
    for net, optimizer in ((mine, ours), (theirs, plain)):
        steps(net, optimizer, 6, 1, frozen)
        optimizer.load_state_dict(deepcopy(optimizer.state_dict()))  # as a resume does
        optimizer.param_groups[0]["weight_decay"] = 0.01  # as an edit does
        steps(net, optimizer, 3, 2)
    same = torch.equal if fused.get("fused") else torch.allclose
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert same(a, b)
        if momentum:
            assert same(ours.state[a]["momentum_buffer"], plain.state[b]["momentum_buffer"])


@pytest.mark.parametrize("frozen", [-1, 0, 3])
@pytest.mark.parametrize(("name", "momentum"), [("rmsprop", 0.0), ("rmsprop", 0.9), ("nadam", 0.9)])
def test_lean_rmsprop_and_nadam_give_the_same_bits_as_pytorch(frozen, name, momentum):
    """Also where a parameter has had fewer gradients than others, and after a resume and an edit."""
    mine, theirs = nets()
    ours = optim.build(Optim(name, lr=1e-2, weight_decay=0.1, beta1=momentum, beta2=0.9), list(mine.parameters()))
    if name == "nadam":
        plain = torch.optim.NAdam(theirs.parameters(), 1e-2, betas=(momentum, 0.9), weight_decay=0.1, foreach=True)
    else:
        numbers = {"alpha": 0.9, "momentum": momentum, "weight_decay": 0.1}
        plain = torch.optim.RMSprop(theirs.parameters(), 1e-2, foreach=True, **numbers)
    assert type(ours) is {"nadam": lean_foreach.LeanNAdam, "rmsprop": lean_foreach.LeanRMSprop}[name]
    for net, optimizer in ((mine, ours), (theirs, plain)):
        steps(net, optimizer, 6, 1, frozen)
        optimizer.load_state_dict(deepcopy(optimizer.state_dict()))  # as a resume does
        optimizer.param_groups[0]["weight_decay"] = 0.0  # as an edit does
        steps(net, optimizer, 3, 2)
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)
        assert ours.state[a].keys() == plain.state[b].keys()
        assert all(torch.equal(value, plain.state[b][key]) for key, value in ours.state[a].items())


@pytest.mark.parametrize("way", ["another signature", "other numbers", "switched off"])
@pytest.mark.parametrize(("name", "plain"), [("rmsprop", torch.optim.RMSprop), ("nadam", torch.optim.NAdam)])
def test_pytorchs_own_rmsprop_and_nadam_are_taken_where_the_lean_ones_do_not_fit(monkeypatch, way, name, plain):
    kind = {"rmsprop": lean_foreach.LeanRMSprop, "nadam": lean_foreach.LeanNAdam}[name]
    update = kind._update

    def changed(optimizer, weights, *lists):
        if way == "another signature":
            raise TypeError("unexpected keyword argument 'value'")
        update(optimizer, weights, *lists)
        weights[0].mul_(1.001)

    lean_foreach.works.cache_clear()
    if way == "switched off":
        monkeypatch.setenv("TUI_GEN_TUNED", "0")
    else:
        monkeypatch.setattr(kind, "_update", changed)
    found = optim.build(Optim(name), list(nets()[0].parameters()))
    monkeypatch.undo()
    assert type(found) is plain
    lean_foreach.works.cache_clear()
    before = torch.get_rng_state()
    assert lean_foreach.works() and torch.equal(before, torch.get_rng_state()), "the trial draws no random numbers"


@pytest.mark.parametrize("beta", [0.5, 0.9])
def test_averages_that_have_faded_away_are_set_to_0_and_no_weight_is_another(beta):
    """The first of five inputs is seen at steps 0 and 1,000 alone, as pixels at the edge of an image are."""
    mine, theirs = nets()
    ours, plain = (optim.build(Optim(lr=1e-3, beta1=beta), list(net.parameters())) for net in (mine, theirs))
    assert isinstance(ours, FusedAdam) and isinstance(plain, FusedAdam)
    ours.flushes = True

    def of_the_first(optimizer: torch.optim.Optimizer) -> torch.Tensor:
        return optimizer.state[optimizer.param_groups[0]["params"][0]]["exp_avg"][:, 0]

    for net, optimizer in ((mine, ours), (theirs, plain)):
        random = torch.Generator().manual_seed(2)
        for step in range(1020):
            x = torch.randn(4, 5, generator=random)
            if step % 1000:
                x[:, 0] = 0.0
            if step == 1000 and optimizer is ours:
                assert not of_the_first(ours).any(), "nothing is left of it"
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()
            if step == 999 and optimizer is plain and beta == 0.9:
                left = of_the_first(plain).abs()
                assert 0 < left.max() < torch.finfo(torch.float32).tiny, "which this does not get rid of by itself"
        assert of_the_first(optimizer).any()
    assert all(map(torch.equal, mine.parameters(), theirs.parameters()))


@pytest.mark.parametrize("way", ["another signature", "other numbers", "none at all", "switched off"])
@pytest.mark.parametrize(("name", "plain"), [("adam", torch.optim.Adam), ("sgd", fused_sgd.SGD)])
def test_pytorchs_own_is_taken_where_the_kernel_is_not_what_it_was(monkeypatch, way, name, plain):
    ours = {"adam": fused_adam, "sgd": fused_sgd}[name]
    kernel = getattr(torch, f"_fused_{name}_")

    def changed(*lists, **numbers):
        if way == "another signature":
            raise TypeError("unexpected keyword argument 'lr'")
        by_hand = "grad_scale" not in numbers  # PyTorch names more
        kernel(*lists, **numbers | {"lr": (1.001 if by_hand else 1.0) * numbers["lr"]})

    ours.works.cache_clear()
    if way == "switched off":
        monkeypatch.setenv("TUI_GEN_TUNED", "0")
    elif way == "none at all":
        monkeypatch.delattr(torch, f"_fused_{name}_")
    else:
        monkeypatch.setattr(torch, f"_fused_{name}_", changed)
    net, _ = nets()
    found = optim.build(Optim(name), list(net.parameters()))
    monkeypatch.undo()
    assert type(found) is plain
    steps(net, found, 2, 1)
    ours.works.cache_clear()
    before = torch.get_rng_state()
    assert ours.works() and torch.equal(before, torch.get_rng_state()), "the trial draws no random numbers"


def test_fused_adam_goes_on_from_its_saved_state():
    mine, other = nets()
    ours = optim.build(Optim(), list(mine.parameters()))
    steps(mine, ours, 3, 1)
    file = io.BytesIO()
    torch.save({"net": mine.state_dict(), "optim": ours.state_dict()}, file)
    steps(mine, ours, 3, 2)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    again = optim.build(Optim(), list(other.parameters()))
    steps(other, again, 2, 9)  # what it learnt before counts no more, nor do the tensors that it held
    other.load_state_dict(saved["net"])
    again.load_state_dict(saved["optim"])
    steps(other, again, 3, 2)
    assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), other.parameters(), strict=True))
    assert {int(state["step"]) for state in again.state.values()} == {6}


@pytest.fixture
def without_compiler(monkeypatch):
    """As in a process that has not imported PyTorch's compiler, and has no optimiser yet."""
    late_compiler.let_in()
    monkeypatch.setattr(late_compiler, "imported", lambda: False)
    kinds = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.NAdam, torch.optim.RMSprop)
    methods = [getattr(torch.optim.Optimizer, name).__wrapped__ for name in late_compiler.HIDDEN]
    for method in methods:
        if hasattr(method, "__dynamo_disable"):
            monkeypatch.delattr(method, "__dynamo_disable")
    for kind in kinds:
        step = vars(kind).get("step")
        while hasattr(step, "hooked"):
            step = step.__wrapped__
        if step is not None:
            monkeypatch.setattr(kind, "step", step)
    yield kinds, methods
    late_compiler.let_in()


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "nadam", "rmsprop"])
def test_without_the_compiler_every_optimiser_gives_the_same_bits(without_compiler, monkeypatch, name):
    mine, theirs = nets()
    late_compiler.keep_out()
    ours = optim.build(Optim(optimizer=name, weight_decay=0.1), list(mine.parameters()))
    steps(mine, ours, 4, 1)
    late_compiler.let_in()
    monkeypatch.setattr(late_compiler, "keep_out", lambda: None)
    plain = optim.build(Optim(optimizer=name, weight_decay=0.1), list(theirs.parameters()))
    steps(theirs, plain, 4, 1)
    assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), theirs.parameters(), strict=True))
    assert torch.is_grad_enabled()


def test_once_something_is_compiled_pytorch_is_as_it_was(without_compiler):
    kinds, methods = without_compiler
    before = [vars(kind).get("step") for kind in kinds]
    late_compiler.keep_out()
    assert all(hasattr(method, "__dynamo_disable") for method in methods)
    assert [vars(kind).get("step") for kind in kinds] != before
    late_compiler.let_in()
    assert [vars(kind).get("step") for kind in kinds] == before
    assert not any(hasattr(method, "__dynamo_disable") for method in methods)


@pytest.mark.parametrize("why", ["switched off", "built otherwise", "there already"])
def test_the_compiler_is_kept_out_only_where_that_works(without_compiler, monkeypatch, why):
    kinds, methods = without_compiler
    if why == "switched off":
        monkeypatch.setenv("TUI_GEN_TUNED", "0")
    elif why == "built otherwise":
        monkeypatch.setattr(torch.optim.Optimizer, "zero_grad", methods[1])
    else:
        monkeypatch.setattr(late_compiler, "imported", lambda: True)
    before = [vars(kind).get("step") for kind in kinds]
    late_compiler.keep_out()
    assert [vars(kind).get("step") for kind in kinds] == before
    assert not any(hasattr(method, "__dynamo_disable") for method in methods)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("family", ["ddpm", "gan"])
def test_every_weight_is_moved_by_its_own_gradient(family, name):
    """Some gradients lie in another order in memory than their weights: a transposed kernel's, a penalty's."""
    overrides = {"train__health_every": 0}
    phases = [phase.name for phase in small_runs.trainer(family).phases]
    for phase in phases:
        overrides |= {f"train__phases__{phase}__optimizer": name, f"train__phases__{phase}__beta1": 0.5}
    trainer = small_runs.trainer(family, **overrides)
    with torch.no_grad():  # what begins as zeros would hide what is behind it
        for weight in trainer.model.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    plain, astray = {}, 0
    for phase in trainer.phases:
        compute, weights = trainer.compute[phase.name], trainer.parameters[phase.name]
        kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
        settings = {"momentum": 0.5} if name == "sgd" else {"betas": (0.5, trainer.optims[phase.name].beta2)}

        def watched(batch, compute=compute, weights=weights, kind=kind, settings=settings, phase=phase):
            nonlocal astray
            names, row, gradients = compute(batch)
            copies = [nn.Parameter(weight.detach().clone().contiguous()) for weight in weights]
            for copy, gradient in zip(copies, gradients, strict=True):
                copy.grad = None if gradient is None else gradient.contiguous()
            optim_ = trainer.optims[phase.name]
            kind(copies, optim_.lr, weight_decay=optim_.weight_decay, foreach=False, **settings).step()
            plain[phase.name] = copies
            astray += sum(g is not None and g.stride() != w.stride() for g, w in zip(gradients, weights))
            return names, row, gradients

        trainer.compute[phase.name] = watched
    trainer.train_step()
    assert astray, "no gradient lies otherwise here: the test needs another model"
    for phase in phases:
        for weight, expected in zip(trainer.parameters[phase], plain[phase], strict=True):
            assert torch.allclose(weight, expected, rtol=1e-4, atol=1e-6)


def test_a_run_that_was_begun_with_gradients_as_they_lie_goes_on_so():
    trainer = small_runs.trainer("ddpm")
    state = trainer.state()
    assert state["in_order"]
    del state["in_order"]
    average = trainer.average
    assert average is not None
    trainer.restore(state, weights_of(trainer.model), weights_of(average))
    assert not trainer.in_order and not trainer.state()["in_order"]
