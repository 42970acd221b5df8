"""What can be trained, as plain data: models with their hyperparameters, datasets, recipes.

Building the models' part needs PyTorch, so `tui_gen.train.discover` does that and writes JSON. A copy for the
built-in models ships with the package; with user models, or in a changed checkout, a copy in the cache folder is used,
keyed by the files it came from. Readers never import PyTorch.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.resources
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from tui_gen import __version__, derived, rollbacks, toml, trust
from tui_gen.alarms import Alarm
from tui_gen.config import ConfigError, Optim, RunConfig, load, named, override, parse_toml, read_toml, set_key
from tui_gen.datasets import BUILT_IN, COUNT_UNITS, DEFAULT, DatasetEntry
from tui_gen.edits import merged
from tui_gen.files import open_regular, read_regular
from tui_gen.headline import MOST
from tui_gen.params import Param, Problem, nearest
from tui_gen.places import cache_dir, config_dir

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

DEFAULT_RECIPE = "vae-digits"
LARGE = 4 << 20
"""Bytes of a file of code from which on it is not read to see whether it changed: a compiled library."""


class ModelEntry(msgspec.Struct):
    """A model as the workbench knows it: words, hyperparameters, phases with their default optimisers."""

    name: str
    family: str
    title: str
    summary: str
    description: str
    reference: str
    kinds: list[str]
    abilities: list[str]
    params: list[Param]
    phases: dict[str, Optim]
    source: str = BUILT_IN
    phases_when: dict[str, str] = {}
    alarms: list[Alarm] = []
    higher_is_better: list[str] = []


class Aim(msgspec.Struct):
    """What a recipe must reach as written on some data; `metric` and `better` are the check's where it says nothing."""

    reach: float
    metric: str = ""
    better: Literal["", "lower", "higher"] = ""


class Check(msgspec.Struct):
    """How a recipe's figure is checked in little time: `overrides` make it small, `metric` must reach `reach`.

    `metric` is a metric of the run's log, or a sum of metrics and numbers: `val/vae/mse + val/vae/kl / 784`. `aims`
    say by dataset what the recipe must reach as written, in the terms of the published figure; `aim` is short for that
    of the same metric on the recipe's own dataset.
    """

    overrides: list[str]
    metric: str
    better: Literal["lower", "higher"]
    reach: float
    aim: float | None = None
    aims: dict[str, Aim] = {}


class Recipe(msgspec.Struct):
    """A named, complete starting configuration; `tables` is its config as TOML gives it.

    `figure` is what it should reach, in words, and `source` who says so; `reference` is the paper it follows.
    """

    name: str
    title: str
    summary: str
    reference: str
    figure: str
    tables: dict[str, Any]
    text: str
    check: Check | None = None
    source: str = ""

    def aim_on(self, dataset: str) -> Aim | None:
        """What the recipe must reach as written on a dataset, all of it filled in; None where nobody states that."""
        check = self.check
        if check is None:
            return None
        aim = check.aims.get(dataset)
        if aim is None and check.aim is not None and dataset == self.dataset:
            aim = Aim(check.aim)
        return aim and Aim(aim.reach, aim.metric or check.metric, aim.better or check.better)

    @property
    def figure_with_source(self) -> str:
        """The figure with who says so; empty where it states none."""
        return f"{self.figure} ({self.source})" if self.figure and self.source else self.figure

    @property
    def model(self) -> str:
        """Name of the model it trains; empty where a user's recipe does not say."""
        return self._name("model")

    @property
    def dataset(self) -> str:
        """Name of the dataset it trains on; empty where it does not say."""
        return self._name("dataset")

    def _name(self, key: str) -> str:
        table = self.tables.get(key)
        name = table.get("name") if isinstance(table, dict) else None
        return name if isinstance(name, str) else ""


OWN_FAMILY = "own"
"""The family of models that name none."""


