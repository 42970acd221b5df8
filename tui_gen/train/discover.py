"""Finds models and datasets, describes them as plain data: `python -m tui_gen.train.discover` refreshes the catalogue.

Models and datasets come from the built-in packages, from users' folders and from entry points in the groups
`tui_gen.models` and `tui_gen.datasets`.
A file that cannot be imported is a problem in words, never the end.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import pkgutil
import sys
import zlib
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

import msgspec

import tui_gen.models
import tui_gen.train.data.sets
from tui_gen import alarms, catalog, params
from tui_gen.bounds import Groups, Names
from tui_gen.catalog import OWN_FAMILY, Catalog, ModelEntry
from tui_gen.datasets import BUILT_IN, COUNT_UNITS, DatasetEntry
from tui_gen.model import ABILITIES, Model
from tui_gen.train.data import Dataset, ImageConfig, ImageSet, PointSet, TextConfig, TextSet

FAMILIES = ("autoencoder", "vae", "gan", "diffusion", "classifier", "sequence")


class Classes(NamedTuple):
    """The classes of models and of datasets, by name."""

    models: dict[str, type[Model]]
    datasets: dict[str, type[Dataset]]


class _Discovery:
    """What was found so far: the classes, where each comes from, and what went wrong (one line a file)."""

    def __init__(self) -> None:
        self.classes = Classes({}, {})
        self.sources: dict[tuple[str, str], str] = {}
        self.problems: list[str] = []

    def take(self, module: ModuleType, source: str) -> None:
        """Whatever a module defines."""
        for member in vars(module).values():
            if not isinstance(member, type) or member.__module__ != module.__name__:
                continue
            if issubclass(member, Model) and member.name:
                self._take("model", self.classes.models, member, _faults(member), source)
            elif source != BUILT_IN and _nameless(member, module):
                words = "has no name, by which it is asked for: write name = \"my-own\" into it"
                self.problems.append(f"{source}: class {member.__name__} {words}")
            elif issubclass(member, Dataset) and member.name:
                self._take("dataset", self.classes.datasets, member, _dataset_faults(member), source)

    def _take(self, what: str, registry: dict[str, Any], member: Any, wrong: str, source: str) -> None:
        if wrong:
            self.problems.append(f"{source}: {what} {member.name!r}: {wrong}")
        elif registry.get(member.name, member) is not member:
            self.problems.append(f"{source}: {what} {member.name!r} is taken by {self.sources[what, member.name]}")
        else:
            registry[member.name], self.sources[what, member.name] = member, source


def discover(extra: list[str] | None = None) -> _Discovery:
    """Every class of a model or dataset: built in, in users' files, and in what packages offer."""
    discovery = _Discovery()
    take, problems = discovery.take, discovery.problems
    for package in (tui_gen.models, tui_gen.train.data.sets):
        for info in pkgutil.iter_modules(package.__path__):
            if not info.ispkg:  # folders hold what models are built of
                take(importlib.import_module(f"{package.__name__}.{info.name}"), BUILT_IN)
    for folder in catalog.model_dirs(extra):
        for path in sorted(folder.glob("*.py")):
            if not path.is_file():
                problems.append(f"{path}: is no file")
                continue
            try:
                take(_import_file(path), str(path))
            except BaseException as error:  # a user's file may raise anything, SystemExit too
                if isinstance(error, KeyboardInterrupt):
                    raise
                problems.append(f"{path}: {_where(error, path)}{_words(error, path)}")
    for point in catalog.offered():
        try:
            entry = point.load()
            take(entry if isinstance(entry, ModuleType) else sys.modules[entry.__module__], f"package {point.value}")
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            problems.append(f"entry point {point.name} = {point.value}: {_words(error)}")
    return discovery


