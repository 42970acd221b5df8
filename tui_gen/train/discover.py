"""Finds models and describes them as plain data: `python -m tui_gen.train.discover` refreshes the cached catalogue.

Models come from the built-in package, from users' folders and from entry points in the group `tui_gen.models`.
A file that cannot be imported is a problem in words, never the end.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import pkgutil
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

import msgspec

import tui_gen.models
from tui_gen import catalog, params
from tui_gen.catalog import OWN_FAMILY, Catalog, ModelEntry
from tui_gen.events import Groups, Names
from tui_gen.model import ABILITIES, Model

BUILT_IN = "built in"
"""Where the models of this package come from, as a source."""
FAMILIES = ("autoencoder", "vae", "gan", "diffusion", "classifier", "sequence")


def discover(extra: list[str] | None = None) -> tuple[dict[str, type[Model]], dict[str, str], list[str]]:
    """Every model class by name, where each comes from, and what went wrong (one line a file)."""
    found: dict[str, type[Model]] = {}
    sources: dict[str, str] = {}
    problems: list[str] = []

    def take(module: ModuleType, source: str) -> None:
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, Model) and kind.__module__ == module.__name__ and kind.name:
                wrong = _faults(kind)
                if wrong:
                    problems.append(f"{source}: model {kind.name!r}: {wrong}")
                elif found.get(kind.name, kind) is not kind:
                    problems.append(f"{source}: model {kind.name!r} is taken by {sources[kind.name]}")
                else:
                    found[kind.name], sources[kind.name] = kind, source

    for info in pkgutil.iter_modules(tui_gen.models.__path__):
        if not info.ispkg:  # folders hold what models are built of
            take(importlib.import_module(f"tui_gen.models.{info.name}"), BUILT_IN)
    for folder in catalog.model_dirs(extra):
        for path in sorted(folder.glob("*.py")):
            try:
                take(_import_file(path), str(path))
            except BaseException as error:  # a user's file may raise anything, SystemExit too
                if isinstance(error, KeyboardInterrupt):
                    raise
                problems.append(f"{path}: {_where(error, path)}{_words(error)}")
    from importlib.metadata import entry_points

    for point in entry_points(group="tui_gen.models"):
        try:
            loaded = point.load()
            take(loaded if isinstance(loaded, ModuleType) else sys.modules[loaded.__module__], f"package {point.value}")
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            problems.append(f"entry point {point.name} = {point.value}: {_words(error)}")
    return found, sources, problems


class _Source(SourceFileLoader):
    """Reads the source itself, never a compiled copy beside it: that may hold something else."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _import_file(path: Path) -> ModuleType:
    name = f"tui_gen_user_{path.stem}"
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


def _words(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _faults(kind: type[Model]) -> str:
    """Why a class cannot be a model, or an empty string."""
    if not (isinstance(kind.Config, type) and issubclass(kind.Config, msgspec.Struct)):
        return "its Config must be a msgspec.Struct"
    if kind.phases is Model.phases:
        return "it must define phases()"
    if not kind.optimizers:
        return "it must declare optimizers = {phase name: Optim(...)}"
    for phase in kind.optimizers:
        if "." in phase or not phase.isprintable() or not phase:
            return f"its phase {phase!r} cannot be part of a setting's name; use letters, digits and dashes"
    for name, wanted, example in (("judged", Names, '("mse",)'), ("together", Groups, '(("mse", "mae"),)')):
        try:
            msgspec.convert(getattr(kind, name), wanted)
        except msgspec.ValidationError as error:
            return f"its {name} cannot be used ({error}); write names of metrics, as {example}"
    try:
        kind.Config()
        declared = params.describe(kind.Config)
    except Exception as error:
        return f"its Config cannot be read ({error}); every field needs a default"
    wrong = {param.name: params.check_value(param, param.default)[1] for param in declared}
    return "; ".join(f"the default of {name} {words}" for name, words in wrong.items() if words)


def words_of(name: str) -> str:
    """What a built-in model says to learners: Markdown in a file of its own; empty where there is none."""
    path = catalog.built_in_dir() / "words" / f"{name}.md"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def entry_of(kind: type[Model], source: str) -> ModelEntry:
    """A model class as plain data."""
    return ModelEntry(
        name=kind.name,
        family=kind.family or OWN_FAMILY,
        title=kind.title or kind.name,
        summary=kind.summary or (kind.__doc__ or "").strip().split("\n")[0],
        description=kind.description or (words_of(kind.name) if source == BUILT_IN else ""),
        reference=kind.reference,
        kinds=list(kind.kinds),
        abilities=[name for name in ABILITIES if callable(getattr(kind, name, None))],
        params=params.describe(kind.Config),
        phases=dict(kind.optimizers),
        source=source,
    )


def build(extra: list[str] | None = None) -> tuple[Catalog, dict[str, type[Model]]]:
    """The catalogue as it should be now, and the classes behind it."""
    found, sources, problems = discover(extra)
    order = {family: place for place, family in enumerate(FAMILIES)}
    names = sorted(found, key=lambda name: (order.get(found[name].family, 99), found[name].family, name))
    models = {name: entry_of(found[name], sources[name]) for name in names}
    result = Catalog(models=models, key=catalog.key_of(catalog.model_dirs(extra)), problems=problems)
    return result, found


def encode(made: Catalog) -> bytes:
    """The part of a catalogue that needs PyTorch to be made, as JSON."""
    plain = {"models": made.models, "key": made.key, "problems": made.problems}
    return msgspec.json.format(msgspec.json.encode(plain), indent=1) + b"\n"


def refresh(extra: list[str] | None = None) -> Path:
    """Build the catalogue and write it to the cache; its path."""
    from tui_gen.runs import write_atomic

    made, _ = build(extra)
    path = catalog.cache_path(made.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, encode(made))
    return path


def main() -> None:
    """Refresh the cached catalogue, or with `--write FILE` write the built-in one that ships with the package."""
    parser = argparse.ArgumentParser(prog="python -m tui_gen.train.discover", description=main.__doc__)
    parser.add_argument("--models", action="append", default=[], metavar="DIR", help="a folder with model files")
    parser.add_argument("--write", metavar="FILE", help="write the catalogue of the built-in models here")
    given = parser.parse_args()
    if not given.write:
        print(refresh(given.models))
        return
    os.environ["XDG_CONFIG_HOME"] = os.devnull  # the shipped copy must not hold this user's models
    made, _ = build()
    Path(given.write).write_bytes(encode(made))
    print(given.write)


if __name__ == "__main__":
    main()
