"""What samples are held against: a feature network and the real data's features, made once and kept in the cache.

    ~/.cache/tui-gen/quality/KEY/reference.safetensors   the network's weights; features, classes and confidence
    ~/.cache/tui-gen/quality/KEY/about.json              what it is

A folder KEY is complete: it is built aside and renamed. The key is a digest of the data's shape, classes and contents
and of `VERSION`, so that other data, or another version of this room, never meet these features.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from tui_gen.events import Note
from tui_gen.model import DataSpec
from tui_gen.places import cache_dir
from tui_gen.quality import CONFIDENT
from tui_gen.train.data import Data, Report, Source, locks
from tui_gen.train.quality import nets
from tui_gen.train.tensor_file import save_tensors

VERSION = 2
"""Part of every key: raise it when networks or features change."""
SEED = 20
MOST = 100_000
"""Most training examples that count."""
ENDLESS = (10_000, 4_000)
"""Of data made without end: how many stand for the training data, and how many for held-out data."""
FEWEST = 40
"""Fewest training examples that figures can be made from."""
LEARNABLE = 500
"""Images without labels from which a network can learn something."""
PRINT = 256
"""Examples that tell one set of data from another."""
BATCH = 256
WAITING = "waiting"


class QualityError(Exception):
    """Why there are no figures, in words for people."""


@dataclass
class Reference:
    """Real data as features on the CPU: `train` (N, D), `held_out` (M, D), M may be 0.

    `confidence` (M,) and `classes` (M,) are what the network says of held-out images where it is a classifier; for
    labelled points `train_classes` (N,) are their labels. `shares` (C,) are the data's class shares, None without
    labels; `accuracy` is the classifier's on held-out images. `endless` data cannot be memorised.
    """

    name: str
    kind: str
    net: nets.FeatureNet | None
    train: Tensor
    held_out: Tensor
    shares: Tensor | None = None
    confidence: Tensor | None = None
    classes: Tensor | None = None
    train_classes: Tensor | None = None
    accuracy: float | None = None
    endless: bool = False

    def scaled(self, features: Tensor) -> Tensor:
        """Features (N, D) as distances are measured in: the training data's mean at 0, their mean variance 1."""
        mean = self.train.double().mean(0)
        variance = self.train.double().var(0, correction=0).mean()
        return (features.double() - mean) / variance.sqrt().clamp(min=1e-12)


def prepared(data: Data, device: torch.device, report: Report) -> Generator[str, None, Reference]:
    """The reference of a dataset, from the cache or into it: yields words on what it does, returns a `Reference`.

    Between two yields lies little work. It yields `WAITING` while another process makes the same one. Raises
    QualityError where this data allows no figures.
    """
    if data.spec.kind == "text":
        raise QualityError("text has no figures of quality beyond its bits per character, which are in the losses")
    train, held_out, endless = _parts(data)
    if train[1] < FEWEST:
        raise QualityError(
            f"{data.spec.name} has {train[1]} training examples; figures of quality need at least {FEWEST}"
        )
    if not _varies(train):
        raise QualityError(f"{data.spec.name}: the data do not vary, every example is the same: no figures")
    if data.spec.kind == "points":
        return _points(data.spec, train, held_out, endless)
    place = cache_dir() / "quality" / _key(data.spec, train, held_out)
    reference = _read(place, data.spec, device)
    if reference is not None:
        return reference
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = locks.lock_at(place.with_name(f"{place.name}.lock"))
        while locks.attempt(lock) is False:
            yield WAITING
    except OSError as error:
        report(Note(level="warning", text=f"{place.parent} cannot be used ({error.strerror or error})"))
        return (yield from _images(data.spec, train, held_out, endless, device))
    try:
        reference = _read(place, data.spec, device)  # somebody else has made it meanwhile
        if reference is None:
            reference = yield from _images(data.spec, train, held_out, endless, device)
            _keep(place, reference, report)
        return reference
    finally:
        lock.release()


