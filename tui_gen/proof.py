"""Whether a resume is exact, as `tui-gen verify-resume` found it: kept by what was trained, asked for by run.

A proof is about settings that enter the numbers, the files of the model and of the dataset, a version of tui-gen and of
PyTorch, and a kind of device. Where any of these is another, there is none. Needs no PyTorch, and looks into a run only
where its model and dataset have a proof at all, so that lists of thousands of runs may ask for all of them.
"""

from __future__ import annotations

import functools
import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from tui_gen import __version__, events, toml
from tui_gen.files import read_regular, written_aside
from tui_gen.headline import headline
from tui_gen.log import event_log
from tui_gen.places import cache_dir

FOLDER = "proofs"
LARGEST = 1 << 20
"""Bytes of a proof, or of a config, that are read at most."""
NO_MATTER = {
    "train": ("steps", "epochs", "minutes", "device", "threads", "seed", "validate_every", "on_nan", "rollbacks"),
    "dataset": ("root",),
}
"""Settings that a proof is not about, by table. All of the tables that are not named in ABOUT are none of its business:
they say when something is drawn, measured or saved."""
ABOUT = ("model", "dataset", "train")


class Proof(msgspec.Struct, frozen=True):
    """What came of `verify-resume`. `passed` says whether every bit was the same after `kills` kills.

    `difference` is the first tensor that was not, by name; `metric` and `metric_step` the first value of a metric that
    was not. `sources` maps the files of model and dataset to their SHA-256.
    """

    passed: bool
    model: str
    dataset: str
    settings: str
    steps: int
    kills: int
    seed: int
    device: str
    difference: str = ""
    metric: str = ""
    metric_step: int = 0
    t: float = 0.0
    version: str = ""
    torch: str = ""
    sources: dict[str, str] = {}

    @property
    def words(self) -> str:
        """In a line, for lists and details of a run."""
        often = "1 kill" if self.kills == 1 else f"{self.kills} kills"
        if self.passed:
            return f"exact resume proved ({often} in {self.steps:,} steps)"
        return f"a resume is not exact: {self.difference or self.metric} differs after {often}"


def of(path: Path | str) -> Proof | None:
    """What is known of a run's settings, as they and the code are now; None where nobody has tried.

    Of several devices, that of the run's own where its log says which.
    """
    known = _known(_stamp())
    if not known:
        return None
    config = f"{path}/config.toml"
    top = headline(config)
    near = [proof for proof in known if (proof.model, proof.dataset) == (top.get("model"), top.get("dataset"))]
    if not near:
        return None
    try:
        settings = _settings_of(config, os.stat(config).st_mtime_ns)
    except OSError:
        return None
    near = [proof for proof in near if proof.settings == settings and _holds(proof)]
    if near and (device := kind_of(_device_of(path))):
        near = [proof for proof in near if proof.device == device]
    return max(near, key=lambda proof: proof.t, default=None)


def keep(proof: Proof) -> Proof:
    """Remember a proof, in place of the one of the same settings on the same device. Raises OSError."""
    proof = msgspec.structs.replace(proof, t=time.time(), version=__version__, torch=torch_version())
    name = hashlib.sha256(f"{proof.settings} {proof.device}".encode()).hexdigest()[:32]
    folder = cache_dir() / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with written_aside(folder / f"{name}.json") as aside:
        aside.write_bytes(msgspec.json.encode(proof))
    return proof


def digest(tables: Mapping[str, Any]) -> str:
    """What a config's settings are known by: those that enter the numbers, whatever the run is called and how long."""
    about: dict[str, Any] = {}
    for name in ABOUT:
        table = tables.get(name)
        values = table if isinstance(table, dict) else {}
        about[name] = {key: value for key, value in values.items() if key not in NO_MATTER.get(name, ())}
    if about["train"].get("deterministic") is False:  # as it was in all that was proved before there was the choice
        del about["train"]["deterministic"]
    return hashlib.sha256(msgspec.json.encode(about, order="deterministic")).hexdigest()


def sums(files: Iterable[str]) -> dict[str, str]:
    """The SHA-256 of the files of a model and a dataset; what is built in and cannot be read is left out."""
    found = {}
    for file in files:
        try:
            found[file] = hashlib.sha256(read_regular(file, LARGEST)).hexdigest()
        except OSError:
            continue
    return found


def kind_of(device: str) -> str:
    """`cpu (2 threads)`, `cuda:0 NVIDIA H200` → what counts of it: `cpu`, `cuda NVIDIA H200`."""
    first, _, rest = device.partition(" ")
    first = first.partition(":")[0]
    return f"{first} {rest}" if first == "cuda" and rest else first


@functools.cache
def torch_version() -> str:
    """The version of PyTorch that is installed, without importing it; empty where there is none."""
    from importlib import metadata  # slow to import, and lists of runs seldom have a proof

    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return ""


def _stamp() -> int:
    try:
        return os.stat(cache_dir() / FOLDER).st_mtime_ns
    except Exception:  # no folder, or no home: nothing is known
        return 0


@functools.lru_cache(maxsize=1)
def _known(stamp: int) -> list[Proof]:
    """All that is kept, of this version; read anew when the folder's `stamp` is another."""
    if not stamp:
        return []
    proofs = []
    for path in sorted((cache_dir() / FOLDER).glob("[0-9a-f]*.json")):
        try:
            proof = msgspec.json.decode(read_regular(path, LARGEST), type=Proof)
        except (OSError, ValueError):
            continue
        if (proof.version, proof.torch) == (__version__, torch_version()):
            proofs.append(proof)
    return proofs


@functools.lru_cache(maxsize=4096)
def _settings_of(config: str, stamp: int) -> str:
    try:
        return digest(toml.loads(read_regular(config, LARGEST).decode()))
    except (OSError, ValueError, RecursionError):
        return ""


@functools.lru_cache(maxsize=4096)
def _device_of(path: Path | str) -> str:
    """Where a run trained, by the beginning of its log; empty where that does not say."""
    follower = event_log.Follower(Path(path) / "events.jsonl", (events.Plan,))
    plan = next((event for event in follower.poll(1 << 16) if isinstance(event, events.Plan)), None)
    return plan.device if plan is not None else ""


def _holds(proof: Proof) -> bool:
    """Whether the files of its model and dataset are as they were."""
    return all(_sum_of(file, _changed(file)) == was for file, was in proof.sources.items())


def _changed(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return 0


@functools.lru_cache(maxsize=256)
def _sum_of(file: str, stamp: int) -> str:
    return sums([file]).get(file, "")
