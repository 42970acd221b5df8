"""Linear layers whose products are oneDNN's: the same numbers to any order of gradients, chosen once and kept."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tests import small_runs
from tui_gen import checkpoints as files
from tui_gen import events, tuned
from tui_gen.log import event_log
from tui_gen.train.engine.building import weights_of
from tui_gen.train.run import checkpoints
from tui_gen.train.run.loop import RunLoop
from tui_gen.train.tuned import onednn, products

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="not in this build of PyTorch")


@pytest.fixture(autouse=True)
def however_small(monkeypatch):
    monkeypatch.setattr(onednn, "WORTH", 0)


@pytest.fixture
def pair():
    """The same network twice: with PyTorch's products, and with the others."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(7, 5), nn.Softplus(), nn.Linear(5, 3, bias=False))
    other = copy.deepcopy(plain)
    assert products.use(other, products.ONEDNN) and products.of(other) == products.ONEDNN
    assert products.of(plain) == products.PLAIN
    return plain, other


@pytest.fixture
def calls(monkeypatch):
    made, product = [], onednn.product
    monkeypatch.setattr(onednn, "product", lambda *factors: made.append(factors) or product(*factors))
    return made


def first_and_second(network, x):
    """What it puts out, and the gradients of a penalty on the gradients of its input."""
    x = x.clone().requires_grad_()
    out = network(x)
    (slope,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    loss = out.sum() + slope.square().sum().sqrt()
    return [out, slope, *torch.autograd.grad(loss, [x, *network.parameters()])]


@pytest.mark.parametrize("shape", [(4, 7), (2, 3, 7), (1, 7)])
def test_the_same_numbers_to_the_second_order(pair, calls, shape):
    x = torch.randn(shape)
    wanted = first_and_second(pair[0], x)
    assert not calls
    for mine, theirs in zip(first_and_second(pair[1], x), wanted, strict=True):
        torch.testing.assert_close(mine, theirs)
    assert len(calls) > 6


def test_gradients_are_right_by_differences(monkeypatch, calls):
    """Of the function itself, in float64, which oneDNN's products do not have: the formulas are what is tried."""
    monkeypatch.setattr(onednn, "product", lambda left, right, bias: left @ right + (0 if bias is None else bias))
    factors = [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in ((4, 3), (3, 5), (5,))]
    assert torch.autograd.gradcheck(products.Product.apply, factors)
    assert torch.autograd.gradgradcheck(products.Product.apply, factors)


def per_sample(network, x):
    weights = dict(network.named_parameters())
    loss = torch.func.grad(lambda w, one: torch.func.functional_call(network, w, one[None]).sum())
    return list(torch.func.vmap(loss, (None, 0))(weights, x).values())


def forward_mode(network, x):
    return [*torch.func.jvp(lambda x: network(x), (x,), (torch.ones_like(x),))]


def halved(network, x):
    with torch.autocast("cpu", torch.bfloat16):
        return [network(x)]


@pytest.mark.parametrize("use", [per_sample, forward_mode, halved])
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_what_else_people_do_with_layers(pair, use):
    x = torch.randn(6, 7)
    for mine, theirs in zip(use(pair[1], x), use(pair[0], x), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_layers_of_another_kind_and_small_products_stay(monkeypatch, calls):
    class Own(nn.Linear):
        pass

    model = nn.ModuleList([Own(3, 3), nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3)), nn.Linear(3, 3)])
    products.use(model, products.ONEDNN)
    calls.clear()  # of whether it works at all, which is tried once a process
    assert [isinstance(layer, products.OneDNNLinear) for layer in model] == [False, False, True]
    assert repr(model[2]) == repr(nn.Linear(3, 3)) and isinstance(model[2], nn.Linear)
    monkeypatch.setattr(onednn, "WORTH", 28)
    model[2](torch.randn(3, 3))
    assert not calls
    model[2](torch.randn(4, 3))
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("change", "choice"),
    [
        ({}, products.ONEDNN),
        ({"measured": lambda *_: 1.2}, products.PLAIN),
        ({"WORTH": 10**9}, products.PLAIN),
        ({"works": lambda: False}, products.PLAIN),
        ({"capability": lambda: "AVX2"}, products.PLAIN),
        ({"amd_family": lambda: 25}, products.PLAIN),
        ({"amd_family": lambda: None}, products.PLAIN),
        ({"on": lambda: False}, products.PLAIN),
        ({"precision": torch.bfloat16}, products.PLAIN),
    ],
    ids=["faster", "not so much", "small", "not there", "an older processor", "narrow units", "not AMD's",
         "switched off", "half precision"],
)  # fmt: skip
def test_what_is_chosen(monkeypatch, change, choice):
    there = {"measured": lambda *_: 1.9, "capability": lambda: "AVX512", "amd_family": lambda: 26}
    change = there | change
    owners = {"measured": products, "WORTH": onednn, "works": onednn, "amd_family": onednn, "on": tuned}
    for name, value in change.items():
        if name in owners:
            monkeypatch.setattr(owners[name], name, value)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", change["capability"])
    precision = change.get("precision", torch.float32)
    chosen, _ = products.choose(nn.Sequential(nn.Linear(8, 8)), 4, torch.device("cpu"), precision)
    assert chosen == choice


