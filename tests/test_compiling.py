"""Compiled training: the same numbers, one graph with the gradients, a fallback, a decision that is remembered."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters
from torch.fx.experimental.proxy_tensor import make_fx

from tests import small_runs
from tui_gen import tuned
from tui_gen.train.engine import compile_choice, compiling
from tui_gen.train.engine.building import weights_of
from tui_gen.train.run import checkpoints
from tui_gen.train.run.checkpoints import Meta
from tui_gen.train.tuned import onednn, products

pytestmark = pytest.mark.xdist_group("compiling")  # PyTorch's compiler is imported once for all, for seconds
POINTS = {"dataset__name": "ring", "dataset__shift": 0}
MLPS = {
    "vae": ("vae", {}),
    "conditional vae": ("vae", {"model__conditional": True}),
    "vae with warm-up": ("vae", {"model__kl_warmup": 10, "model__free_bits": 0.1}),
    "vae in bfloat16": ("vae", {"train__precision": "bfloat16"}),
    "vae, clipped": ("vae", {"train__phases__vae__clip_norm": 0.5}),
    "autoencoder": ("autoencoder", {}),
    "ddpm": ("ddpm", {"model__hidden": [16, 16], "model__channels": [8], **POINTS}),
    "flow": ("flow-matching", {"model__hidden": [16, 16], **POINTS}),
    "gan": ("gan", {"model__network": "mlp", "model__r1_weight": 0.0, "model__r1_every": 1}),
    "wgan-gp": (
        "gan",
        {"model__network": "mlp", "model__r1_weight": 0.0, "model__r1_every": 1, "model__loss": "wasserstein-gp"},
    ),
}


@pytest.fixture
def traced(monkeypatch):
    """Everything of torch.compile but its code generator, which needs a compiler and a quarter of a minute."""
    torch._dynamo.reset()
    counters.clear()
    compile = torch.compile
    monkeypatch.setattr(
        torch, "compile",
        lambda plain, dynamic, backend="aot_eager", **_: compile(plain, dynamic=dynamic, backend=backend),
    )  # fmt: skip
    yield
    torch._dynamo.reset()


@pytest.fixture
def no_chance(monkeypatch):
    """Random numbers that are the same in every step: compiled code draws others than plain code does."""

    def waves(*size, **_):
        sizes = size[0] if isinstance(size[0], tuple | list | torch.Size) else size
        return (torch.arange(math.prod(sizes)) * 12.9898).sin().reshape(sizes) * 1.4

    def whole(*bounds, **_):
        low, high, size = bounds if len(bounds) == 3 else (0, *bounds)
        return low + (torch.arange(math.prod(size)) * 7 % (high - low)).reshape(size)

    monkeypatch.setattr(torch, "randn", waves)
    monkeypatch.setattr(torch, "rand", lambda *size, **_: waves(*size).abs() / 1.5)
    monkeypatch.setattr(torch, "randn_like", lambda x, **_: waves(*x.shape))
    monkeypatch.setattr(torch, "rand_like", lambda x, **_: waves(*x.shape).abs() / 1.5)
    monkeypatch.setattr(torch, "randint", whole)


def advanced(trainer, steps):
    for _ in range(steps):
        trainer.train_step()
    return trainer


def values(trainer):
    """Every metric's values so far."""
    return {name: column for event in trainer.meter.flush() for name, column in event.values.items()}


@pytest.mark.parametrize("which", MLPS)
def test_compiled_training_is_the_plain_one(traced, no_chance, which):
    family, settings = MLPS[which]
    plain, fast = (small_runs.trainer(family, **settings) for _ in range(2))
    said = []
    compiling.apply(fast, said.append)
    advanced(plain, 4)
    advanced(fast, 4)
    assert len(said) == len(fast.phases) and all("compiled in" in one for one in said)
    mine, theirs = values(fast), values(plain)
    assert mine.keys() == theirs.keys()
    for name, column in mine.items():
        assert column == pytest.approx(theirs[name], rel=1e-3, abs=1e-5), name
    for name, tensor in weights_of(fast.model).items():
        torch.testing.assert_close(tensor, weights_of(plain.model)[name], rtol=1e-3, atol=1e-4)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="not in this build of PyTorch")
