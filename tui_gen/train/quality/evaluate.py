"""All figures of one model's samples, in slices short enough to fit between two training steps.

The training it may interrupt is not touched: every slice seeds PyTorch's global generators for itself and puts them
back, and the model is in evaluation mode only while it samples.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tui_gen.model import Model
from tui_gen.quality import ENOUGH, Figure, Report
from tui_gen.train.data import Data, denormalise, keyed_random
from tui_gen.train.data import Report as Tell
from tui_gen.train.engine.devices import evaluating
from tui_gen.train.quality import distances, nets
from tui_gen.train.quality.reference import WAITING, QualityError, Reference, confident, prepared
from tui_gen.train.shown.noise import noise_and_labels

DRAW_BATCH = 64, 256
"""Samples drawn in one slice on the CPU, and on other devices."""
BLOCK = 3000
"""Most examples of a set whose neighbourhoods are compared at once."""
BLOCKS = 4
"""Most blocks that precision, recall, density and coverage are means over."""
FEWEST_SAMPLES = 50


class SampleBatch(NamedTuple):
    """Samples that are to be drawn at once: from noise (N, *noise_shape) and labels (N,) on the CPU, with a seed."""

    noise: Tensor
    labels: Tensor | None
    seed: int


class Sampler:
    """Draws samples, `width` batches at a time; others than this one have other processes draw them as well."""

    width = 1

    def begin(self, model: Model) -> None:
        """A measurement begins, of the weights that the model has now."""

    def draw(self, model: Model, device: torch.device, batches: Sequence[SampleBatch]) -> list[Tensor]:
        """Samples (N, *shape) of each batch, at most `width` of them."""
        return [sampled(model, device, batch) for batch in batches]


def sampled(model: Model, device: torch.device, batch: SampleBatch) -> Tensor:
    """Samples of a batch, (N, *shape) on the device. PyTorch's random state is put back as it was."""
    labels = None if batch.labels is None else batch.labels.to(device)
    with evaluating(model, device, batch.seed):
        return model.sample(batch.noise.to(device), labels)


def refuse(model: Model, data: Data) -> None:
    """Raise QualityError where no figures can be made, with the reason."""
    if data.spec.kind == "text":
        raise QualityError(f"{model.name} writes text: its figure is bits per character, which is in the losses")
    if not hasattr(model, "sample"):
        abilities = " and ".join(f"can {name}" for name in model.abilities()) or "names classes"
        raise QualityError(
            f"{model.name} makes no samples (it {abilities}), so there is nothing to hold against real data; "
            "its validation metrics are its figures"
        )


def measure(
    model: Model,
    data: Data,
    device: torch.device,
    *,
    step: int,
    samples: int,
    seed: int,
    tell: Tell = lambda event: None,
    sampler: Sampler | None = None,
) -> Generator[str, None, Report]:
    """Measure `samples` samples: yields words on what it does after every slice, returns a `Report`.

    `reference.WAITING` is yielded while another process prepares the reference. Raises QualityError.
    """
    seconds = [0.0]
    report = yield from _timed(_measure(model, data, device, step, samples, seed, tell, sampler or Sampler()), seconds)
    report.seconds = round(seconds[0], 2)
    return report


def _timed(work: Generator[str, None, Report], seconds: list[float]) -> Generator[str, None, Report]:
    """The same work; `seconds[0]` counts the seconds in it, without those between its slices."""
    while True:
        start = time.perf_counter()
        try:
            words = next(work)
        except StopIteration as stop:
            report: Report = stop.value
            return report
        finally:
            seconds[0] += time.perf_counter() - start
        yield words


def _measure(
    model: Model, data: Data, where: torch.device, step: int, samples: int, seed: int, tell: Tell, sampler: Sampler
) -> Generator[str, None, Report]:
    refuse(model, data)
    reference = yield from prepared(data, where, tell)
    features, probabilities, labels = yield from _draw(model, data, reference, where, samples, seed, sampler)
    figures: list[Figure] = []
    for figure in _figures(reference, features, probabilities, labels, seed):
        if figure is not None:
            figures.append(figure)
        yield "comparing samples with real data"
    real = len(reference.held_out)
    notes = [] if real else ["nothing is held out (dataset.validation = 0), so no real data to compare"]
    return Report(step, samples, len(reference.train), real, reference.name, figures, notes=notes)


