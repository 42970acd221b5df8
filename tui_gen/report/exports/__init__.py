"""Exports: a run in a file of another format, `tui-gen export RUN --as FORMAT -o FILE`.

A format is a row of FORMATS and a file of that name in this folder, which has a Writer's functions and is imported
where the format, or the help on it, is asked for: what is heavy it imports in its functions. What can be chosen for it
are the fields of its `Options`. `save` is the door for all of them: a file (or a folder, of a format that is one) is
written aside, read back, and only then takes its place, so no format has to see to that itself.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TextIO, cast

import msgspec

from tui_gen import files, runs
from tui_gen.events import Event
from tui_gen.params import Param, check_value, describe, nearest, parse
from tui_gen.places import shown
from tui_gen.view import RunView


class NoOptions(msgspec.Struct):
    """Those of a format that has none."""


@dataclass
class Order:
    """What is to be exported: a run, with a format's `options`. `tell` hears notes, and how far a long one is.

    `model_dirs` are folders of the user's own model files, for what must build the model; the log is read only by
    formats that look at `view`.
    """

    run: Path
    options: Any = field(default_factory=NoOptions)
    tell: Callable[[Event], None] = lambda event: None
    model_dirs: list[str] = field(default_factory=list)
    name: str = ""
    """What the file will be called, whatever it is written under."""
    beside: Path | None = None
    """Where the second file of a format that is two is to be written; None where there is no place for it."""

    @cached_property
    def view(self) -> RunView:
        """The run with every value that it logged, read once."""
        return RunView.read(self.run)


class Writer(Protocol):
    """What a format's file has; `Options`, a msgspec struct as those of models, where something can be chosen.

    A folder's writer has `ours(path)`, too: whether a folder that is there holds nothing but an earlier export.
    """

    def write(self, order: Order, target: Path) -> None:
        """Write a run to this file, or into this empty folder. Raises OSError, and RunError for what cannot be."""

    def check(self, order: Order, target: Path) -> None:
        """Read what was written. Raises ValueError, which says in what it is not as it should be, and OSError."""


class Streamer(Writer, Protocol):
    """As a Writer, of a format that can go to standard output as it is made."""

    def stream(self, order: Order, out: TextIO) -> None:
        """Write a run as text. Raises OSError."""


class Format(NamedTuple):
    """A format: its name, what it is in a line, the ending of its files' names, whether standard output can have it,
    whether it is a folder, the libraries that it needs beyond those of tui-gen (by the names they are imported by),
    whether it executes the run's model, the ending of a second file that comes with it, and the module that is its
    Writer (the file of its name), or its Streamer.
    """

    name: str
    help: str
    suffix: str
    streams: bool = False
    folder: bool = False
    needs: tuple[str, ...] = ()
    executes: bool = False
    beside: str = ""
    module: str = ""

    @property
    def writer(self) -> Writer:
        """What writes it, imported now."""
        return cast(Writer, importlib.import_module(self.module or f"{__name__}.{self.name}"))

    @property
    def options(self) -> type[msgspec.Struct]:
        """What can be chosen for it."""
        return getattr(self.writer, "Options", NoOptions)

    @property
    def params(self) -> list[Param]:
        """Its options as plain data, for a command line or a dialog."""
        return describe(self.options)


FORMATS = [
    Format("csv", "every value of its metrics as text, a row a step", ".csv", streams=True),
    Format("parquet", "the same as a table of numbers, for pandas, polars, DuckDB …", ".parquet", needs=("pyarrow",)),
    Format("tensorboard", "its metrics, previews and config, for TensorBoard", "-tensorboard", folder=True),
    Format("html", "a report as one file: its curves, previews, settings and what happened", ".html"),
    Format("safetensors", "the weights, with Python beside them that runs the model without tui-gen", ".safetensors",
           executes=True, beside=".py"),
    Format("gif", "its previews as a film that plays anywhere, in 256 colours", ".gif"),
    Format("apng", "the same with every colour, for browsers", ".apng"),
    Format("onnx", "a decoder, generator, denoising step … to run without PyTorch", ".onnx",
           needs=("onnx", "onnxscript", "onnxruntime"), executes=True),
    Format("npz", "samples from a checkpoint as NumPy arrays", ".npz", executes=True),
]
"""The first one is what is written where none is asked for."""


def form_of(name: str) -> Format:
    """The format of a name. Raises RunError, with the nearest one."""
    for form in FORMATS:
        if form.name == name:
            return form
    hint = nearest(name, [form.name for form in FORMATS]) or "there are " + ", ".join(form.name for form in FORMATS)
    raise runs.RunError(f"no export format {name!r}; {hint}")


def chosen(form: Format, texts: dict[str, str]) -> Any:
    """A format's `Options` from what a person wrote, by name. Raises RunError that lists every problem."""
    params = {param.name: param for param in form.params}
    values, problems = {}, []
    for name, text in texts.items():
        flag = flag_of(form, name)
        if name not in params:
            some = ", ".join(flag_of(form, known) for known in params) or "none"
            problems.append(f"{form.name} has no option {flag}; it has {some}")
            continue
        values[name], wrong = check_value(params[name], parse(params[name], text))
        if wrong:
            problems.append(f"{flag} {text!r}: {wrong}")
    if problems:
        raise runs.RunError("\n".join(problems))
    return form.options(**values)