def test_gradients_of_gradients_survive_other_products(traced, monkeypatch):
    """The compiler of PyTorch 2.15 loses those of an operation with a backward pass of its own."""
    monkeypatch.setattr(onednn, "WORTH", 0)
    plain = nn.Sequential(nn.Linear(7, 5), nn.Softplus(), nn.Linear(5, 3))
    networks = plain, copy.deepcopy(plain)
    products.use(networks[1], products.ONEDNN)
    x, gradients = torch.randn(6, 7), []
    for network in networks:

        def penalty(network=network):
            return torch.func.grad(lambda x: network(x).square().sum())(x).square().sum()

        loss = torch.compile(penalty, dynamic=False)()
        gradients.append(torch.autograd.grad(loss, [layer.weight for layer in (network[0], network[2])]))
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("which", ["vae", "autoencoder", "gan"])
def test_loss_and_gradients_are_one_graph(traced, which):
    family, settings = MLPS[which]
    trainer = small_runs.trainer(family, **settings)
    compiling.apply(trainer, lambda _: None)
    advanced(trainer, 3)
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] == len(trainer.phases)


def test_a_live_edit_reaches_compiled_training(traced, no_chance):
    plain, fast = (small_runs.trainer("vae") for _ in range(2))
    compiling.apply(fast, lambda _: None)
    for trainer in (plain, fast):
        advanced(trainer, 2)
        trainer.edit("model.beta", 7.0)
        advanced(trainer, 2)
    assert values(fast)["vae/loss"] == pytest.approx(values(plain)["vae/loss"], rel=1e-4)


GAN = {"network": "mlp", "generator_hidden": [16], "discriminator_hidden": [16], "r1_weight": 0.0, "r1_every": 1}
LIVE = {
    "vae": ("vae", {}, {"beta": 0.5, "kl_warmup": 20, "free_bits": 2.0}),
    "autoencoder": (
        "autoencoder",
        {"noise": "mask", "sparsity": "l1"},
        {"noise_level": 0.1, "code_noise": 0.2, "sparsity_weight": 0.01},
    ),
    "autoencoder, kl": (
        "autoencoder",
        {"sparsity": "kl", "code_activation": "sigmoid"},
        {"sparsity_target": 0.05, "sparsity_weight": 0.1},
    ),
    "gan": (
        "gan",
        GAN | {"replay": 32},
        {
            "r1_weight": 1.0,
            "r1_every": 2,
            "label_smoothing": 0.1,
            "instance_noise": 0.2,
            "instance_noise_steps": 50,
            "replay_share": 0.2,
        },
    ),
    "wgan-gp": ("gan", GAN | {"loss": "wasserstein-gp"}, {"gp_weight": 1.0}),
    "flow": ("flow-matching", {"hidden": [16, 16]}, {"sigma_min": 0.1}),
}
"""Settings of models, and the live numbers of their losses with values to begin with."""


@pytest.mark.parametrize("which", LIVE)
def test_live_edits_compile_nothing_anew_and_count(traced, no_chance, which):
    family, settings, live = LIVE[which]
    points = POINTS if which == "flow" else {}
    given = {f"model__{name}": value for name, value in (settings | live).items()}
    plain, fast = (small_runs.trainer(family, **given, **points) for _ in range(2))
    said = []
    compiling.apply(fast, said.append)
    for trainer in (plain, fast):
        advanced(trainer, 4)  # R1 comes in every second step
        before = counters["stats"]["unique_graphs"]
        for edit in range(1, 15):
            name = list(live)[edit % len(live)]
            value = trainer.current(f"model.{name}")
            trainer.edit(f"model.{name}", value + 1 if isinstance(value, int) else value * 1.1)
            advanced(trainer, 1)
    assert counters["stats"]["unique_graphs"] == before > 0
    assert all("compiled in" in one for one in said)
    mine, theirs = values(fast), values(plain)
    for metric, column in mine.items():
        assert column == pytest.approx(theirs[metric], rel=5e-3, abs=1e-4), metric
    for name in live:
        assert fast.current(f"model.{name}") == plain.current(f"model.{name}"), "the model has its own numbers again"