def finish(work: Generator[str, None, Report], say: Callable[[str], None] = lambda words: None) -> Report:
    """Do all slices at once; `say` hears what is done."""
    while True:
        try:
            words = next(work)
        except StopIteration as stop:
            report: Report = stop.value
            return report
        if words == WAITING:
            say("waiting for another process that prepares the same reference")
            time.sleep(0.1)
        else:
            say(words)


def _draw(
    model: Model, data: Data, reference: Reference, device: torch.device, samples: int, seed: int, sampler: Sampler
) -> Generator[str, None, tuple[Tensor, Tensor | None, Tensor | None]]:
    """Features (N, D), class probabilities (N, C) or None, and the labels asked for (N,) or None."""
    each = DRAW_BATCH[device.type != "cpu"]
    features, answers, label_parts = [], [], []
    generator = keyed_random.generator(seed, "quality")
    all_labels = None
    if model.conditional:
        all_labels = _as_in_the_data(reference, data, samples, generator)
    starts = range(0, samples, each)
    for place in range(0, len(starts), sampler.width):
        batches = []
        for start in starts[place : place + sampler.width]:
            count = min(each, samples - start)
            noise, labels = noise_and_labels(model, len(data.spec.classes), count, generator)
            labels = None if all_labels is None else all_labels[start : start + count]
            batches.append(SampleBatch(noise, labels, keyed_random.key(seed, "quality", start) & 0x7FFFFFFF))
        for batch, out in zip(batches, sampler.draw(model, device, batches), strict=True):
            if reference.net is None:
                features.append(out.float().cpu())
            else:
                hidden, logits = nets.look(reference.net, denormalise(out, model.value_range))
                features.append(hidden)
                answers.append(logits.softmax(1))
            if batch.labels is not None:
                label_parts.append(batch.labels)
        yield f"sampling: {min(samples, (place + len(batches)) * each):,} of {samples:,}"
    return torch.cat(features), torch.cat(answers) if answers else None, torch.cat(label_parts) if label_parts else None


def _as_in_the_data(reference: Reference, data: Data, samples: int, generator: torch.Generator) -> Tensor:
    """Labels (N,) in the proportions of the training data, in random order."""
    shares = reference.shares
    if shares is None:
        shares = torch.full((max(1, len(data.spec.classes)),), 1.0, dtype=torch.float64)
    return torch.multinomial(shares, samples, replacement=True, generator=generator)


def _figures(
    reference: Reference, raw: Tensor, probabilities: Tensor | None, labels: Tensor | None, seed: int
) -> Iterator[Figure | None]:
    """Every figure that can be made, one a slice; None after a slice that makes none yet."""
    finite = torch.isfinite(raw).all(1)
    if not finite.all():
        raw, probabilities = raw[finite], None if probabilities is None else probabilities[finite]
        labels = None if labels is None else labels[finite]
        if len(raw) < 2:
            raise QualityError("nearly every sample is NaN or infinite")
    generator = torch.Generator().manual_seed(seed)
    samples, train, held_out = (
        features[torch.randperm(len(features), generator=generator)]
        for features in (reference.scaled(raw), reference.scaled(reference.train), reference.scaled(reference.held_out))
    )
    if reference.net is None:
        yield _mmd(samples, train, held_out)
        yield Figure(
            "sliced_wasserstein",
            distances.sliced_wasserstein(samples, train),
            distances.sliced_wasserstein(held_out[: len(samples)], train) if len(held_out) else None,
        )
    else:
        yield _frechet(samples, train, held_out)
        yield _kernel(samples, train, held_out, "kid", distances.polynomial)
    yield from _neighbourhoods(samples, train, held_out)
    yield from _classes(reference, raw, probabilities, labels)
    real = distances.spread(held_out[:BLOCK]) if len(held_out) else None
    yield Figure("diversity", distances.spread(samples[:BLOCK]), real)
    if len(held_out) and not reference.endless:
        near: list[list[Tensor]] = [[], []]
        for distance_parts, whose in zip(near, (samples, held_out)):
            for part in whose[:BLOCK].split(distances.ROWS):
                distance_parts.append(distances.nearest(part, train))
                yield None
        yield Figure("memorisation", distances.nearer(*(torch.cat(distance_parts) for distance_parts in near)), 0.5)


