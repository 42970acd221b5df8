"""What every model must do: take every hyperparameter at its bounds and every kind of data, or refuse it in words."""

import math

import msgspec
import pytest
import torch

from tests import small_recipes
from tests.known import DATASETS
from tests.small_runs import SMALL, built
from tests.small_runs import trainer as trainer_of
from tests.test_models import batch_for, images, train
from tui_gen import params
from tui_gen.model import Batch, DataSpec

MODELS = [name for name in built()[1].models if small_recipes.alone(name)]
IMAGES, POINTS = images(), DataSpec("ring", "points", (2,), ("a", "b"))
TEXT = DataSpec("python-help", "text", (13,), tuple("\n abcdefgh."), 100)
DATA = {"image": IMAGES, "points": POINTS, "text": TEXT}

NARROW = {
    "autoencoder": {"latent": 3},
    "classifier": {"network": "mlp", "hidden": [8]},
    "char-rnn": {"embedding": 4, "hidden": 8, "sample_length": 5},
    "ddpm": {"channels": [8, 8], "sample_steps": 3},
    "flow-matching": {"channels": [8, 8], "sample_steps": 3},
    "vq-vae": {
        "channels": [8], "residual_blocks": 1, "codebook_size": 8, "code_size": 4, "prior_width": 8, "prior_layers": 1,
    },
}  # fmt: skip
"""What makes a model small where it is not so by itself."""
NEEDS = {
    ("vae", "channels"): {"network": "conv"},
    ("vae", "sigma"): {"likelihood": "gaussian"},
    ("gan", "generator_channels"): {"network": "dcgan"},
    ("gan", "discriminator_channels"): {"network": "dcgan"},
    ("gan", "gp_weight"): {"loss": "wasserstein-gp"},
    ("gan", "weight_clip"): {"loss": "wasserstein"},
    ("gan", "minibatch_width"): {"minibatch_kernels": 2},
    ("gan", "replay_share"): {"replay": 4},
    ("gan", "instance_noise_steps"): {"instance_noise": 0.1},
    ("ddpm", "hidden"): {"network": "mlp"},
    ("ddpm", "sampler"): {"timesteps": 50},
    ("ddpm", "min_snr_gamma"): {"weighting": "min-snr"},
    ("ddpm", "label_dropout"): {"conditional": True},
    ("ddpm", "guidance"): {"conditional": True, "label_dropout": 0.1},
    ("flow-matching", "hidden"): {"network": "mlp"},
    ("flow-matching", "label_dropout"): {"conditional": True},
    ("flow-matching", "guidance"): {"conditional": True, "label_dropout": 0.1},
    ("flow-matching", "reflow_steps"): {"reflow_after": 1},
    ("vq-vae", "hidden"): {"network": "mlp"},
    ("vq-vae", "codes"): {"network": "mlp"},
    ("autoencoder", "channels"): {"network": "conv"},
    ("autoencoder", "sparsity_weight"): {"sparsity": "kl", "code_activation": "sigmoid"},
    ("autoencoder", "sparsity_target"): {"sparsity": "kl", "code_activation": "sigmoid"},
    ("autoencoder", "code_noise"): {"code_activation": "sigmoid"},
    ("autoencoder", "noise_level"): {"noise": "dropout"},
    ("classifier", "channels"): {"network": "cnn", "padding": "same", "pools": 1},
    ("classifier", "pools"): {"network": "cnn", "padding": "same"},
    ("classifier", "padding"): {"network": "cnn", "pools": 1},
}
"""Settings without which a hyperparameter has no effect."""
ON_POINTS = {"vae": {"likelihood": "gaussian"}, "vq-vae": {"network": "mlp"}}
"""What models of images need to train on points."""
COSTLY = {
    *(("ddpm", key) for key in ("hidden", "channels")),
    *(("flow-matching", key) for key in ("hidden", "channels", "reflow_steps")),
    *(("char-rnn", key) for key in ("hidden", "sample_length")),
    *(("vq-vae", key) for key in ("channels", "prior_width")),
}
"""Bounds at which a model is only constructed (without memory for its weights), and trained at a tenth of them."""


def values_of(param):
    """A hyperparameter's bounds, or its choices; of a list, of its length and of its numbers."""
    if param.kind in ("bool", "choice"):
        return param.choices or [False, True]
    if param.kind == "str":
        return ["", "a" * 2000]
    low = param.ge if param.ge is not None else param.gt
    high = param.le if param.le is not None else param.lt
    assert low is not None and high is not None, f"{param.name} has no bounds"
    cast = int if "int" in (param.kind, param.item) else float
    low, high = cast(low), cast(high)
    if param.kind != "list":
        return [low, high]
    assert param.min_items <= len(param.default) <= param.max_items
    found = [[low] * max(1, param.min_items), [low] * param.max_items, [high]]
    return found if param.min_items else [*found, []]


def bounds():
    for name in MODELS:
        for param in small_recipes.params_of(name):
            for value in values_of(param):
                shown = params.show(value)[:20]
                yield pytest.param(name, param, value, id=f"{name}-{param.name}-{shown}")