@pytest.mark.parametrize("tensors", [True, False])
def test_many_live_edits_leave_training_compiled(traced, monkeypatch, tensors):
    """Also those of constants: in runs that began as such, and of numbers that PyTorch takes as constants only."""
    compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda plain, dynamic, **_: compile(plain, dynamic=dynamic, backend="eager"))
    trainer = small_runs.trainer("vae")
    compiling.apply(trainer, lambda _: None, tensors)
    for edits in range(10):
        trainer.edit("model.beta", 1.0 + edits)
        advanced(trainer, 1)
    assert counters["stats"]["unique_graphs"] == (1 if tensors else 10), "PyTorch gives up after eight"


def test_what_a_live_number_turns_on_is_compiled_once(traced):
    trainer = small_runs.trainer("vae")
    compiling.apply(trainer, lambda _: None)
    for bits in (0.0, 0.3, 0.0, 0.2, 0.1):
        trainer.edit("model.free_bits", bits)
        advanced(trainer, 1)
    assert counters["stats"]["unique_graphs"] == 2


def test_what_does_not_compile_is_trained_as_it_is(monkeypatch):
    def broken(plain, **_):
        def compute(batch):
            torch.rand(3)  # some of the work, before it fails
            raise RuntimeError("no C++ compiler\nand more lines")

        return compute

    monkeypatch.setattr(torch, "compile", broken)
    plain = advanced(small_runs.trainer("vae"), 3)
    said, fast = [], small_runs.trainer("vae")
    compiling.apply(fast, said.append)
    advanced(fast, 3)
    assert said == ["vae: torch.compile failed (RuntimeError: no C++ compiler); training without"]
    assert values(fast) == values(plain)


@pytest.fixture
def pretend_gpu(monkeypatch):
    """Have a trainer say that it trains on a GPU, as far as the choice goes."""

    def pretend(trainer):
        monkeypatch.setattr(compile_choice, "named", lambda device: "Pretend GPU")
        monkeypatch.setattr(compile_choice.torch.accelerator, "empty_cache", lambda: None)
        trainer.device = torch.device("cuda", 0)
        return trainer

    return pretend


@pytest.mark.parametrize(("ratio", "company"), [(1.3, False), (1.05, False), (1.3, True), (None, False)])
@pytest.mark.parametrize("gpu", [False, True])
def test_auto_measures_once_and_remembers(monkeypatch, pretend_gpu, ratio, company, gpu):
    measured, said = [], []

    def measure(trainer):
        measured.append(trainer)
        if ratio is None:
            raise RuntimeError("no C++ compiler")
        return ratio

    monkeypatch.setattr(compile_choice, "_measure", measure)
    monkeypatch.setattr(compile_choice, "in_company", lambda: company)
    trainer = small_runs.trainer("vae", train__compile="auto", train__steps=compile_choice.WORTH_STEPS)
    trainer = pretend_gpu(trainer) if gpu else trainer
    assert [compile_choice.decide(trainer, said.append) for _ in range(2)] == [ratio == 1.3] * 2
    assert len(measured) == 1
    assert ("no C++ compiler" in said[1] and "no C++ compiler" in said[2]) == (ratio is None)
    assert not any("0 ×" in line for line in said)
    # on a CPU it goes by the time that a thread has a core: others make no difference
    assert ("other processes computed" in said[1]) == (company and gpu)
    # a failure is tried again after a day, and what others may have disturbed; a measurement is not
    monkeypatch.setattr(compile_choice.time, "time", lambda: 1e12)
    compile_choice.decide(trainer, said.append)
    assert len(measured) == (2 if ratio is None or (company and gpu) else 1)


@pytest.mark.parametrize(
    ("where", "family", "here"),
    [("cpu", "vae", False), ("gpu", "vae", True), ("cpu", "gan", None), ("gpu", "gan", True)],
)
def test_where_it_is_measured(monkeypatch, pretend_gpu, where, family, here):
    """Beside a run on a CPU, before it on a GPU; convolutions (the small GAN's) on GPUs only."""
    measured, asked, said = [], [], []
    monkeypatch.setattr(compile_choice, "_measure", lambda trainer: measured.append(trainer) or 1.3)
    trainer = small_runs.trainer(family, train__compile="auto", train__steps=10**6)
    trainer = pretend_gpu(trainer) if where == "gpu" else trainer
    assert compile_choice.decide(trainer, said.append, asked.append) == bool(here)
    assert measured == [trainer] * bool(here)
    assert asked == ([compile_choice.key_of(trainer)] if here is False else [])
    if here is False:
        assert said == [compile_choice.BESIDE]
        compile_choice.remember(asked[0], compile_choice.measured(trainer))
        assert compile_choice.decide(trainer, said.append, asked.append) and len(asked) == 1