class Catalog(msgspec.Struct):
    """Everything that can be named in a config. `problems` are user files that could not be read, in words."""

    models: dict[str, ModelEntry] = {}
    key: str = ""
    problems: list[str] = []
    datasets: dict[str, DatasetEntry] = {}
    recipes: dict[str, Recipe] = {}

    def families(self) -> dict[str, list[ModelEntry]]:
        """Family → its models, both in the order in which the models were declared."""
        by_family: dict[str, list[ModelEntry]] = {}
        for entry in self.models.values():
            by_family.setdefault(entry.family, []).append(entry)
        return by_family

    def recipes_of(self, model: str) -> list[Recipe]:
        """The recipes that train a model, the default recipe first."""
        return sorted((r for r in self.recipes.values() if r.model == model), key=lambda r: r.name != DEFAULT_RECIPE)


def model_dirs(extra: list[str] | None = None) -> list[Path]:
    """Folders with users' model and dataset files: those in the config folder, then `extra` (from `--models`)."""
    dirs = [*[config_dir() / name for name in trust.OWN], *[Path(os.path.expanduser(folder)) for folder in extra or []]]
    return [folder.resolve() for folder in dirs if os.path.isdir(folder)]


def built_in_dir() -> Path:
    """The folder of the built-in models."""
    return Path(str(importlib.resources.files("tui_gen.models")))


def key_of(dirs: list[Path]) -> str:
    """A digest of the path and content of all code and words of models and datasets, and of this version: what a cached
    catalogue is good for.

    Files in sub-folders count: a model may import from them. The built-in files are known by their places within their
    folder, so that the shipped copy is valid wherever it is installed.
    """
    digest = hashlib.sha256(__version__.encode())
    models, data = built_in_dir(), Path(__file__).parent / "train" / "data"
    for folder, files in ((models, [*models.rglob("*.py"), *models.glob("words/*.md")]), (data, data.rglob("*.py"))):
        for path in sorted(files):
            digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    for folder in dirs:
        for path in _code_in(folder):
            digest.update(os.fsencode(path) + _content(path))
    points = _entry_points()
    digest.update(repr(points).encode())
    return digest.hexdigest()[:16]


def _code_in(folder: Path) -> list[Path]:
    """A user's model files and what they may import from below; of a folder too large for that, its top alone."""
    try:
        return trust.code_in(folder)
    except ConfigError:
        return sorted(folder.glob("*.py"))


def _content(path: Path) -> bytes:
    """What tells one version of a file from the next: all that is in it, or of a large one its size and time."""
    try:
        return read_regular(path, LARGE)
    except OSError:
        try:
            status = path.stat()
        except OSError:
            return b""
        return f"{status.st_size} {status.st_mtime_ns}".encode()


GROUPS = ("tui_gen.models", "tui_gen.datasets")
"""The entry points by which packages offer models and datasets."""


def offered() -> list[EntryPoint]:
    """What packages offer: entry points of `importlib.metadata`, those of models first. All packages are read once."""
    from importlib.metadata import entry_points

    known = entry_points()
    return [point for group in GROUPS for point in known.select(group=group)]


def _entry_points() -> list[str]:
    """What packages offer, in words; looked up again where packages came, went or changed."""
    return derived.kept("entry-points", _lists_of_packages(), list[str], _read_entry_points)


def _read_entry_points() -> list[str]:
    return sorted(f"{point.name}={point.value}" for point in offered())


def _lists_of_packages() -> Iterator[str]:
    """The folders that packages are looked for in, and the files there that say what these offer."""
    for folder in sys.path:
        yield folder
        with contextlib.suppress(OSError), os.scandir(folder or ".") as entries:
            names = sorted(entry.name for entry in entries if entry.name.endswith((".dist-info", ".egg-info")))
            yield from (os.path.join(folder, name, "entry_points.txt") for name in names)


def cache_path(key: str) -> Path:
    """Where the catalogue with this key is cached."""
    return cache_dir() / "catalogs" / f"{key}.json"


def read(extra: list[str] | None = None, *, checked: bool = True) -> Catalog:
    """The catalogue for the model folders in force; `stale(...)` tells whether its models are up to date.

    Uses the cached copy, else the shipped one (whose built-in models are right unless the checkout changed). Without
    folders of models that one at once where it need not be `checked` first, which takes a look at every file of ours.
    """
    catalog = _stored(extra, checked)
    _models[_place_of(extra)] = catalog.models
    catalog.recipes, wrong = recipes()
    catalog.problems = [*catalog.problems, *wrong]
    return catalog


