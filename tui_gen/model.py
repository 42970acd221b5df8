"""The public API for writing a model.

A model says *what* is computed: its networks, the phases that train them, a sampler, its hyperparameters. The trainer
owns *how*: optimisers, precision, clipping, EMA, compilation, checkpoints, previews. A file with a `Model` subclass in
`~/.config/tui-gen/models/`, or in a folder given with `--models DIR`, is a full citizen.

What a model can do is found from the methods it has: `sample`, `reconstruct`, `encode`, `decode`, `trajectory`.

A model may be built on another run's model. It declares a hyperparameter that names a run, and takes the model under
the same name:

    class Config(msgspec.Struct):
        first_stage: Annotated[str, hyper("Whose codes are modelled", run=("encode", "decode"))] = "conv-vae"

    def __init__(self, config, data, first_stage):
        super().__init__(config, data)
        self.first_stage = first_stage

The value is a run, or a recipe that is trained first. What comes is that run's model with its averaged weights where
there are any, in evaluation mode (and it stays so), its parameters frozen. As a part of the new model it is in every
checkpoint, so the other run may be deleted.

A batch may be divided among several processes (`train.processes`), which together must do what one would with all of
it. Means over examples are seen to by the trainer, and so are draws that have a row for each example: each process
draws for the whole batch, and keeps the rows of its own. What concerns the batch as a whole says so: `batch_mean` and
`batch_rows` in a loss that compares examples, `pooled` for a metric that is no mean, `drawn` for a draw of which the
examples are another dimension, `alike` around what all processes are to do alike.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, ParamSpec, TypeVar

import msgspec
import torch
from torch import Tensor, nn

from tui_gen.alarms import EVERY, Alarm, Bound
from tui_gen.config import Optim
from tui_gen.params import Problem, hyper
from tui_gen.pictures import UNKNOWN, Tiles
from tui_gen.sharing import alike, batch_mean, batch_rows, batch_size, drawn, own_rows, part, pooled

__all__ = [
    "EVERY", "Alarm", "Batch", "Bound", "DataSpec", "Function", "Given", "Input", "LatentSpace", "Model", "Optim",
    "Phase", "Picture", "Problem", "Text", "Tiles", "Uncompiled", "alike", "batch_mean", "batch_rows", "batch_size",
    "drawn", "hyper", "nonzero", "own_rows", "part", "pooled",
]  # fmt: skip

Loss = tuple[Tensor, dict[str, Tensor]]
P = ParamSpec("P")
R = TypeVar("R")


class DataSpec(msgspec.Struct, frozen=True):
    """What a model is told about its data.

    `kind` is `image`, `points` or `text`; `shape` is that of one example: (channels, height, width), (2,) for points,
    (length + 1,) for text: each character of a window but the first is to be predicted. `classes` names the labels
    (empty where there are none); for text, which has no labels, they are the characters of the vocabulary. `count` is
    the number of training examples, None when they are generated without end. `labelling` is how examples without
    labels may be given some, in words; empty where there is nothing that one could do.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    count: int | None = None
    labelling: str = ""

    @property
    def channels(self) -> int:
        """Image channels: 1 (grey) or 3 (RGB)."""
        return self.shape[0]

    @property
    def size(self) -> int:
        """Image height = width, in pixels."""
        return self.shape[-1]

    @property
    def features(self) -> int:
        """Numbers in one example: C·H·W, 2, or length + 1."""
        total = 1
        for length in self.shape:
            total *= length
        return total


@dataclass
class Batch:
    """One step's data, on the device.

    `x`: (N, *shape) float32, in the model's `value_range`; points are standardised. Text is int64: places of characters
    in `data.classes`.
    `labels`: (N,) int64, or None. `step`: the number of steps made before this one.
    `shared`: phases of the same step may hand tensors on (a generator's fakes to the discriminator).
    Of a micro-batch (`train.accumulate`) or of what one of several processes has, `place` is how many of the step's
    examples come before it, `whole` how many there are; 0 where this is the whole batch.
    """

    x: Tensor
    labels: Tensor | None = None
    step: int = 0
    shared: dict[str, Any] = field(default_factory=dict)
    place: int = 0
    whole: int = 0

    @property
    def total(self) -> int:
        """How many examples the step has in all."""
        return self.whole or len(self.x)