@pytest.mark.parametrize(("name", "param", "value"), list(bounds()))
def test_at_its_bounds_every_hyperparameter_trains_or_is_refused(name, param, value):
    assert params.check_value(param, value) == (value, "")
    kind = built()[1].models[name]
    data, given = DATA[kind.kinds[0]], NARROW.get(name, {}) | NEEDS.get((name, param.name), {})
    if (name, param.name) in COSTLY and value in (param.le, [param.le]):
        with torch.device("meta"):
            kind(kind.Config(**given | {param.name: value}), data)
        value = [param.le // 10] if isinstance(value, list) else param.le // 10
    config = kind.Config(**given | {param.name: value})
    if data is IMAGES and "channels" in param.name:  # enough halvings for long lists, few pixels for wide layers
        data = images(1, 64 if len(value) == param.max_items else 4)
    problems = list(kind.refuse(config, data))
    for problem in problems:
        assert problem.key.startswith("model.") and problem.message and problem.hint
    if problems:
        return
    torch.manual_seed(0)
    model = kind(config, data).train()
    batch = batch_for(model, 2)
    assert all(math.isfinite(number) for number in train(model, 2, batch).values())
    model.eval()
    labels = torch.tensor([1, 2]) if model.conditional else None
    with torch.no_grad():
        if hasattr(model, "sample") and (param.name != "sample_steps" or value < 100):  # more would only take long
            assert torch.isfinite(model.sample(torch.randn(2, *model.noise_shape), labels)).all()
        if hasattr(model, "reconstruct"):
            assert torch.isfinite(model.reconstruct(batch.x, labels)).all()


@pytest.mark.parametrize("name", [name for name in MODELS if any(one.live for one in small_recipes.params_of(name))])
def test_live_hyperparameters_may_change_between_steps(name):
    """Each to its bounds, or to every choice, in a model that was built without knowing of it."""
    kind = built()[1].models[name]
    live = [param for param in small_recipes.params_of(name) if param.live]
    data = DATA[kind.kinds[0]]
    model = kind(kind.Config(**NARROW.get(name, {})), data).train()
    batch = batch_for(model, 2)
    for param in live:
        before = getattr(model.config, param.name)
        for value in values_of(param):
            changed = msgspec.structs.replace(model.config, **{param.name: value})
            if (name, param.name) in COSTLY or list(kind.refuse(changed, data)):
                continue
            setattr(model.config, param.name, value)
            assert all(math.isfinite(number) for number in train(model, 1, batch).values()), (param.name, value)
        setattr(model.config, param.name, before)


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_data_trains_or_is_refused_by_name(name):
    kind = built()[1].models[name]
    assert set(kind.kinds) <= set(DATA)
    for data in DATA.values():
        config = kind.Config(**NARROW.get(name, {}))
        if data is POINTS:
            config = kind.Config(**NARROW.get(name, {}) | ON_POINTS.get(name, {}))
        problems = list(kind.refuse(config, data))
        if data.kind in kind.kinds:
            assert not problems
            assert all(math.isfinite(value) for value in train(kind(config, data), 1).values())
        else:
            (first, *_) = [problem for problem in problems if problem.key == "dataset.name"]
            assert data.kind in first.message and " or ".join(kind.kinds) in first.message


@pytest.mark.parametrize("name", MODELS)
def test_every_dataset_of_a_claimed_kind_is_taken_labels_or_not(name):
    kind = built()[1].models[name]
    for entry in DATASETS.values():
        if entry.kind not in kind.kinds or entry.kind == "text":
            continue
        size = entry.default_size or 64
        shape = (2,) if entry.kind == "points" else (entry.channels or 3, size, size)
        config = kind.Config(**NARROW.get(name, {}) | (ON_POINTS.get(name, {}) if entry.kind == "points" else {}))
        data = DataSpec(entry.name, entry.kind, shape, tuple(entry.classes), entry.count)
        problems = list(kind.refuse(config, data))
        unlabelled = name == "classifier" and len(entry.classes) < 2
        assert [problem.key for problem in problems] == (["dataset.name"] if unlabelled else []), entry.name


@pytest.mark.parametrize("name", MODELS)
def test_the_catalogue_gets_words_for_everything(name):
    kind = built()[1].models[name]
    assert kind.name and kind.family and kind.title and kind.reference
    assert kind.summary.endswith(".") and "\n" not in kind.summary
    words = built()[0].models[name].description
    assert all(heading in words for heading in ("### Loss", "### What to watch", "### What goes wrong"))
    declared = small_recipes.params_of(name)
    assert all(param.help for param in declared)
    assert len(declared) == len(msgspec.structs.fields(kind.Config))
    model = kind(kind.Config(**NARROW.get(name, {})), DATA[kind.kinds[0]])
    assert {phase.name for phase in model.phases()} <= set(kind.optimizers)


CHANGING = [("gan", {"model__replay": 8}), ("flow-matching", {"model__reflow_after": 3, "model__reflow_steps": 1})]


@pytest.mark.parametrize(("family", "values"), [*((name, {}) for name in SMALL), *CHANGING])
def test_a_loss_changes_nothing_of_its_model(family, values):
    """Validation asks for losses too, and compiled ones run when they are measured: what changes has other places."""
    trainer = trainer_of(family, **values)
    model = trainer.model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()  # the one thing that must follow what passes through
    x, labels = trainer.stream.next()
    tensors = {name: tensor.clone() for name, tensor in [*model.named_parameters(), *model.named_buffers()]}
    attributes = dict(vars(model))
    for step in (0, 3):
        batch = Batch(x, labels, step)
        for phase in trainer.phases:
            phase.loss(batch)
    assert all(torch.equal(tensors[name], now) for name, now in [*model.named_parameters(), *model.named_buffers()])
    assert vars(model).keys() == attributes.keys()
    assert all(vars(model)[name] is value for name, value in attributes.items())