def flag_of(form: Format, name: str) -> str:
    """How an option is written on a command line: `--loop`, or the short form that its format gives it (`-n`)."""
    short: dict[str, str] = getattr(form.options, "SHORT", {})
    return short.get(name, f"--{name.replace('_', '-')}")


def lacking(form: Format) -> str:
    """What has to be installed before a format can be written, in words; empty where nothing has."""
    missing = [name for name in form.needs if find_spec(name) is None]
    if not missing:
        return ""
    names = " and ".join(missing)
    return f"{form.name} needs {names}, which {'is' if len(missing) == 1 else 'are'} not installed: " + INSTALL


INSTALL = "pip install 'tui-gen[export]'"


def place(form: Format, order: Order) -> Path:
    """Where an export goes that nobody gave a name: beside the run, called as the run and by what was chosen."""
    words = [f"-{name}" if value is True else f"-{value}" for name, value in _told(order.options)]
    return order.run.with_name(order.run.name + "".join(words) + form.suffix)


def _told(options: msgspec.Struct) -> Iterator[tuple[str, Any]]:
    """The options that tell one export of a run from another: those of `NAMED` that are not as they are by default."""
    params = {param.name: param for param in describe(type(options))}
    for name in getattr(options, "NAMED", ()):
        if (value := getattr(options, name)) not in (params[name].default, None, False, ""):
            yield name, value


def save(form: Format, order: Order, target: str, *, force: bool = False) -> None:
    """Write a run, whole or not at all, to a file or folder; `-` is standard output. Raises RunError.

    What is there already stays, unless with `force`; of folders only an earlier export is replaced. A device, a pipe
    or a file in a folder that cannot be written is written as it is; the first two are not read back.
    """
    if words := lacking(form):
        raise runs.RunError(words)
    writer = form.writer
    if target == "-":
        if not form.streams:
            raise runs.RunError(f"standard output takes no {form.name}: name a file")
        _stream(cast(Streamer, writer), order)
        return
    second = second_of(form, Path(target))
    for path in filter(None, (Path(target), second)):
        _refuse_taken(form, writer, path, force)
    order.name, name = Path(target).name, shown(Path(target))
    try:
        door = files.folder_written_whole if form.folder else files.written_whole
        with door(target) as aside, door(second) if second else contextlib.nullcontext() as order.beside:
            writer.write(order, aside)
            if form.folder or os.path.isfile(aside):
                with _fault_of(name):
                    writer.check(order, aside)
            if str(aside) != os.path.realpath(target):  # somebody else may have written it meanwhile
                for path in filter(None, (Path(target), second)):
                    _refuse_taken(form, writer, path, force)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.ENOMEM):  # of the machine, not of the file
            raise
        raise runs.RunError(f"cannot write {name}: {error.strerror or error}") from None


def second_of(form: Format, target: Path) -> Path | None:
    """Where the second file of a format goes that is two; None where it is one, or goes to a device or a pipe."""
    if not form.beside or (target.exists() and not target.is_file()):
        return None
    return target.with_suffix(form.beside) if target.suffix != form.beside else target.with_suffix(f"{form.beside}.py")


@contextlib.contextmanager
def _fault_of(name: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise runs.RunError(f"cannot write {name}: read back, it is not what was written: {error}") from None


def _refuse_taken(form: Format, writer: Writer, target: Path, force: bool) -> None:
    """Raise RunError where something is there that must not be replaced."""
    if form.folder:
        if not os.path.lexists(target):
            return
        if not target.is_dir() or target.is_symlink():
            raise runs.RunError(f"{shown(target)} is there already and no folder; name another with -o")
        if os.listdir(target) and not getattr(writer, "ours", lambda path: False)(target):
            words = f"{shown(target)} holds other files than an export to {form.name}; name another folder with -o"
            raise runs.RunError(words)
    elif not target.is_file():  # nothing, or a device or a pipe, which lose nothing
        return
    if not force and (not form.folder or os.listdir(target)):
        raise runs.RunError(f"{shown(target)} is there already; name another with -o, or replace it with --force")


def _stream(writer: Streamer, order: Order) -> None:
    try:
        writer.stream(order, sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise runs.RunError(f"cannot write to standard output: {error.strerror or error}") from None