@pytest.mark.parametrize("faster", [1, 4])
def test_measuring_goes_by_the_rounds_that_nobody_disturbed(monkeypatch, faster):
    """By a clock on which every third step takes a thousand times as long."""
    now, rounds = [0.0], []

    def counted(seconds):
        def compute(batch):
            rounds.append(seconds)
            now[0] += seconds * (1000 if len(rounds) % 3 == 0 else 1)

        return compute

    trainer = small_runs.trainer("vae")
    trainer.compute = {"vae": counted(0.01)}
    monkeypatch.setattr(compiling, "compiled", lambda *_, **__: counted(0.01 / faster))
    monkeypatch.setattr(compile_choice.time, "thread_time", lambda: now[0])
    assert compile_choice._measure(trainer) == pytest.approx(faster)


@pytest.mark.parametrize("kept", [b'{"KEY": 0.0}', b'{"KEY": 1.3}', b'{"KEY": "fast"}', b"junk"])
def test_what_was_remembered_in_another_form(monkeypatch, kept):
    monkeypatch.setattr(compile_choice, "_measure", lambda trainer: 1.2)
    trainer = small_runs.trainer("vae", train__compile="auto", train__steps=compile_choice.WORTH_STEPS)
    path = compile_choice.cache_dir() / "compile.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(kept.replace(b"KEY", compile_choice.key_of(trainer).encode()))
    said = []
    assert compile_choice.decide(trainer, said.append)
    assert said[-1].startswith("torch.compile: 1.3 ×" if b"1.3" in kept else "torch.compile: 1.2 ×")


@pytest.mark.parametrize(
    ("wish", "steps", "family", "decision"),
    [
        ("off", 10**6, "vae", False),
        ("on", 10, "gan", True),
        ("auto", compile_choice.WORTH_STEPS - 1, "vae", False),
        ("auto", 10**6, "gan", False),
    ],
)
def test_what_needs_no_measuring(monkeypatch, wish, steps, family, decision):
    monkeypatch.setattr(compile_choice, "_measure", lambda trainer: pytest.fail("measured"))
    trainer = small_runs.trainer(family, train__compile=wish, train__steps=steps)
    assert compile_choice.decide(trainer, lambda _: None) == decision


@pytest.mark.parametrize("which", ["vae", "gan"])
def test_measuring_changes_nothing(traced, which):
    family, settings = MLPS[which]
    plain = advanced(small_runs.trainer(family, **settings), 3)
    measured = small_runs.trainer(family, **settings)
    assert compile_choice._measure(measured) > 0
    advanced(measured, 3)
    assert values(measured) == values(plain)


def graph_of(function, *inputs):
    """A function's graph as the compiler sees it, with the shapes in it."""
    return make_fx(function, tracing_mode="fake")(*inputs)


def targets(module):
    return [str(node.target) for node in module.graph.nodes if node.op == "call_function"]


@pytest.mark.parametrize("transposed", [False, True])
def test_products_that_gain_are_given_to_the_other_library(monkeypatch, transposed):
    monkeypatch.setattr(onednn, "WORTH", 8 * 6 * 5)
    x, weight, bias, grad = torch.randn(8, 6), torch.randn(5, 6), torch.randn(5), torch.randn(8, 5)

    def layer(x, weight, bias, grad):
        return torch.addmm(bias, x, weight.t()), grad @ weight, grad.t() @ x, x[:7] @ weight.t()

    module = graph_of(layer, x, weight, bias, grad)
    assert onednn.replace(module.graph, transposed) == 2 + transposed
    module.graph.lint()
    module.recompile()
    names = targets(module)
    assert names.count("tui_gen.product.default") == 2 + transposed
    assert names.count("aten.mm.default") == 2 - transposed  # the gradient of the weights, and one that is small
    assert "aten.addmm.default" not in names
    if torch.backends.mkldnn.is_available():  # not in every build of PyTorch
        for mine, theirs in zip(module(x, weight, bias, grad), layer(x, weight, bias, grad)):
            torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, bias: torch.addmm(bias, x.double(), x.double().t()),
        lambda x, bias: torch.addmm(bias[:, None].float(), x, x.t()),
        lambda x, bias: torch.addmm(bias.float(), x, x.t(), beta=2),
    ],
    ids=["float64", "a bias per row", "scaled"],
)
def test_products_of_another_kind_stay(monkeypatch, function):
    monkeypatch.setattr(onednn, "WORTH", 1)
    module = graph_of(function, torch.randn(4, 4), torch.randn(4, dtype=torch.float64))
    assert onednn.replace(module.graph) == 0


