"""A run directory, a config and a model whose every text is made of what a terminal would obey, for tests that look."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image

from tui_gen import catalog as catalogs
from tui_gen import events, runs, toml_writer

TEXT = "\x1b]0;owned\x07<\x1b[5;6;7mA\x9b5;6;7mB\x9d0;owned\x9c\x08\r\x7f\x85\u202eC\u2066D\x1bP+q\x1b\\>"
NAME = TEXT.replace("\n", "")
EVIL = "x\x1b]0;owned\x07\x9b31m;$(touch /tmp/owned)`id`\n"
"""What a shell would obey as well."""
SHOWN = "<AB"
"""What is left of it, at least."""
FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
OURS = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[hl]|\x1b\[[0-9]*[ABJKG]|\r(?=\x1b|\n|$)")
"""What our own drawing uses: colours other than those above, the cursor hidden and moved, lines erased."""


def found_in(text: str, drawn: bool = False) -> list[str]:
    """What came through into a text, with some of what stands around it; `drawn` text may hold our own sequences."""
    if drawn:
        assert "[5;6;7m" not in text
        text = OURS.sub("", text)
    return [text[max(0, match.start() - 30) : match.end() + 10] for match in FORBIDDEN.finditer(text)]


def filled(kind: Any, number: int = 3) -> Any:
    """A struct whose every text is TEXT, lists and tables with one entry, all numbers `number`."""
    info = msgspec.inspect.type_info(kind) if not isinstance(kind, msgspec.inspect.Type) else kind
    match info:
        case msgspec.inspect.Metadata():
            return filled(info.type, number)
        case msgspec.inspect.StructType():
            named = {field.name: filled(field.type, number) for field in info.fields}
            return info.cls(**named)
        case msgspec.inspect.StrType() if info.pattern:  # colours are the only texts that must have a form
            return "#0a1b2c"
        case msgspec.inspect.StrType() | msgspec.inspect.AnyType():
            return TEXT
        case msgspec.inspect.LiteralType():
            return info.values[0]
        case msgspec.inspect.BoolType():
            return False
        case msgspec.inspect.IntType():
            return number
        case msgspec.inspect.FloatType():
            return float(number)
        case msgspec.inspect.ListType():
            return [filled(info.item_type, number)]
        case msgspec.inspect.VarTupleType():
            return (filled(info.item_type, number),)
        case msgspec.inspect.TupleType():
            return tuple(filled(one, number) for one in info.item_types)
        case msgspec.inspect.DictType():
            return {filled(info.key_type, number): filled(info.value_type, number)}
        case msgspec.inspect.UnionType():
            return filled(next(one for one in info.types if not isinstance(one, msgspec.inspect.NoneType)), number)
    raise AssertionError(f"no text for {info}")


def every_event() -> list[events.Event]:
    """One of each type, all texts hostile; and those whose words decide something, with words that mean it."""
    kinds = msgspec.inspect.type_info(events.AnyEvent).types
    made = [filled(one) for one in kinds if one.cls is not events.Packed]  # Metrics in another form
    now = 1_800_000_000.0
    metrics = [events.Metrics(start=0, values={f"{TEXT}/loss": [1.0, 2.0, 0.5], f"val/{TEXT}/loss": [1.0, 2.0, 3.0]})]
    samples = [
        events.Sample(step=3, path="samples/000003.png", kind=TEXT, tile=(4, 4)),
        events.Sample(step=3, path="samples/000003.txt", kind=f"{TEXT}words"),
        events.Sample(step=3, path=f"samples/{NAME}.png"),
    ]
    checkpoints = [events.Checkpoint(step=3, path=f"checkpoints/{NAME}", reason=TEXT)]
    for number, one in enumerate([*made, *metrics, *samples, *checkpoints]):
        one.t = now + number
    return [*metrics, *made, *samples, *checkpoints]


def make_run(root: Path, state: str = "failed", name: str = NAME) -> Path:
    """A run directory of such events, texts and names, ended."""
    path = root / f"20261120-1530-{name}"
    (path / "samples").mkdir(parents=True)
    (path / "checkpoints" / NAME).mkdir(parents=True)
    Image.fromarray(np.full((4, 4), 99, np.uint8)).save(path / "samples" / "000003.png")
    Image.fromarray(np.full((4, 4), 99, np.uint8)).save(path / "samples" / f"{NAME}.png")
    (path / "samples" / "000003.txt").write_text(f"{TEXT}\n\t{TEXT}\n", encoding="utf-8")
    (path / "worker.log").write_text(f"{TEXT}\nTraceback {TEXT}\n", encoding="utf-8")
    tables = {
        "name": TEXT, "notes": TEXT, "tags": [TEXT], "model": {"name": "vae"},
        "dataset": {"name": "digits", "root": f"/{NAME}"}, "train": {"steps": 9},
    }  # fmt: skip
    (path / "config.toml").write_text(toml_writer.dump_toml(tables), encoding="utf-8")
    last = events.State(state, 3, TEXT, t=1_800_000_100.0)
    (path / "events.jsonl").write_bytes(b"".join(map(events.encode, [*every_event(), last])))
    info = filled(runs.WorkerInfo, 0)
    (path / "worker.json").write_bytes(msgspec.json.encode(info))
    return path


def add_model(folder: Path) -> None:
    """A model file and a recipe of the user's own, and the catalogue that they would give, all texts hostile."""
    (folder / "models").mkdir(parents=True)
    (folder / "recipes").mkdir()
    (folder / "models" / f"{NAME}.py").write_text("raise ValueError('read for a catalogue, which there is already')\n")
    about = dict.fromkeys(("title", "summary", "reference", "figure", "source"), f"{TEXT}\nname = 'injected'\n")
    tables = {"recipe": about, "model": {"name": TEXT}, "train": {"steps": 5}}
    (folder / "recipes" / "evil.toml").write_text(toml_writer.dump_toml(tables), encoding="utf-8")
    made = json.loads((catalogs.built_in_dir() / "catalog.json").read_bytes())
    entry = filled(catalogs.ModelEntry)
    entry.kinds = ["image"]
    entry.params = [msgspec.structs.replace(entry.params[0], kind="str", choices=[], run=[], item="")]
    made["models"][TEXT] = msgspec.to_builtins(entry)
    made["key"] = catalogs.key_of(catalogs.model_dirs())
    made["problems"] = [f"{folder}: {TEXT}\n{TEXT}"]
    path = catalogs.cache_path(made["key"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(made), encoding="utf-8")