class _Source(SourceFileLoader):
    """Reads the source itself, never a compiled copy beside it: that may hold something else."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _import_file(path: Path) -> ModuleType:
    name = f"tui_gen_user_{path.stem}_{zlib.crc32(os.fsencode(path)):08x}"  # files of two folders may be called alike
    spec = importlib.util.spec_from_file_location(name, path, loader=_Source(name, str(path)))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _where(error: BaseException, path: Path) -> str:
    line = getattr(error, "lineno", None)
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"line {line}: " if line else ""


def _words(error: BaseException, path: Path | None = None) -> str:
    words = " ".join(f"{type(error).__name__}: {error}".split())
    if path is not None and isinstance(error, ModuleNotFoundError) and error.name:
        beside = path.parent / error.name.partition(".")[0]
        if beside.with_suffix(".py").is_file() or beside.is_dir():
            words += " (files here do not import each other: put what they share into an installed package)"
    return words


def _nameless(member: type, module: ModuleType) -> bool:
    """Whether a class was meant to be a model or a dataset and has no name: a base of others needs none."""
    meant = issubclass(member, Model) and member.phases is not Model.phases
    meant = meant or (issubclass(member, Dataset) and any(name in vars(member) for name in ("read", "load", "curve")))
    others = (other for other in vars(module).values() if isinstance(other, type) and other is not member)
    return meant and not getattr(member, "name", "") and not any(issubclass(other, member) for other in others)


def _faults(model_class: type[Model]) -> str:
    """Why a class cannot be a model, or an empty string."""
    if not (isinstance(model_class.Config, type) and issubclass(model_class.Config, msgspec.Struct)):
        return "its Config must be a msgspec.Struct"
    if model_class.phases is Model.phases:
        return "it must define phases()"
    if not model_class.optimizers:
        return "it must declare optimizers = {phase name: Optim(...)}"
    if hasattr(model_class, "pixels"):
        return "its `pixels` is called `value_range` now: rename it"
    kinds, value_range = model_class.kinds, model_class.value_range
    if isinstance(kinds, str) or not kinds or any(kind not in COUNT_UNITS for kind in kinds):
        return f"its kinds are {kinds!r}; write a tuple of {', '.join(COUNT_UNITS)}, as (\"image\",)"
    if isinstance(value_range, str) and value_range not in ("unit", "signed"):
        return f"its value_range is {value_range!r}; it must be unit or signed"
    for phase in model_class.optimizers:
        if "." in phase or not phase.isprintable() or not phase:
            return f"its phase {phase!r} cannot be part of a setting's name; use letters, digits and dashes"
    for phase, when in model_class.phases_when.items():
        if phase not in model_class.optimizers or when.partition("=")[0] not in model_class.Config.__struct_fields__:
            return f"its phases_when has {phase!r}: {when!r}; write the name of a phase and that of a hyperparameter"
    for name, value_type, example in (("judged", Names, '("mse",)'), ("together", Groups, '(("mse", "mae"),)')):
        try:
            msgspec.convert(getattr(model_class, name), value_type)
        except msgspec.ValidationError as error:
            return f"its {name} cannot be used ({error}); write names of metrics, as {example}"
    if wrong := alarms.faults(model_class.alarms):
        return f"its alarms cannot be used: {wrong}"
    return _config_faults(model_class.Config) or _entry_faults(ModelEntry, entry_of, model_class)


def _dataset_faults(dataset_class: type[Dataset]) -> str:
    """Why a class cannot be a dataset, or an empty string."""
    if not (isinstance(dataset_class.Config, type) and issubclass(dataset_class.Config, msgspec.Struct)):
        return "its Config must be a msgspec.Struct"
    if dataset_class.kind not in COUNT_UNITS:
        return f"its kind is {dataset_class.kind!r}; it must be one of {', '.join(COUNT_UNITS)}"
    for base, methods, config_class in (
        (ImageSet, ("read", "load"), ImageConfig), (TextSet, ("read", "load"), TextConfig),
        (PointSet, ("curve", "load"), PointSet.Config), (Dataset, ("load",), None),
    ):  # fmt: skip
        if issubclass(dataset_class, base):
            if all(getattr(dataset_class, name) is getattr(base, name) for name in methods):
                return f"it must define {methods[0]}()"
            fields = config_class.__struct_fields__ if config_class is not None else ()
            lacking = [name for name in fields if name not in dataset_class.Config.__struct_fields__]
            if config_class is not None and lacking:
                return f"its Config lacks {', '.join(lacking)}; derive it from {config_class.__qualname__}"
            break
    if dataset_class.expected is Dataset.expected:
        return "it must define expected()"
    fields = dataset_class.Config.__struct_fields__
    if "name" in fields:
        return "its Config cannot have a setting called name: that is the dataset's"
    if dataset_class.reads and "root" not in fields:
        return f"it reads a {dataset_class.reads}, so its Config needs root: Annotated[str, hyper(...)] = \"\""
    return _entry_faults(DatasetEntry, dataset_entry, dataset_class) or _config_faults(dataset_class.Config)


def _entry_faults(entry_type: type, entry_for: Callable[[Any, str], Any], member: type) -> str:
    """Why a class cannot be described in a catalogue, which would be unreadable with it; or an empty string."""
    try:
        msgspec.convert(msgspec.to_builtins(entry_for(member, "")), entry_type)
    except Exception as error:
        return f"it cannot be described ({error})"
    return ""


def _config_faults(config: type[msgspec.Struct]) -> str:
    """Why a class of settings cannot be used, or an empty string."""
    try:
        config()
        hyperparams = params.describe(config)
    except Exception as error:
        return f"its Config cannot be read ({error}); every field needs a default"
    wrong = {param.name: params.check_value(param, param.default)[1] for param in hyperparams}
    return "; ".join(f"the default of {name} {words}" for name, words in wrong.items() if words)


def words_of(name: str) -> str:
    """What a built-in model says to learners: Markdown in a file of its own; empty where there is none."""
    path = catalog.built_in_dir() / "words" / f"{name}.md"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def entry_of(model_class: type[Model], source: str) -> ModelEntry:
    """A model class as plain data."""
    return ModelEntry(
        name=model_class.name,
        family=model_class.family or OWN_FAMILY,
        title=model_class.title or model_class.name,
        summary=model_class.summary or (model_class.__doc__ or "").strip().split("\n")[0],
        description=model_class.description or (words_of(model_class.name) if source == BUILT_IN else ""),
        reference=model_class.reference,
        kinds=list(model_class.kinds),
        abilities=[name for name in ABILITIES if callable(getattr(model_class, name, None))],
        params=params.describe(model_class.Config),
        phases=dict(model_class.optimizers),
        source=source,
        phases_when=dict(model_class.phases_when),
        alarms=list(model_class.alarms),
        higher_is_better=list(model_class.higher_is_better),
    )


def dataset_entry(dataset_class: type[Dataset], source: str) -> DatasetEntry:
    """A dataset class as plain data."""
    return DatasetEntry(
        name=dataset_class.name,
        title=dataset_class.title or dataset_class.name,
        kind=dataset_class.kind,
        default_size=dataset_class.default_size,
        channels=dataset_class.channels,
        classes=list(dataset_class.classes),
        count=dataset_class.count,
        reads=dataset_class.reads,
        summary=dataset_class.summary or (dataset_class.__doc__ or "").strip().split("\n")[0],
        reference=dataset_class.reference,
        # where the data are comes first
        params=sorted(params.describe(dataset_class.Config), key=lambda param: param.name != "root"),
        files=dataset_class.files,
        source=source,
    )


def build(extra: list[str] | None = None) -> tuple[Catalog, Classes]:
    """The catalogue as it should be now, and the classes behind it."""
    discovery = discover(extra)
    models, datasets = discovery.classes
    order = {family: place for place, family in enumerate(FAMILIES)}
    names = sorted(models, key=lambda name: (order.get(models[name].family, 99), models[name].family, name))
    sets = sorted(datasets, key=lambda name: (datasets[name].rank, name))
    result = Catalog(
        models={name: entry_of(models[name], discovery.sources["model", name]) for name in names},
        datasets={name: dataset_entry(datasets[name], discovery.sources["dataset", name]) for name in sets},
        key=catalog.key_of(catalog.model_dirs(extra)),
        problems=discovery.problems,
    )
    return result, discovery.classes


def encode(catalogue: Catalog) -> bytes:
    """The part of a catalogue that needs PyTorch to be made, as JSON."""
    plain = {name: getattr(catalogue, name) for name in ("models", "datasets", "key", "problems")}
    return msgspec.json.format(msgspec.json.encode(plain), indent=1) + b"\n"


def refresh(extra: list[str] | None = None) -> Path:
    """Build the catalogue and write it to the cache; its path."""
    from tui_gen.runs import write_atomic

    catalogue, _ = build(extra)
    path = catalog.cache_path(catalogue.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, encode(catalogue))
    return path


def main() -> None:
    """Refresh the cached catalogue, or with `--write FILE` write the built-in one that ships with the package."""
    parser = argparse.ArgumentParser(prog="python -m tui_gen.train.discover", description=main.__doc__)
    parser.add_argument("--models", action="append", default=[], metavar="DIR", help="a folder with model files")
    parser.add_argument("--write", metavar="FILE", help="write the catalogue of the built-in models here")
    arguments = parser.parse_args()
    if not arguments.write:
        print(refresh(arguments.models))
        return
    os.environ["XDG_CONFIG_HOME"] = os.devnull  # the shipped copy must not hold this user's models
    catalogue, _ = build()
    Path(arguments.write).write_bytes(encode(catalogue))
    print(arguments.write)


if __name__ == "__main__":
    main()