@pytest.fixture
def known_processor(monkeypatch):
    """A processor on which oneDNN's products are the faster ones."""
    monkeypatch.setattr(onednn.Path, "read_text", lambda *_, **__: "vendor_id : AuthenticAMD")
    monkeypatch.setattr(onednn.torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    onednn.faster.cache_clear()
    onednn.works.cache_clear()
    yield torch.device("cpu")
    onednn.faster.cache_clear()
    onednn.works.cache_clear()


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="not in this build of PyTorch")
@pytest.mark.parametrize("by_kind", [True, False])
def test_products_are_exchanged_unless_that_is_switched_off(known_processor, monkeypatch, by_kind):
    monkeypatch.setattr(tuned, "on", lambda: True)
    assert onednn.options(known_processor, by_kind)
    monkeypatch.setattr(tuned, "on", lambda: False)
    assert onednn.options(known_processor, by_kind) is None


@pytest.mark.parametrize("product", [lambda *_: 1 / 0, lambda left, right, bias: left @ right], ids=["raises", "wrong"])
def test_products_stay_where_the_other_librarys_are_not_what_they_were(known_processor, monkeypatch, product):
    monkeypatch.setattr(onednn, "product", product)
    assert not onednn.faster() and onednn.options(known_processor, True) is None


def test_products_stay_where_nothing_is_known_of_the_processor(monkeypatch):
    onednn.faster.cache_clear()
    monkeypatch.setattr(onednn.torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert not onednn.faster() and onednn.options(torch.device("cpu"), by_kind=True) is None
    onednn.faster.cache_clear()


def test_a_compiled_run_is_resumed_bit_for_bit(tmp_path, monkeypatch):
    """With the code generator where there is a compiler; else the log says so, and the run is plain."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))  # of nobody's earlier compiling
    # What PyTorch tries out first costs as much as all that is compiled: each kind of vectors, and processes to share.
    monkeypatch.setattr(torch._inductor.config.cpp, "vec_isa_ok", True)
    monkeypatch.setattr(torch._inductor.config, "compile_threads", 1)
    monkeypatch.setattr(onednn, "WORTH", 1)
    monkeypatch.setattr(onednn, "faster", lambda: torch.backends.mkldnn.is_available())
    exchanged, replace = [], onednn.replace
    monkeypatch.setattr(onednn, "replace", lambda *its: exchanged.append(replace(*its)))

    def trainer():
        made = small_runs.trainer("vae")
        compiling.apply(made, said.append, by="")  # as older runs have it
        return made

    def edited(trainer, steps):
        for _ in range(steps):
            if trainer.step in (2, 5):  # before the checkpoint there, after it back: each value is compiled for seconds
                trainer.edit("model.beta", 3.0 if trainer.step == 2 else 1.0)
            trainer.train_step()
        return trainer

    said = []
    whole, half = edited(trainer(), 7), edited(trainer(), 4)
    path = checkpoints.save(tmp_path, half.snapshot(), Meta(4, 1.0, "test"))
    torch.manual_seed(999)
    again = trainer()
    loaded = checkpoints.load(path)
    again.restore(loaded.state, loaded.weights, loaded.average)
    edited(again, 3)
    assert len(said) == 3 and all("compiled in" in one or "torch.compile failed" in one for one in said)
    if onednn.faster() and "compiled in" in said[0]:
        assert exchanged and all(exchanged)
    wanted = weights_of(whole.model)
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in weights_of(again.model).items())
    assert values(again)["vae/loss"] == values(whole)["vae/loss"][4:]