@dataclass
class Phase:
    """One optimiser's part of a training step. Phases run in the order that `Model.phases` gives.

    `loss(batch)` returns the scalar to minimise and named scalar metrics (tensors; detached by the trainer, never
    read back in the step). Only `parameters` get gradients. The phase runs at steps where `step % every() == 0`.
    With `when`, it runs only where `when(step, total)` is true too (`total` is None where a run's length is a time):
    how layers are trained one after the other. Random draws use PyTorch's global generators, which the trainer seeds
    and checkpoints.

    A loss changes nothing but `batch.shared`: validation asks for it too, and it may be compiled. What changes the
    model besides gradients has places of its own, which only training visits, without gradients: `before(batch)` runs
    just before the loss, in the step's precision (data to draw, a copy to keep); `after()` runs after the update
    (weight clipping), and then `finish(batch)`, which finds in `batch.shared` what the loss has left (codebooks,
    memories).

    With `train.accumulate`, `before` and `loss` see micro-batches, all of the former first, and the loss counts as a
    mean over examples. `finish` sees the whole batch, with the rows that the losses left in `shared` joined. With
    many processes it is the same: `before` and `loss` see each process's rows, `finish` all of them, on every process.
    """

    name: str
    loss: Callable[[Batch], Loss]
    parameters: Iterable[nn.Parameter]
    every: Callable[[], int] = lambda: 1
    after: Callable[[], None] | None = None
    when: Callable[[int, int | None], bool] | None = None
    before: Callable[[Batch], None] | None = None
    finish: Callable[[Batch], None] | None = None


@dataclass
class Given:
    """What a model's own panels may be drawn from: validation examples (training ones where there are none).

    `x` (N, *data.shape) in the model's value range, `labels` (N,) or None; pinned `noise` and `noise_labels` as
    `sample` gets them, None where the model does not sample.
    """

    x: Tensor
    labels: Tensor | None
    noise: Tensor | None
    noise_labels: Tensor | None


@dataclass
class Picture:
    """A panel of images: (N, C, H, W) in the model's value range, laid out in `columns` columns.

    `tiles` says which of them belong together and what they are called; without it the grid is shown as it is.
    """

    kind: str
    images: Tensor
    columns: int
    tiles: Tiles = UNKNOWN


@dataclass
class Text:
    """A panel of text: lines that fit a terminal (a confusion matrix, generated text)."""

    kind: str
    text: str


@dataclass(frozen=True)
class LatentSpace:
    """What can be explored of a model: N codes and what they become. `data.shape` is one example.

    `decode`: codes (N, *shape) and labels (N,) or None → (N, *data.shape). `encode`: the other way; None where there is
    none. Where `normal`, codes are distributed as N(0, I), and a draw of it is a code as good as any; else only data
    tell where codes lie. `trajectory`: noise (N, *shape), labels, a number of frames and a guidance → (frames, N,
    *data.shape), noise first; None where samples are made in one go. `guidance`: the one in force (1 is none); None
    where there is nothing to guide.
    """

    shape: tuple[int, ...]
    decode: Callable[[Tensor, Tensor | None], Tensor]
    encode: Callable[[Tensor, Tensor | None], Tensor] | None = None
    normal: bool = True
    trajectory: Callable[[Tensor, Tensor | None, int, float], Tensor] | None = None
    guidance: float | None = None


@dataclass(frozen=True)
class Input:
    """What a `Function` takes: (N, *shape) of any numbers, or of whole ones (int64) from 0 to below `below`."""

    shape: tuple[int, ...]
    below: int = 0


@dataclass(frozen=True)
class Function:
    """What can be taken out of a model and run elsewhere, as `tui-gen export --as onnx` does: a decoder, a step.

    `call` takes its inputs in their order, each (N, *shape), and returns one tensor (N, …), or a tuple of those that
    `outputs` name. It draws nothing at random: noise is an input. `help` says in a line what it is, `facts` are more
    that whoever runs it must know (the times of a sampler, say), as plain data.
    """

    name: str
    call: Callable[..., Tensor | tuple[Tensor, ...]]
    inputs: dict[str, Input]
    outputs: tuple[str, ...]
    help: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


