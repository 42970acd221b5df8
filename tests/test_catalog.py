"""What can be trained: the shipped catalogue, users' models and recipes, and what is said of those that are broken."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.known import DATASETS
from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import trust
from tui_gen.catalog import Catalog
from tui_gen.config import ConfigError
from tui_gen.model import DataSpec
from tui_gen.models.vae import VAE
from tui_gen.train import discover
from tui_gen.train.engine.building import RefusedError, build_model

ROOT = Path(__file__).resolve().parents[1]
BODY = (
    "\n    name = {name!r}\n    optimizers = {{{phase!r}: Optim(lr=0.5)}}\n    kinds = ('points',)\n\n"
    "    class Config(msgspec.Struct):\n"
    "        width: Annotated[int, hyper('How wide', ge=1, live=True)] = {width}\n\n"
    "    def phases(self):\n        return []\n\n    def sample(self, noise, labels):\n        return noise\n"
)
HEAD = "from typing import Annotated\n"
HEAD += "import msgspec\nfrom tui_gen.model import Model, Optim, hyper\n\n\nclass Mine(Model):"
RECIPE = "[recipe]\ntitle = 'Mine'\n[model]\nname = 'vae'\n[train]\nsteps = 3\n"


def model_file(path: Path, name: str, phase: str = "only", width: int = 3, doc: str = "My own.") -> None:
    path.write_text(f'{HEAD}\n    """{doc}"""' + BODY.format(name=name, phase=phase, width=width))


@pytest.fixture
def models(world) -> Path:
    folder = world / "config" / "tui-gen" / "models"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def recipes(world) -> Path:
    folder = world / "config" / "tui-gen" / "recipes"
    folder.mkdir(parents=True)
    return folder


def test_the_shipped_catalogue_is_up_to_date(tmp_path, monkeypatch, capsys):
    fresh = tmp_path / "catalog.json"
    monkeypatch.setattr(sys, "argv", ["discover", "--write", str(fresh)])
    discover.main()
    assert capsys.readouterr().out == f"{fresh}\n"
    shipped = catalogs.built_in_dir() / "catalog.json"
    assert fresh.read_text() == shipped.read_text(), "models/catalog.json is out of date: run `make catalog`"


def test_a_model_that_uses_a_name_of_before_is_refused_with_the_new_one(models):
    """Taken as it is, one would train on images of another range, and the other without its labels."""
    source = HEAD + BODY.format(name="mine", phase="only", width=3)
    (models / "mine.py").write_text(source.replace("    kinds =", "    pixels = 'signed'\n    kinds ="))
    catalog, _ = discover.build()
    assert "its `pixels` is called `value_range` now: rename it" in str(catalog.problems)

    class Old(VAE):
        def __init__(self, config, data):
            super().__init__(config, data)
            self.classes = 10

    with pytest.raises(RefusedError, match="its `classes` is called `label_count` now: rename it"):
        build_model(Old, {"hidden": [4]}, DataSpec("digits", "image", (1, 8, 8)))


def test_the_shipped_catalogue_describes_models_and_recipes_completely():
    catalog = catalogs.read()
    assert catalog.problems == [] and set(catalog.models) >= {"vae", "gan", "ddpm"}
    assert {"vae", "gan", "diffusion"} <= set(catalog.families())
    for entry in catalog.models.values():
        assert entry.title and entry.summary and entry.description and entry.reference and entry.source == "built in"
        assert entry.phases and entry.params and all(param.help for param in entry.params)
        assert catalog.recipes_of(entry.name), entry.name
    assert catalog.recipes_of("vae")[0].name == catalogs.DEFAULT_RECIPE
    wanted = {"vae-digits", "dcgan-digits", "ddpm-digits", "wgan-gp-ring", "vae-mnist", "dcgan-mnist", "ddpm-mnist"}
    assert wanted <= set(catalog.recipes)
    for name, recipe in catalog.recipes.items():
        assert recipe.title and recipe.summary and recipe.model in catalog.models
        made = catalogs.resolve(name, catalog)
        assert made.name == name and configs.load(configs.to_tables(made), catalog) == made
    assert catalog.datasets == DATASETS and all(one.params for one in DATASETS.values())


def test_users_models_are_citizens_and_broken_ones_are_told(models, tmp_path, monkeypatch):
    model_file(models / "good.py", "my-model")
    model_file(models / "taken.py", "vae")
    model_file(models / "dotted.py", "dotted", phase="a.b")
    model_file(models / "bounds.py", "bounds", width=0)
    model_file(models / "judged.py", "judged")
    (models / "judged.py").write_text((models / "judged.py").read_text() + "\n    judged = 'elbo'\n")
    (models / "syntax.py").write_text("x = 1\ndef f(:\n")
    (models / "leaves.py").write_text("import sys\n\nsys.exit('bye')\n")
    (models / "asks.py").write_text("input('who is there?')\n")
    (models / "missing.py").write_text("import nothing_of_that_name\n")
    (models / "nothing.py").write_text("x = 1\n")
    (models / "binary.py").write_bytes(b"\xff\xfe\0")
    (models / "folder.py").mkdir()
    os.mkfifo(models / "pipe.py")  # nobody writes into it
    more = tmp_path / "more models"
    more.mkdir()
    model_file(more / "second.py", "second", doc="Another")
    here = tmp_path / "here"  # files in the current folder that look like modules
    here.mkdir()
    (here / "msgspec.py").write_text("raise SystemExit('not the real one')\n")
    package = tmp_path / "package"
    (package / "mine-1.0.dist-info").mkdir(parents=True)
    (package / "mine-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    points = "[tui_gen.models]\nmine = packaged_model\nbroken = packaged_nowhere\n"
    (package / "mine-1.0.dist-info" / "entry_points.txt").write_text(points)
    model_file(package / "packaged_model.py", "packaged")
    monkeypatch.chdir(here)
    before = catalogs.read()
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.setenv("PYTHONPATH", str(package))
    extra = [os.path.relpath(more)]
    assert catalogs.stale(before, extra) and catalogs.stale(before)

    catalog = catalogs.ensure(extra)
    assert {"my-model", "second", "packaged", "vae", "gan", "ddpm"} <= set(catalog.models)
    entry = catalog.models["my-model"]
    assert (entry.summary, entry.family, entry.kinds, entry.abilities) == ("My own.", "own", ["points"], ["sample"])
    assert entry.phases["only"].lr == 0.5 and entry.source == str(models / "good.py")
    assert [param.name for param in entry.params] == ["width"] and entry.params[0].live
    assert catalog.models["second"].source == str(more / "second.py")
    assert catalog.models["packaged"].source == "package packaged_model"
    assert catalog.models["vae"].source == "built in"
    made = catalogs.resolve("my-model", catalog, ["model.width=5", "train.phases.only.lr=1e-3"])
    assert made.model.values == {"width": 5} and made.dataset.name == "ring"

    told = {Path(line.split(":")[0]).name: line for line in catalog.problems}
    assert told.keys() == {
        "taken.py", "dotted.py", "bounds.py", "judged.py", "syntax.py", "leaves.py", "asks.py", "missing.py",
        "binary.py", "folder.py", "pipe.py", "entry point broken = packaged_nowhere",
    }  # fmt: skip
    expected = {
        "taken.py": "'vae' is taken by built in", "dotted.py": "phase 'a.b'", "syntax.py": "line 2: SyntaxError",
        "leaves.py": "line 3: SystemExit: bye", "asks.py": "line 1: EOFError", "missing.py": "nothing_of_that_name",
        "bounds.py": "default of width needs a whole number, 1 ≤ x", "judged.py": "its judged cannot be used",
    }  # fmt: skip
    assert all(words in told[name] for name, words in expected.items()), told

    def never(*_, **__):
        raise AssertionError("built again")

    monkeypatch.setattr(subprocess, "run", never)
    assert catalogs.ensure(extra) == catalog and not catalogs.stale(catalog, extra)
    model_file(models / "good.py", "my-model", width=4)
    assert catalogs.stale(catalog, extra)
    with pytest.raises(AssertionError, match="built again"):
        catalogs.ensure(extra)


def test_a_file_that_would_spoil_the_catalogue_is_left_out_and_what_is_asked_for_names_it(models):
    """One broken file must not take the others away, and a class without a name not be passed over."""
    model_file(models / "good.py", "good")
    right = (models / "good.py").read_text()
    for name, old, new, words in (
        ("rate", "lr=0.5", "lr='fast'", "it cannot be described"),
        ("kinds", "('points',)", "'points'", "its kinds are 'points'; write a tuple"),
        ("other", "('points',)", "('sound',)", "its kinds are ('sound',)"),
        ("range", "    kinds =", "    value_range = 'sgined'\n    kinds =", "its value_range is 'sgined'"),
        ("nameless", "name = 'good'", "", "class Mine has no name"),
        ("parted", HEAD, f"import good\n{HEAD}", "No module named 'good' (files here do not import each other"),
    ):
        (models / f"{name}.py").write_text(right.replace(old, new).replace("name = 'good'", f"name = {name!r}"))
        told = [line for line in discover.build()[0].problems if f"/{name}.py:" in line]
        assert len(told) == 1 and words in told[0], told
    base = "\n\nclass Further(Mine):\n    name = 'further'\n"
    (models / "base.py").write_text(right.replace("name = 'good'", "") + base)
    built, _ = discover.build()
    assert {"good", "further"} <= set(built.models) and "/base.py" not in str(built.problems)
    assert msgspec.json.decode(discover.encode(built), type=catalogs.Catalog).models.keys() == built.models.keys()
    with pytest.raises(ConfigError, match=r"its file cannot be used: .*/rate\.py: model 'rate': it cannot"):
        catalogs.resolve("rate", built)


def test_files_of_two_folders_that_are_called_alike_are_two_modules(models, tmp_path):
    """Errors are placed, and annotations looked up, in the module of that name."""
    files = {"one": models / "flow.py", "other": tmp_path / "flow.py"}
    for name, path in files.items():
        model_file(path, name)
    catalog, classes = discover.build([str(tmp_path)])
    assert catalog.problems == []
    assert {name: inspect.getfile(classes.models[name]) for name in files} == {n: str(p) for n, p in files.items()}


def test_a_catalogue_that_cannot_be_built_is_told_in_its_own_words(models, monkeypatch):
    (models / "new.py").write_text("x = 1\n")

    def fail(command, **settings):
        assert settings["stdin"] == subprocess.DEVNULL
        return subprocess.CompletedProcess(command, 1, "", "Traceback …\nOSError: no room on the disk\n")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(ConfigError, match="models: OSError: no room on the disk"):
        catalogs.ensure()
    assert "vae" in catalogs.read().models


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b'{"models": 5}', b"[" * 200_000, None], ids=range(6))
def test_a_broken_cache_is_passed_over(models, content):
    (models / "new.py").write_text("x = 2\n")
    path = catalogs.cache_path(catalogs.key_of(catalogs.model_dirs()))
    if content is None:
        path.mkdir(parents=True)
    else:
        path.write_bytes(content)
    try:
        assert "vae" in catalogs.read().models and catalogs.stale(catalogs.read())
    finally:
        path.rmdir() if content is None else path.unlink()


def test_keys_tell_contents_and_folders_apart(models, tmp_path):
    keys = {catalogs.read().key, catalogs.key_of([])}
    assert len(keys) == 1
    model_file(models / "a.py", "a")
    keys.add(catalogs.key_of(catalogs.model_dirs()))
    model_file(models / "a.py", "b")
    keys.add(catalogs.key_of(catalogs.model_dirs()))
    keys.add(catalogs.key_of(catalogs.model_dirs([str(tmp_path)])))
    (tmp_path / os.fsdecode(b"caf\xe9.py")).write_text("")
    keys.add(catalogs.key_of(catalogs.model_dirs([str(tmp_path), "~nobody-of-this-name/x", "/nowhere"])))
    assert len(keys) == 4  # an empty folder changes nothing


def test_an_edit_to_what_models_are_built_of_makes_a_catalogue_stale(models, tmp_path, monkeypatch):
    model_file(models / "a.py", "a")
    (models / "parts" / "deep").mkdir(parents=True)
    built_in = tmp_path / "built-in"
    shutil.copytree(catalogs.built_in_dir(), built_in, ignore=shutil.ignore_patterns("__pycache__", "recipes"))
    shipped = catalogs.key_of([])
    monkeypatch.setattr(catalogs, "built_in_dir", lambda: built_in)
    assert catalogs.key_of([]) == shipped  # wherever they are installed
    keys = [catalogs.key_of(catalogs.model_dirs())]
    for path in (
        models / "parts" / "deep" / "layers.py", built_in / "nets" / "layers.py", built_in / "words" / "vae.md",
    ):  # fmt: skip
        for text in ("x = 1\n", "x = 2\n"):
            path.write_text(text)
            keys.append(catalogs.key_of(catalogs.model_dirs()))
    monkeypatch.setattr(trust, "MOST_FILES", 1)  # too much to look through: its top still counts
    keys.append(catalogs.key_of(catalogs.model_dirs()))
    model_file(models / "a.py", "b")
    os.mkfifo(models / "fifo.py")  # never to be waited for
    keys.append(catalogs.key_of(catalogs.model_dirs()))
    monkeypatch.setattr(catalogs, "LARGE", 3)
    keys.append(catalogs.key_of(catalogs.model_dirs()))
    os.utime(models / "a.py", (1, 1))
    keys.append(catalogs.key_of(catalogs.model_dirs()))
    assert len(set(keys)) == len(keys)


def test_users_recipes_join_and_replace_the_built_in_ones(recipes):
    (recipes / "mine.toml").write_text(RECIPE)
    (recipes / "vae-digits.toml").write_text("\ufeff" + RECIPE.replace("\n", "\r\n"))
    (recipes / "odd.toml").write_text("recipe = 5\nmodel = [1]\n")
    (recipes / "torn.toml").write_text("[model\n")
    (recipes / "binary.toml").write_bytes(b"\xff\xfe")
    (recipes / "folder.toml").mkdir()
    os.mkfifo(recipes / "pipe.toml")  # nobody writes into it
    catalog = catalogs.read()
    assert catalog.recipes["mine"].title == "Mine" and catalog.recipes["mine"].model == "vae"
    assert catalog.recipes["vae-digits"].tables["train"] == {"steps": 3}
    assert catalogs.resolve("mine", catalog).train.steps == 3 and catalogs.resolve("mine", catalog).name == "mine"
    assert catalog.recipes["odd"].model == "" and "dcgan-digits" in catalog.recipes
    told = "\n".join(catalog.problems)
    names = "torn.toml", "binary.toml", "folder.toml", "pipe.toml"
    assert len(catalog.problems) == len(names) and all(name in told for name in names)
    with pytest.raises(ConfigError, match=r"model = \[1\]: must be a table"):
        catalogs.resolve("odd", catalog)


def test_a_config_comes_from_a_recipe_a_file_a_run_or_a_model(tmp_path, monkeypatch):
    catalog = catalogs.read()
    monkeypatch.chdir(tmp_path)
    Path("my run.toml").write_text(RECIPE)
    Path("plain").write_text(RECIPE)
    Path("run").mkdir()
    Path("run/config.toml").write_text(RECIPE.replace("steps = 3", "steps = 4"))
    assert catalogs.resolve("my run.toml", catalog).name == "my run"
    assert catalogs.resolve("plain", catalog).name == "plain"
    assert catalogs.resolve("run", catalog, ["train.seed=9"]).train.steps == 4
    assert catalogs.resolve("vae", catalog).model.name == "vae"
    made = catalogs.resolve("vae-digits", catalog, ["name=other"], {"model_dirs": ["/x"], "notes": "n"})
    assert (made.name, made.model_dirs, made.notes) == ("other", ["/x"], "n")
    Path("vae-digits").mkdir()  # a folder that happens to be named as a recipe is
    assert catalogs.resolve("vae-digits", catalog).name == "vae-digits"
    Path("vae-digits.toml").write_text(RECIPE)
    assert catalogs.resolve("vae-digits.toml", catalog).train.steps == 3
    odd = Path(os.fsdecode(b"caf\xe9.toml"))
    odd.write_text(RECIPE)
    assert catalogs.resolve(str(odd), catalog).name == "caf?"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("vae-digit", "did you mean 'vae-digits'?"), ("zzzzzz", "neither a file, a recipe nor a model"),
        ("", "directory"),
        ("nowhere.toml", "No such file"), ("~nobody-of-this-name/x.toml", "No such file"), ("x" * 5000, "neither"),
        ("a\0b", "neither"), ("/", "Is a directory"), ("\udcff", "neither"), ("a\0b.toml", "null byte"),
    ],
    ids=range(10),
)  # fmt: skip
def test_a_source_that_is_nothing_is_told(source, words):
    with pytest.raises(ConfigError, match=words.replace("?", r"\?")):
        catalogs.resolve(source, catalogs.read())


def test_problems_of_a_file_carry_its_name(tmp_path):
    file = tmp_path / "x.toml"
    file.write_text(RECIPE + "batch_size = 0\nsede = 1\n[dataset]\nname = 'mnits'\n")
    with pytest.raises(ConfigError) as caught:
        catalogs.resolve(str(file), catalogs.read())
    assert caught.value.source == str(file)
    assert {problem.key for problem in caught.value.problems} == {"dataset.name", "train.batch_size", "train.sede"}


def test_an_empty_catalogue_is_a_catalogue():
    empty = Catalog()
    assert empty.families() == {} and empty.recipes_of("vae") == []
    with pytest.raises(ConfigError, match="neither"):
        catalogs.resolve("vae", empty)