def _few(count: int, whose: str) -> str:
    return "" if count >= ENOUGH else f"from {count:,} {whose}; below {ENOUGH:,} it is biased upwards"


def _frechet(samples: Tensor, train: Tensor, held_out: Tensor) -> Figure:
    real = distances.moments(train)
    other = held_out[: len(samples)]
    return Figure(
        "fid",
        distances.frechet(distances.moments(samples), real),
        distances.frechet(distances.moments(other), real) if len(other) > 1 else None,
        doubt=_few(len(samples), "samples"),
        real_doubt=_few(len(other), "held-out images") if len(other) > 1 else "",
    )


def _kernel(samples: Tensor, train: Tensor, held_out: Tensor, name: str, kernel: distances.Kernel) -> Figure:
    most = 500  # examples of a block: it costs their square, and its scatter falls with them
    value, error = distances.discrepancy(samples, train, kernel, most=most)
    real, real_error = None, None
    if len(held_out):
        real, real_error = distances.discrepancy(held_out[: len(samples)], train, kernel, most=most)
    return Figure(name, value, real, error, real_error)


def _mmd(samples: Tensor, train: Tensor, held_out: Tensor) -> Figure:
    width = float(distances.squared_distances(train[:500], train[:500]).sqrt().median())
    return _kernel(samples, train, held_out, "mmd", lambda x, y: distances.gaussians(x, y, width))


def _neighbourhoods(samples: Tensor, train: Tensor, held_out: Tensor) -> Iterator[Figure | None]:
    """Precision, recall, density, coverage: of samples and of held-out data against as many training examples each.

    Both are means over blocks of one size, since coverage and recall depend on how many there are.
    """
    each = min(len(samples), len(train), BLOCK, *([len(held_out)] if len(held_out) else []))
    doubt = "" if each >= FEWEST_SAMPLES else f"from sets of {each}"
    blocks = min(BLOCKS, len(samples) // each, len(train) // each)
    of_samples: list[dict[str, float]] = []
    real: list[dict[str, float]] = []
    for block in range(blocks):
        part = slice(block * each, (block + 1) * each)
        of_samples.append(distances.neighbourhoods(train[part], samples[part]))
        yield None
        if len(held_out):
            real.append(distances.neighbourhoods(train[part], held_out[:each]))
            yield None
    for name in ("precision", "recall", "density", "coverage"):
        values = [turn[name] for turn in of_samples]
        beside = sum(turn[name] for turn in real) / len(real) if real else None
        yield Figure(name, sum(values) / len(values), beside, doubt=doubt, real_doubt=doubt if real else "")


def _classes(
    reference: Reference, raw: Tensor, probabilities: Tensor | None, labels: Tensor | None
) -> Iterator[Figure]:
    """How sure the classifier is, and how many samples are of each class."""
    if reference.shares is None:
        return
    class_count = len(reference.shares)
    real_classes = None
    if reference.net is not None:
        if reference.kind != "classifier" or probabilities is None:
            return
        confidence, predictions = probabilities.max(1)
        sure = None if reference.confidence is None else confident(reference.confidence)
        yield Figure("confident", confident(confidence), sure)
        real_classes = reference.classes
    elif reference.train_classes is None:
        return
    else:  # a point is of the class of the nearest real one
        predictions = _nearest_classes(raw, reference.train, reference.train_classes)
        real = reference.held_out[:ENOUGH]
        real_classes = _nearest_classes(real, reference.train, reference.train_classes) if len(real) else None
    shares = torch.bincount(predictions, minlength=class_count).double() / len(predictions)
    real_shares = None
    if real_classes is not None:
        real_shares = torch.bincount(real_classes, minlength=class_count).double() / len(real_classes)
    yield Figure("smallest_class", float(shares.min()), None if real_shares is None else float(real_shares.min()))
    yield Figure(
        "class_kl",
        distances.class_divergence(shares, reference.shares),
        None if real_shares is None else distances.class_divergence(real_shares, reference.shares),
    )
    if labels is not None:
        yield Figure("label_accuracy", float((predictions == labels).double().mean()), reference.accuracy)


def _nearest_classes(points: Tensor, train: Tensor, classes: Tensor) -> Tensor:
    places = [
        distances.squared_distances(part, train).argmin(1) for part in points.split(distances.ROWS)
    ]
    return classes[torch.cat(places)]