def _stored(extra: list[str] | None, checked: bool = True) -> Catalog:
    dirs, shipped = model_dirs(extra), built_in_dir() / "catalog.json"
    for path in (cache_path(key_of(dirs)), shipped) if checked or dirs else (shipped,):
        try:
            return msgspec.json.decode(path.read_bytes(), type=Catalog)
        except (OSError, ValueError, RecursionError):  # ValueError: not JSON, not UTF-8, of another version
            continue
    return Catalog()


def stale(catalog: Catalog, extra: list[str] | None = None) -> bool:
    """Whether the models' part must be built anew (by a worker: it needs PyTorch)."""
    return catalog.key != key_of(model_dirs(extra))


def ensure(extra: list[str] | None = None) -> Catalog:
    """An up-to-date catalogue, built in a subprocess where no valid copy exists (seconds, once per change).

    Raises ConfigError with the subprocess's words when it cannot be built.
    """
    catalog = read(extra)
    if not stale(catalog, extra):
        return catalog
    import subprocess

    from tui_gen import children

    words = [word for folder in extra or [] for word in ("--models", os.path.abspath(os.path.expanduser(folder)))]
    process = children.run(
        "tui_gen.train.discover", *words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    catalog = read(extra)
    if process.returncode or stale(catalog, extra):
        words = process.stderr.strip().splitlines()
        raise ConfigError("models", [Problem("models", None, words[-1] if words else "could not be read")])
    return catalog


def recipes() -> tuple[dict[str, Recipe], list[str]]:
    """The recipes, built-in and the user's, and what is wrong with those that cannot be read."""
    folders = built_in_dir() / "recipes", config_dir() / "recipes"
    paths = [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*.toml"))]
    readings = derived.kept("recipes", paths, list[tuple[Recipe | None, list[str]]], lambda: list(map(_recipe, paths)))
    of_name = {recipe.name: recipe for recipe, _ in readings if recipe is not None}
    return of_name, [words for _, problems in readings for words in problems]


def _recipe(path: Path) -> tuple[Recipe | None, list[str]]:
    """A recipe's file, None where it cannot be read, and what is wrong with it."""
    wrong: list[str] = []
    try:
        with open_regular(path) as file:
            text = file.read(4 * toml.MOST).decode("utf-8-sig")
        tables = parse_toml(text, str(path))
    except ConfigError as error:
        return None, [str(error)]
    except (OSError, UnicodeDecodeError) as error:
        return None, [f"{path}: {error}"]
    about = tables.pop("recipe", {})
    about = about if isinstance(about, dict) else {}
    words = {key: str(about.get(key, "")) for key in ("title", "summary", "reference", "figure", "source")}
    check = None
    try:
        check = _check(about)
    except msgspec.ValidationError as error:
        wrong.append(f"{path}: [recipe]: the check of its figure cannot be used: {error}")
    return Recipe(name=path.stem, tables=tables, text=text, check=check, **words), wrong


def recipe_named(name: str) -> Recipe | None:
    """One recipe, without reading all of them; the user's before a built-in one. None where none can be read."""
    if not name or name != os.path.basename(name) or "\0" in name:
        return None
    for folder in (config_dir() / "recipes", built_in_dir() / "recipes"):
        if (path := folder / f"{name}.toml").is_file():
            return _recipe(path)[0]
    return None


def entry_named(name: str, folders: list[str] | None = None) -> ModelEntry | None:
    """One model, as the catalogue for these folders with model files has it; None where it has none.

    Quick where this process has read that catalogue, and no newer one was written since.
    """
    place = _place_of(folders)
    if place not in _models:
        _models[place] = _stored(folders).models
    return _models[place].get(name)


_models: dict[tuple[tuple[str, ...], int], dict[str, ModelEntry]] = {}
"""The models of catalogues that were read, by `_place_of`."""


def _place_of(folders: list[str] | None) -> tuple[tuple[str, ...], int]:
    """The folders of a catalogue, and when one was last written to the cache."""
    try:
        time_written = os.stat(cache_path("").parent).st_mtime_ns
    except OSError:
        time_written = 0
    return tuple(folders or ()), time_written


def _check(about: dict[str, Any]) -> Check | None:
    """The check that a recipe's `[recipe]` table states, or None where it states none.

    Raises msgspec.ValidationError that names what is missing or of the wrong kind.
    """
    fields: dict[str, Any] = {key: about[key] for key in ("metric", "better", "reach", "aim", "aims") if key in about}
    if "check" in about:
        fields["overrides"] = about["check"]
    return msgspec.convert(fields, Check) if fields else None


def counted(path: str) -> tuple[str, int]:
    """What the data of a config file are counted in (`images`), and how many of those are an example.

    Of text these are characters. Where nobody knows, examples are counted as such.
    """
    try:
        tables = toml.loads(read_regular(path, MOST).decode())
    except (OSError, ValueError, RecursionError):
        return "examples", 1
    folders = tables.get("model_dirs")
    folders = [folder for folder in folders if isinstance(folder, str)] if isinstance(folders, list) else []
    name = named(tables, "dataset")
    entry = _stored(folders, checked=False).datasets.get(name) or _stored(folders).datasets.get(name)
    if entry is None or entry.kind not in COUNT_UNITS:
        return "examples", 1
    if entry.kind != "text":
        return COUNT_UNITS[entry.kind], 1
    length = tables["dataset"].get("length")
    return (COUNT_UNITS[entry.kind], length) if isinstance(length, int) and length >= 1 else ("examples", 1)


def start_of(model: ModelEntry, catalog: Catalog) -> dict[str, Any]:
    """A first config for a model that no recipe names: its defaults, on the smallest data that it trains on."""
    here = (dataset.name for dataset in catalog.datasets.values() if dataset.kind in model.kinds and not dataset.reads)
    return {
        "name": model.name,
        "model": {"name": model.name},
        "dataset": {"name": next(here, DEFAULT)},
        "train": {"steps": 5000},
    }


def _steered(run: Path, tables: dict[str, Any]) -> dict[str, Any]:
    """What was edited in a run and passed over, and what its config plans: run again, the same happens at the same
    steps."""
    skips = tables.get("skips", [])
    return {
        "edits": rollbacks.planned(run, tables.get("edits", [])),
        "skips": rollbacks.skips(run, skips) if isinstance(skips, list) else skips,
    }


def _unread(name: str, problems: list[str]) -> str:
    """A hint at the file that may have had what is asked for, were it readable: one that is called so, or says so."""
    if name:
        for problem in problems:
            file = os.path.basename(problem.partition(":")[0])
            if file in (f"{name}.py", f"{name}.toml") or f" {name!r}: " in problem:
                return f"its file cannot be used: {problem}"
    return ""


def resolve(
    source: str,
    catalog: Catalog,
    assignments: list[str] | None = None,
    extra: dict[str, Any] | None = None,
    replay: Path | None = None,
) -> RunConfig:
    """The config behind `--run SOURCE`: a TOML file, a recipe's name, or a run to run again; everything checked.

    `extra` sets dotted keys after the overrides. `replay` is a run whose edits are to be made again, at their steps.
    Raises ConfigError that lists every problem.
    """
    path = Path(os.path.expanduser(source))
    if source in catalog.recipes and not os.path.isfile(path):
        tables = catalog.recipes[source].tables
    elif os.path.isfile(path / "config.toml"):
        tables = read_toml(path / "config.toml")
        tables |= _steered(path, tables)
    elif path.suffix == ".toml" or os.path.exists(path):
        tables = read_toml(path)
    elif source in catalog.models:
        tables = start_of(catalog.models[source], catalog)
    else:
        hint = _unread(source, catalog.problems) or nearest(source, [*catalog.recipes, *catalog.models])
        hint = hint or f"recipes: {', '.join(sorted(catalog.recipes))}"
        raise ConfigError(source, [Problem("config", source, "is neither a file, a recipe nor a model", hint)])
    if replay is not None:
        own, other = tables.get("edits", []), _steered(replay, read_toml(replay / "config.toml"))
        tables = {**tables, **other, "edits": merged(own, other["edits"])}
    tables = override(tables, assignments or [], catalog)
    for key, value in (extra or {}).items():
        set_key(tables, key, value)
    if not tables.get("name"):
        tables["name"] = source if source in catalog.recipes else path.stem.encode("utf-8", "replace").decode()
    return load(tables, catalog, source)