Part = tuple[Source, int, int]
"""A source, how many examples of it count, and the position of the first."""


def _parts(data: Data) -> tuple[Part, Part | None, bool]:
    """Training and held-out examples. Data without end are drawn anew, alike for every run's seed."""
    if data.train.count is None:
        source = data.anew(SEED) if data.anew is not None else data.train
        return (source, ENDLESS[0], 0), (source, ENDLESS[1], ENDLESS[0]), True
    held_out = data.validation
    return (
        (data.train, min(data.train.count, MOST), 0),
        None if held_out is None or not held_out.count else (held_out, held_out.count, 0),
        False,
    )


def _take(part: Part, start: int, count: int) -> tuple[Tensor, Tensor | None]:
    """Examples `start` … of a part; of a source with more than count, spread over all of it."""
    source, size, first = part
    positions = torch.arange(start, min(start + count, size))
    if source.count is not None and source.count > size:
        positions = positions * source.count // size
    return source.take((positions + first).to(source.device))


def _varies(part: Part) -> bool:
    """Whether some example differs from the first; distances are in units of how much examples differ."""
    first = _take(part, 0, 1)[0]
    return any(bool((_take(part, start, BATCH)[0] != first).any()) for start in range(0, part[1], BATCH))


def _key(spec: DataSpec, train: Part, held_out: Part | None) -> str:
    digest = hashlib.sha256(f"{VERSION} {spec.name} {spec.kind} {spec.shape} {spec.classes}".encode())
    for part in (train, held_out):
        digest.update(f"\n{part[1] if part else 0} ".encode())
        if part is not None:
            positions = torch.arange(min(PRINT, part[1])) * part[1] // min(PRINT, part[1])
            raw, labels = part[0].take((positions + part[2]).to(part[0].device))
            digest.update(raw.cpu().contiguous().numpy().tobytes())
            if labels is not None:
                digest.update(labels.cpu().numpy().tobytes())
    return digest.hexdigest()[:24]


def _points(spec: DataSpec, train: Part, held_out: Part | None, endless: bool) -> Reference:
    (x, labels), other = _take(train, 0, train[1]), None if held_out is None else _take(held_out, 0, held_out[1])[0]
    classes = None if labels is None else labels.cpu()
    return Reference(
        name="the coordinates themselves",
        kind="coordinates",
        net=None,
        train=x.float().cpu(),
        held_out=torch.empty(0, *spec.shape) if other is None else other.float().cpu(),
        shares=_shares(classes, len(spec.classes)),
        train_classes=classes,
        endless=endless,
    )


def _shares(labels: Tensor | None, label_count: int) -> Tensor | None:
    return None if labels is None else torch.bincount(labels, minlength=label_count).double() / max(1, len(labels))


def _images(
    spec: DataSpec, train: Part, held_out: Part | None, endless: bool, device: torch.device
) -> Generator[str, None, Reference]:
    """Train the network and look at all real images; returns the reference."""
    labelled = len(spec.classes) > 1
    kind = "classifier" if labelled else "rotation" if train[1] >= LEARNABLE else "random"
    net = nets.feature_net(spec.shape, len(spec.classes) if labelled else len(nets.TURNS), SEED).to(device)
    if kind != "random":
        what = f"training the {kind} network for {spec.name}, once"
        for share in nets.train(net, train[0], train[1], labelled, SEED):
            yield f"{what}: {share:.0%}"
    net.eval().requires_grad_(False)
    real = yield from _look(net, train, f"looking at {spec.name}")
    other = (yield from _look(net, held_out, f"looking at held-out {spec.name}")) if held_out else None
    reference = Reference("", kind, net, real[0], other[0] if other else torch.empty(0, nets.WIDTH), endless=endless)
    if labelled:
        reference.shares = _shares(real[2], len(spec.classes))
        if other:
            reference.confidence, reference.classes = other[1].softmax(1).max(1)
            if other[2] is not None:
                reference.accuracy = float((reference.classes == other[2]).double().mean())
    reference.name = _name(spec, reference, net)
    return reference