class Model(nn.Module):
    """Base class of every model. `self.config` is the typed `Config`, `self.data` the `DataSpec`.

    Class attributes describe the model for the catalogue; `summary` is one line, `description` Markdown for learners
    (what it is, the loss in formulas, what to watch, what goes wrong; that of a built-in model stands in
    `models/words/NAME.md`), `reference` the paper.
    """

    name: ClassVar[str] = ""
    family: ClassVar[str] = ""
    title: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    description: ClassVar[str] = ""
    reference: ClassVar[str] = ""
    kinds: ClassVar[tuple[str, ...]] = ("image",)
    """The kinds of data it trains on: `image`, `points`, `text`."""
    value_range: str = "unit"
    """The range images come in, and samples go out: `unit` [0, 1] or `signed` [-1, 1]. An attribute of the class or, as
    that of another run's model, of the instance."""
    optimizers: ClassVar[dict[str, Optim]] = {}
    """Phase name → default optimiser settings, in the order of `phases`."""
    phases_when: ClassVar[dict[str, str]] = {}
    """Phase name → the hyperparameter without which it is not trained (`pretrain_steps`, or `network=mlp`): forms show
    the optimisers of the others."""
    habits: ClassVar[tuple[str, ...]] = ()
    """Attributes that say how something is computed: true in new runs, false in those that were begun before there were
    such, whose checkpoints do not have them."""
    examples: int = 0
    """How many training examples `prepare` is to get; it is not called for 0. An attribute or property."""
    higher_is_better: ClassVar[tuple[str, ...]] = (
        "accuracy", "auc", "bits_saved", "elbo", "f1", "gain", "iw_log_likelihood", "log_likelihood",
    )  # fmt: skip
    """The last part of the names of metrics of which more is better; of all others less is. Ranks checkpoints."""
    judged: ClassVar[tuple[str, ...]] = ()
    """The last part of the names of the metrics that tell how good it is, best first: their plots come first."""
    together: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Groups of such last parts whose metrics, of all phases, share a plot: they must be of one unit and size."""
    alarms: ClassVar[tuple[Alarm, ...]] = EVERY
    """What its metrics say when it goes well or badly, and what to do then (see `tui_gen.alarms`). `EVERY` are those of
    any model that minimises its losses; `(*EVERY, Alarm(...))` adds one."""
    compiles: bool | Literal["gpu"] = False
    """Whether `train.compile = "auto"` may try torch.compile on the phases' losses, or may on GPUs only: it is then
    measured whether it pays. An attribute or property."""
    arithmetic: tuple[str, ...] = ()
    """Live numbers that the losses only calculate with, besides asking whether they are `nonzero`. Compiled losses get
    them as scalar float32 tensors, so that an edit of one compiles nothing anew. An attribute or property."""

    class Config(msgspec.Struct):
        """Hyperparameters: `name: Annotated[type, hyper(...)] = default`."""

    def __init__(self, config: msgspec.Struct, data: DataSpec) -> None:
        super().__init__()
        self.config: Any = config
        self.data = data

    @classmethod
    def refuse(cls, config: Any, data: DataSpec, **parts: Model) -> Iterator[Problem]:
        """Every reason why this configuration cannot train on this data; called before the model is built.

        A model that needs others gets them here as it does in `__init__`, by name, untrained perhaps. One is left out
        (so give it the default None) where the other run's model cannot be told yet; `parts` are those that nothing is
        said of here.
        """
        if data.kind not in cls.kinds:
            yield Problem(
                "dataset.name",
                data.name,
                f"{cls.name} trains on {' or '.join(cls.kinds)} data, this is {data.kind} data",
            )

    label_count: int = 0
    """How many labels the networks are told; 0 for none."""

    @property
    def conditional(self) -> bool:
        """Whether samples are asked for with labels."""
        return self.label_count > 0

    @property
    def told_labels(self) -> bool:
        """Whether training depends on labels: the networks are told them, or (having no ability) are to name them."""
        return self.conditional or not self.abilities()

    noise_shape: tuple[int, ...] = ()
    """Shape of one sample's starting noise (standard normal), without the batch dimension; an attribute or property."""

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of what `encode` gives and `decode` takes, without the batch dimension: that of the noise, mostly."""
        return self.noise_shape

    def latent_space(self) -> LatentSpace | None:
        """What can be explored of it: codes where it decodes some, else the noise of its samples; None for neither.

        Override it where codes mean something else, or where sampling has a knob that `trajectory` should turn.
        """
        able = self.abilities()
        if self.data.kind == "text" or not {"decode", "sample"} & set(able):
            return None
        way: Callable[[Tensor, Tensor | None, int, float], Tensor] | None = None
        if "trajectory" in able:
            way = lambda noise, labels, frames, guidance: self.trajectory(noise, labels, frames)  # noqa: E731
        if "decode" not in able:
            return LatentSpace(self.noise_shape, self.sample, trajectory=way)
        normal = "sample" in able and self.latent_shape == self.noise_shape
        return LatentSpace(self.latent_shape, self.decode, getattr(self, "encode", None), normal, way)

    def functions(self) -> list[Function]:
        """What can be taken out of it, the most useful first; by default the decoder and the encoder, or the sampler.

        Override it where a sample is made in many steps: of those a step is what runs elsewhere.
        """
        able, labels = set(self.abilities()), self.label_inputs()
        x, z = Input(self.data.shape), Input(self.latent_shape)
        offered = []
        if "decode" in able:
            offered.append(Function("decoder", self.decode, {"z": z, **labels}, ("x",), "what codes stand for"))
        if "encode" in able:
            offered.append(Function("encoder", self.encode, {"x": x, **labels}, ("z",), "the codes of examples"))
        if able & {"sample", "decode"} == {"sample"}:
            noise = {"noise": Input(self.noise_shape)}
            offered.append(Function("sampler", self.sample, noise | labels, ("x",), "samples from noise"))
        return offered

    def label_inputs(self) -> dict[str, Input]:
        """The input of labels, where the networks are told them."""
        return {"labels": Input((), self.label_count)} if self.conditional else {}

    def prepare(self, batch: Batch) -> None:
        """Measure on training examples, drawn at random, what must be known before the first step (a scale, say).

        Called once, without gradients, with `examples` examples (or all there are); keep what is found in buffers.
        """

    def train(self, mode: bool = True) -> Model:
        """As in PyTorch; but a model within this one, which is another run's, stays in evaluation mode."""
        super().train(mode)
        for child in self.children():
            if isinstance(child, Model):
                child.eval()
        return self

    def phases(self) -> list[Phase]:
        """The phases of a training step, in order. Raises TypeError where a model defines none."""
        raise TypeError(f"{type(self).__name__} must define phases()")

    def vitals(self, batch: Batch) -> dict[str, Tensor]:
        """More numbers that tell how the training goes, on a training batch: name → scalar, `health/NAME` in the log.

        Asked for every `train.health_every` steps, in evaluation mode, without gradients, with a random state of its
        own: nothing that it does may change the model. An alarm may name them (`health/balance`).
        """
        return {}

    def validation(self, batch: Batch) -> dict[str, Tensor]:
        """Metrics of a validation batch: name → scalar, a mean over it. By default: every phase's loss and metrics."""
        metrics: dict[str, Tensor] = {}
        for phase in self.phases():
            loss, others = phase.loss(batch)
            metrics |= {f"{phase.name}/loss": loss} | {f"{phase.name}/{key}": value for key, value in others.items()}
        return metrics

    if TYPE_CHECKING:  # What a model can do is which of these it defines; shapes: N samples, data.shape one example.

        def sample(self, noise: Tensor, labels: Tensor | None) -> Tensor:
            """noise (N, *noise_shape), labels (N,) or None → (N, *data.shape), in the model's value range."""

        def reconstruct(self, x: Tensor, labels: Tensor | None) -> Tensor:
            """x (N, *data.shape) → (N, *data.shape)."""

        def encode(self, x: Tensor, labels: Tensor | None) -> Tensor:
            """x (N, *data.shape) → (N, *latent_shape)."""

        def decode(self, z: Tensor, labels: Tensor | None) -> Tensor:
            """z (N, *latent_shape) → (N, *data.shape)."""

        def trajectory(self, noise: Tensor, labels: Tensor | None, frames: int) -> Tensor:
            """noise (N, *noise_shape) → (frames, N, *data.shape), noise first, sample last."""

        def panels(self, inputs: Given) -> Sequence[Picture | Text]:
            """Whatever else is worth seeing."""

    def abilities(self) -> list[str]:
        """Which of sample, reconstruct, encode, decode, trajectory this model has."""
        return [name for name in ABILITIES if callable(getattr(self, name, None))]

    def parameter_count(self) -> int:
        """Trainable numbers in all networks."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


def nonzero(number: float | Tensor) -> bool:
    """Whether a live number is other than 0. In compiled code a tensor is: zeros stay numbers there (`arithmetic`)."""
    return isinstance(number, Tensor) or bool(number)


class Uncompiled(Generic[P, R]):
    """A decorator that hides a function of a model from the compiler, as `torch.compiler.disable` does.

    That one imports the compiler, a second of work at the start of every run, for what is seldom compiled.
    """

    all: ClassVar[list[Uncompiled[..., Any]]] = []

    def __init__(self, function: Callable[P, R]) -> None:
        self.function = function
        functools.update_wrapper(self, function)
        Uncompiled.all.append(self)
        if "torch._dynamo" in sys.modules:
            self.hide()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def hide(self) -> None:
        """Hide it now, before something is compiled."""
        self.function = torch.compiler.disable(self.function)


def in_range(x: Tensor, source: str, target: str) -> Tensor:
    """Images in one value range (`unit` or `signed`, see `Model.value_range`) as they are in another."""
    if source == target:
        return x
    return 2 * x - 1 if target == "signed" else (x + 1) / 2


ABILITIES = ("sample", "reconstruct", "encode", "decode", "trajectory")


def one_hot(labels: Tensor | None, label_count: int) -> Tensor:
    """(N,) int64 → (N, label_count) float32. Raises ValueError where there are no labels."""
    if labels is None:
        raise ValueError(f"labels of {label_count} classes are needed")
    return torch.nn.functional.one_hot(labels, label_count).float()