@pytest.mark.parametrize("slower", [3, 0.5])
def test_what_is_measured(monkeypatch, slower):
    """By a clock that goes on when a product is made, and jumps once, as where caches were emptied."""
    now, weight = [0.0], torch.randn(30, 20)
    state, threads = torch.get_rng_state(), torch.get_num_threads()

    def product(takes, left, right, bias):
        now[0] += takes if len(made) != 5 else 1000
        made.append(left @ right)
        return made[-1]

    made = []
    monkeypatch.setattr(products.time, "thread_time", lambda: now[0])
    monkeypatch.setattr(products, "_by_torch", lambda *factors: product(1, *factors))
    monkeypatch.setattr(onednn, "product", lambda *factors: product(slower, *factors))
    assert products.measured(16, weight) == pytest.approx(1 / slower)
    assert {tuple(result.shape) for result in made} == {(16, 30), (16, 20), (30, 20)}
    assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("vendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t: 2\n", 26),
        ("vendor_id\t: GenuineIntel\ncpu family\t: 26\n", None),
        ("vendor_id\t: AuthenticAMD\n", 0),
    ],
)
def test_what_the_system_tells_of_the_processor(monkeypatch, text, family):
    monkeypatch.setattr(onednn.Path, "read_text", lambda *_, **__: text)
    assert onednn.amd_family() == family


def loop_of(path, **settings):
    trainer = small_runs.trainer("vae", **settings)
    return RunLoop(path, trainer, event_log.EventWriter(path / "events.jsonl"), {})


def test_a_run_keeps_what_it_began_with(tmp_path, monkeypatch, calls):
    """Also where it would not be chosen any more, with the same bits; and its averaged weights with it."""
    settings = {"train__steps": 6, "train__ema": 0.9, "checkpoint__every_steps": 3}
    path = small_runs.make_run(tmp_path, "vae", **settings)
    monkeypatch.setattr(products, "choose", lambda *_: (products.ONEDNN, 1.9))
    loop = loop_of(path, **settings)
    assert loop.run() == "finished" and calls
    assert products.of(loop.trainer.average) == products.ONEDNN
    wanted = {name: tensor.clone() for name, tensor in weights_of(loop.trainer.model).items()}
    newest = files.directory(path, 6)
    assert files.read_meta(newest).products == products.ONEDNN
    for file in newest.iterdir():
        file.unlink()
    newest.rmdir()
    calls.clear()
    monkeypatch.setattr(products, "choose", lambda *_: pytest.fail("chosen again"))
    again = loop_of(path, **settings)
    again.resume()
    assert again.trainer.step == 3 and again.run() == "finished" and calls
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in weights_of(again.trainer.model).items())
    assert files.read_meta(newest).products == products.ONEDNN
    said = [event.text for event in event_log.read(path / "events.jsonl", events.Note)]
    assert sum("1.9 × as fast" in text for text in said) == 1


def test_a_run_that_was_begun_with_other_products_keeps_to_those(tmp_path, monkeypatch, calls):
    settings = {"train__steps": 4}
    path = small_runs.make_run(tmp_path, "vae", **settings)
    first = loop_of(path, **settings)
    for _ in range(2):
        first.trainer.train_step()
    checkpoints.save(path, first.trainer.snapshot(), checkpoints.Meta(2, 0.0, "by an older version"))
    monkeypatch.setattr(products, "choose", lambda *_: (products.ONEDNN, 1.9))
    loop = loop_of(path, **settings)
    loop.resume()
    assert loop.run() == "finished" and not calls
    meta, (optimizer,) = files.read_meta(files.directory(path, 4)), loop.trainer.optimizers.values()
    assert meta.products == "" and not meta.flushes and not optimizer.flushes
    new = loop_of(small_runs.make_run(tmp_path, "vae", **settings), **settings)
    new.computing.prepare(new.trainer, print)
    assert new.computing.state()["flushes"] and all(optimizer.flushes for optimizer in new.trainer.optimizers.values())