def _look(
    net: nets.FeatureNet, part: Part, what: str
) -> Generator[str, None, tuple[Tensor, Tensor, Tensor | None]]:
    """Features, logits and labels of a part."""
    hidden, logits, labels = [], [], []
    for start in range(0, part[1], BATCH):
        raw, classes = _take(part, start, BATCH)
        features, answers = nets.look(net, raw)
        hidden.append(features)
        logits.append(answers)
        if classes is not None:
            labels.append(classes.cpu())
        yield f"{what}: {min(1.0, (start + BATCH) / part[1]):.0%}"
    return torch.cat(hidden), torch.cat(logits), torch.cat(labels) if labels else None


def _name(spec: DataSpec, reference: Reference, net: nets.FeatureNet) -> str:
    """What is said beside every figure: distances of different networks must not be compared."""
    weights = hashlib.sha256()
    for tensor in net.state_dict().values():
        weights.update(tensor.cpu().numpy().tobytes())
    words = f"{spec.name} {'×'.join(str(n) for n in spec.shape)} {reference.kind} network {weights.hexdigest()[:6]}"
    if reference.accuracy is not None:
        words += f", {reference.accuracy:.1%} of held-out images right"
    return words + {"rotation": ", self-supervised", "random": ", untrained: too few images"}.get(reference.kind, "")


def _keep(place: Path, reference: Reference, report: Report) -> None:
    """Write a reference into the cache, whole or not at all."""
    net = {} if reference.net is None else reference.net.state_dict()
    tensors = {f"net.{name}": tensor.cpu().contiguous() for name, tensor in net.items()}
    for name, written_as in TENSORS.items():
        if (tensor := getattr(reference, name)) is not None:
            tensors[written_as] = tensor.contiguous()
    aside = place.with_name(f"{place.name}.part-{os.getpid()}")
    try:
        with _tidied(aside):
            aside.mkdir()
            save_tensors(tensors, aside / "reference.safetensors")
            about = {name: getattr(reference, name) for name in ("name", "kind", "accuracy", "endless")}
            (aside / "about.json").write_text(json.dumps(about), encoding="utf-8")
            shutil.rmtree(place, ignore_errors=True)  # damaged, or it would have been used
            os.rename(aside, place)
    except Exception as error:  # safetensors has errors of its own for a full disk
        if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return  # made meanwhile by another, where there are no locks
        report(Note(level="warning", text=f"{place} could not be kept ({error}); it is made anew the next time"))


@contextmanager
def _tidied(aside: Path) -> Iterator[None]:
    shutil.rmtree(aside, ignore_errors=True)
    try:
        yield
    finally:
        shutil.rmtree(aside, ignore_errors=True)


TENSORS = {"train": "train", "held_out": "held", "shares": "shares", "confidence": "confidence", "classes": "classes"}
"""What they are called in the file."""


def _read(place: Path, spec: DataSpec, device: torch.device) -> Reference | None:
    """A kept reference; None where there is none, or it is damaged."""
    try:
        about = json.loads((place / "about.json").read_text(encoding="utf-8"))
        tensors = load_file(place / "reference.safetensors")
        outputs = len(spec.classes) if about["kind"] == "classifier" else len(nets.TURNS)
        net = nets.feature_net(spec.shape, outputs, SEED)
        net.load_state_dict({name[4:]: tensor for name, tensor in tensors.items() if name.startswith("net.")})
        tensors_by_name: dict[str, Any] = {name: tensors.get(key) for name, key in TENSORS.items()}
        net = net.to(device).eval().requires_grad_(False)
        return Reference(net=net, **about, **tensors_by_name)
    except Exception:  # whatever is wrong with it, it is made anew
        return None


def confident(confidence: Tensor) -> float:
    """The share of images that the classifier is sure about."""
    return float((confidence >= CONFIDENT).double().mean())
