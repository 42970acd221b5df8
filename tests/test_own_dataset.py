"""A dataset of a user's own: found, shown in the form, trained on and resumed; what is wrong with it is told."""

import re
from pathlib import Path

import pytest
import torch

from tests import small_runs
from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import trust
from tui_gen.app.panes.form.state import FormState
from tui_gen.places import config_dir
from tui_gen.train import discover
from tui_gen.train.data import DataError, Stream, dataset_of, load

CPU = torch.device("cpu")
PAGE = (Path(__file__).parents[1] / "docs" / "own-data.md").read_text(encoding="utf-8")
EXAMPLE = next(code for code in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "ImageSet" in code)


@pytest.fixture
def own():
    """The file of the page's example, in the user's own folder."""
    path = config_dir() / "datasets" / "stripes.py"
    path.parent.mkdir(parents=True)
    path.write_text(EXAMPLE)
    return path


def test_it_is_described_loaded_and_goes_on_as_it_began(own):
    made, classes = discover.build()
    assert made.problems == [] and made.datasets["stripes"].source == str(own)
    assert trust.unknown([own.parent]) == {}, "it is the user's own folder"
    tables = small_runs.tables("vae", dataset={"name": "stripes", "count": 100, "shift": 1})
    config = catalogs.load(tables, made)
    assert catalogs.load(tables | {"dataset": {"name": "stripes", "noise": 0.3}}, made).dataset.unused == {"noise": 0.3}

    def stream():
        data = load(dataset_of(config.dataset, classes.datasets), CPU, seed=0)
        assert (data.spec.shape, data.spec.count, data.validation.count) == ((1, 16, 16), 90, 10)
        return Stream(data.train, data.augmentation, batch_size=16, seed=0, value_range="unit", device=CPU)

    straight, resumed = stream(), stream()
    for _ in range(7):
        straight.next()
    resumed.load_state_dict(straight.state_dict())
    for _ in range(7):
        assert all(torch.equal(one, other) for one, other in zip(straight.next(), resumed.next()))


def test_the_form_shows_the_settings_of_the_dataset_that_is_chosen(own):
    made, _ = discover.build()
    state = FormState(made, small_runs.tables("vae"), "here")
    state.set_text("dataset.limit", "77")
    assert "dataset.count" not in state.params and "dataset.root" not in state.params
    assert state.set_text("dataset.name", "stripes") and state.text("dataset.count") == "2000"
    assert state.text("dataset.limit") == "77" and "dataset.noise" not in state.params
    state.set_text("dataset.count", "50")
    state.set_text("dataset.name", "strip")
    assert "dataset.count" in state.params, "no dataset of that name: the fields stay"
    state.set_text("dataset.name", "ring")
    assert "dataset.noise" in state.params and "dataset.count" not in state.params
    state.set_text("dataset.name", "stripes")
    assert state.text("dataset.count") == "50" and state.tables()["dataset"]["count"] == 50
    while state.undo():
        pass
    assert state.text("dataset.name") == "digits" and "dataset.count" not in state.params


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("def read", "def raed", r"dataset 'stripes': it must define read\(\)"),
        ("class Stripes", "import nowhere\nclass Stripes", r"stripes.py: line \d+: ModuleNotFoundError"),
        ('"stripes", "Stripes"', '"digits", "Mine"', r"dataset 'digits' is taken by built in"),
        ("Config(ImageConfig)", "Config(__import__('msgspec').Struct)", "its Config lacks size, channels.*ImageConfig"),
    ],
)
def test_a_file_that_cannot_be_used_is_told(own, old, new, words):
    assert old in EXAMPLE
    own.write_text(EXAMPLE.replace(old, new))
    made, _ = discover.build()
    assert len(made.problems) == 1 and re.search(words, made.problems[0]) and str(own) in made.problems[0]
    assert "stripes" not in made.datasets and "digits" in made.datasets


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("torch.arange(16)", "1 / 0 * torch.arange(16)", r"stripes.py, line \d+\): ZeroDivisionError"),
        (".to(torch.uint8)", ".float()", "must be torch.uint8 of shape"),
        ("randint(2, (self", "randint(9, (self", "labels go from 0 to 8, but there are 2 names"),
    ],
)
def test_what_it_raises_or_gets_wrong_is_one_message(own, old, new, words):
    assert old in EXAMPLE
    own.write_text(EXAMPLE.replace(old, new))
    made, classes = discover.build()
    config = catalogs.load(small_runs.tables("vae", dataset={"name": "stripes"}), made)
    with pytest.raises(DataError, match=words):
        load(dataset_of(config.dataset, classes.datasets), CPU, seed=0)


EVERY_SETTING = {
    "size": 0, "channels": "auto", "root": "", "limit": 0, "validation": 0.1, "noise": 0.05, "length": 100,
    "flip": False, "shift": 0, "rotate": 0.0,
}  # fmt: skip
"""What configs state that were written when all datasets had the same settings."""


@pytest.mark.parametrize("name", ["digits", "ring", "mnist", "python-help", "folder", "text-file"])
def test_configs_of_the_time_when_all_datasets_had_the_same_settings_mean_what_they_meant(name):
    known = catalogs.read()
    old = EVERY_SETTING | ({"root": "here"} if known.datasets[name].reads else {})
    table = catalogs.load(small_runs.tables("vae", dataset={"name": name, **old}), known).dataset
    assert table.unused == {} and table.values == {key: old[key] for key in table.values}
    others = {"flip": True, "length": 50, "noise": 0.5, "shift": 2}
    moved = catalogs.load(small_runs.tables("vae", dataset={"name": name, **old, **others}), known)
    assert moved.dataset.unused == {key: value for key, value in others.items() if key not in table.values}
    assert catalogs.load(configs.to_tables(moved), known) == moved, "what does nothing is kept, to be told again"
