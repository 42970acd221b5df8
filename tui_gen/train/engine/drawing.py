"""Random numbers of a part of a batch: drawn for the whole batch, of which the rows of the part are taken.

Every process does so from generators in the same state, so that what an example gets does not depend on how many
processes there are, and the generators go on alike. One process with the whole batch draws as PyTorch does, and never
comes here.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from tui_gen.sharing import BatchPart, part
from tui_gen.train.engine import batch_norm
from tui_gen.train.engine.building import ours
from tui_gen.train.engine.devices import random_state_kept

Way = Callable[[BatchPart, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


class WholeDraws(TorchFunctionMode):
    """While it is active, what PyTorch's functions draw for the examples of a part is drawn for the whole batch.

    Such a draw is recognised by its shape: its first dimension where that is as long as the part has examples, or a
    multiple of it (several rows one after the other for all examples, as `torch.cat` puts them), else the first other
    that is as long. A draw of another shape is one for all, and the same on all processes. Functions that draw inside
    (attention and LSTMs with dropout) or until something fits (Gamma, Poisson) draw for each part by itself. Batch
    normalisation is of the whole batch.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        way = WAYS.get(func)
        now = part() if way is not None else None
        if way is None or now is None:
            return func(*args, **(kwargs or {}))
        return way(now, func, args, kwargs or {})


def _along(now: BatchPart, shape: tuple[int, ...]) -> int | None:
    """Which dimension of a draw is that of the examples; -1 for rows one after the other, None for none."""
    if now.count == now.total:
        return None
    if now.count > 1 and shape and shape[0] > now.count and shape[0] % now.count == 0:
        return -1
    return next((dim for dim, length in enumerate(shape) if length == now.count), None)


def _lengthened(now: BatchPart, shape: tuple[int, ...], dim: int) -> tuple[int, ...]:
    if dim == -1:
        return (shape[0] // now.count * now.total, *shape[1:])
    return (*shape[:dim], now.total, *shape[dim + 1 :])


def _taken(now: BatchPart, whole: Tensor, dim: int) -> Tensor:
    if dim >= 0:
        return whole.narrow(dim, now.place, now.count)
    blocks = whole.unflatten(0, (-1, now.total)).narrow(1, now.place, now.count)
    return blocks.flatten(0, 1)


def _put(now: BatchPart, x: Tensor, dim: int) -> Tensor:
    """x where it belongs in the whole batch, with ones for the other examples, in the same order in memory."""
    after = now.total - now.place - now.count
    if dim == -1:
        blocks = x.unflatten(0, (-1, now.count))
        return F.pad(blocks, [0, 0] * (blocks.dim() - 2) + [now.place, after], value=1).flatten(0, 1)
    order = _order(x)
    row = order.index(dim)
    whole = F.pad(x.permute(order), [0, 0] * (x.dim() - 1 - row) + [now.place, after], value=1)
    return whole.permute([order.index(place) for place in range(x.dim())])


def _order(x: Tensor) -> list[int]:
    """The dimensions as they lie in memory, the slowest first: numbers are drawn in that order."""
    strides = x.stride()
    return list(range(x.dim())) if 0 in strides else sorted(range(x.dim()), key=strides.__getitem__, reverse=True)


def _by_size(first: int) -> Way:
    """A function that draws numbers of a size, which is its argument number `first` or all of those from there on."""

    def way(now: BatchPart, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        spread = False
        if "size" in kwargs:
            size = kwargs["size"]
        elif first < len(args):
            spread = isinstance(args[first], int)
            size = args[first:] if spread else args[first]
        else:
            return func(*args, **kwargs)
        shape = (size,) if isinstance(size, int) else tuple(size)
        dim = _along(now, shape)
        if dim is None or kwargs.get("out") is not None:
            return func(*args, **kwargs)
        longer = _lengthened(now, shape, dim)
        kwargs = dict(kwargs)
        needs_gradient = kwargs.pop("requires_grad", False)
        if "size" in kwargs:
            kwargs["size"] = longer
        else:
            args = (*args[:first], longer) if spread else (*args[:first], longer, *args[first + 1 :])
        return _taken(now, func(*args, **kwargs), dim).requires_grad_(needs_gradient)

    return way


def _randint(now: BatchPart, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`randint(high, size)` or `randint(low, high, size)`."""
    bounds = sum(isinstance(value, int) for value in args[:2])
    return _by_size(bounds)(now, func, args, kwargs)


def _normal(now: BatchPart, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`normal(mean, std, size)` of numbers, or of tensors whose shape it takes."""
    tensor_args = [value for value in (*args[:2], *kwargs.values()) if isinstance(value, Tensor)]
    return _padded(now, func, args, kwargs) if tensor_args else _by_size(2)(now, func, args, kwargs)


def _like(now: BatchPart, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`rand_like` and the like: of the shape, and in the order in memory, of their first argument."""
    x = args[0] if args else kwargs["input"]
    dim = _along(now, tuple(x.shape))
    if dim is None:
        return func(*args, **kwargs)
    if not kwargs and dim == 0 and x.dim() == 2 and x.is_contiguous() and (fresh := _FRESH.get(func)) is not None:
        return _taken(now, fresh(now.total, x.shape[1], dtype=x.dtype, device=x.device), 0)  # as most draws are
    rest = {key: value for key, value in kwargs.items() if key not in ("input", "requires_grad")}
    whole = func(_empty(now, x, dim), *args[1:], **rest)
    return _taken(now, whole, dim).requires_grad_(kwargs.get("requires_grad", False))


def _empty(now: BatchPart, x: Tensor, dim: int) -> Tensor:
    order, shape = _order(x), _lengthened(now, tuple(x.shape), dim)
    whole = torch.empty([shape[place] for place in order], dtype=x.dtype, device=x.device)
    return whole.permute([order.index(place) for place in range(x.dim())])


def _in_place(now: BatchPart, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`Tensor.normal_` and the like."""
    x = args[0]
    dim = _along(now, tuple(x.shape))
    if dim is None:
        return func(*args, **kwargs)
    others = [_put(now, value, dim) if _alike(value, x) else value for value in args[1:]]
    with torch.no_grad():
        x.copy_(_taken(now, func(_empty(now, x.detach(), dim), *others, **kwargs), dim))
    return x


def _padded(now: BatchPart, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A function that draws for each number or row of the tensors that it is given, which all have one length: it gets
    the whole batch, ones for the other examples."""
    x = next(value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
    dim = _along(now, tuple(x.shape))
    if dim is None:
        return func(*args, **kwargs)
    args = tuple(_put(now, value, dim) if _alike(value, x) else value for value in args)
    keywords = {key: _put(now, value, dim) if _alike(value, x) else value for key, value in kwargs.items()}
    return _taken(now, func(*args, **keywords), dim)


def _alike(value: Any, x: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == x.shape


def _dropout(now: BatchPart, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Dropout of any kind, where it is on; what is to be done in place is done in a copy."""
    training = kwargs["training"] if "training" in kwargs else args[2] if len(args) > 2 else True
    if not training:
        return func(*args, **kwargs)
    return _padded(now, func, args[:3], {key: value for key, value in kwargs.items() if key != "inplace"})


def _by_itself(now: BatchPart, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A function that may draw somewhere inside: from a seed of the part's own, which all draw."""
    x = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)
    seed = int(torch.randint(1 << 62, ()))
    device = torch.device("cpu") if x is None else x.device
    with random_state_kept(device, seed + now.place):
        return func(*args, **kwargs)


def _attention(now: BatchPart, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    rate = kwargs.get("dropout_p", args[4] if len(args) > 4 else 0.0)
    return _by_itself(now, func, args, kwargs) if rate else func(*args, **kwargs)


def _heads(now: BatchPart, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`F.multi_head_attention_forward`: its tenth argument is the rate, its thirteenth whether it is trained."""
    rate = kwargs.get("dropout_p", args[10] if len(args) > 10 else 0.0)
    training = kwargs.get("training", args[13] if len(args) > 13 else True)
    return _by_itself(now, func, args, kwargs) if rate and training else func(*args, **kwargs)


def _recurrent(now: BatchPart, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """LSTMs and their like, of padded sequences: dropout between layers is their sixth argument, trained the next."""
    rate, training = (args[5], args[6]) if len(args) > 6 else (0.0, False)
    return _by_itself(now, func, args, kwargs) if rate and training else func(*args, **kwargs)


_SIZED = (torch.rand, torch.randn)
_ALIKE = (torch.rand_like, torch.randn_like, torch.randint_like)
_FRESH: dict[Callable[..., Any], Callable[..., Tensor]] = {torch.rand_like: torch.rand, torch.randn_like: torch.randn}
"""What draws the same numbers by a size, and has less to do."""
_FILLS = (
    "bernoulli_", "cauchy_", "exponential_", "geometric_", "log_normal_", "normal_", "random_", "uniform_",
)  # fmt: skip
_ROWS = (
    torch.bernoulli, torch.Tensor.bernoulli, torch.multinomial, torch.Tensor.multinomial, F.gumbel_softmax, F.rrelu,
    torch.rrelu,
)  # fmt: skip
_UNTIL_ACCEPTED = (torch.poisson, torch.binomial, torch._standard_gamma, torch._sample_dirichlet)
_DROPOUTS = (
    F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout, torch.dropout,
    torch.feature_dropout, torch.alpha_dropout, torch.feature_alpha_dropout,
)  # fmt: skip
_RECURRENT = (torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu)

WAYS: dict[Callable[..., Any], Way] = {
    **dict.fromkeys(_SIZED, _by_size(0)),
    torch.randint: _randint,
    torch.normal: _normal,
    **dict.fromkeys(_ALIKE, _like),
    **{getattr(torch.Tensor, name): _in_place for name in _FILLS},
    **dict.fromkeys(_ROWS, _padded),
    **dict.fromkeys(_DROPOUTS, _dropout),
    **dict.fromkeys(_UNTIL_ACCEPTED, _by_itself),  # how many numbers they draw depends on what they are given
    F.scaled_dot_product_attention: _attention,
    F.multi_head_attention_forward: _heads,
    **dict.fromkeys(_RECURRENT, _recurrent),
    F.batch_norm: batch_norm.of_whole_batch,
}
"""What is done instead, by PyTorch's function."""

SPACES: tuple[Any, ...] = (torch, F, torch._VF)
"""Where code finds these functions by name. Methods of tensors (`x.normal_()`) are not among them."""


class NamedDraws:
    """What `WholeDraws` does, for code that calls PyTorch's functions as `torch.randn` and `F.dropout`.

    These names mean other functions while it is active, in the thread that began it; a step in which little is drawn
    costs little, where a mode of PyTorch's is asked for each of its functions. What `stays` leaves them there, where
    they do what they always did: to exchange them twice takes a small step some per cent of its time. Not where
    anything is compiled.
    """

    _there: NamedDraws | None = None
    """Whose functions the names mean now."""

    def __init__(self, stays: bool = False) -> None:
        self.stays = stays
        self._within = False
        self._thread = 0
        self._instead = [{name: self._whole(func) for name, func in some.items()} for some in _NAMED]

    def __enter__(self) -> None:
        self._thread = threading.get_ident()
        if NamedDraws._there is not self:
            NamedDraws._there = self
            self._put(self._instead)

    def __exit__(self, *error: object) -> None:
        self._thread = 0
        if not self.stays:
            NamedDraws._there = None
            self._put(_NAMED)

    def _put(self, functions: list[dict[str, Any]]) -> None:
        for space, some in zip(SPACES, functions):
            vars(space).update(some)

    def _whole(self, func: Callable[..., Any]) -> Callable[..., Any]:
        way = WAYS[func]

        @functools.wraps(func)
        def drawn_whole(*args: Any, **kwargs: Any) -> Any:
            now = part()
            if now is None or self._within or threading.get_ident() != self._thread:
                return func(*args, **kwargs)
            self._within = True  # what these functions call themselves is a part of what they draw
            try:
                return way(now, func, args, kwargs)
            finally:
                self._within = False

        return drawn_whole


def _named() -> list[str]:
    return sorted({name for func in WAYS if isinstance(name := getattr(func, "__name__", None), str)})


def _way(func: Any) -> bool:
    try:
        return func in WAYS
    except TypeError:  # not hashable: none of them
        return False


_NAMED: list[dict[str, Any]] = [
    {name: found for name in _named() if callable(found := getattr(space, name, None)) and _way(found)}
    for space in SPACES
]
"""PyTorch's own, by space and name."""


def of_model(model: nn.Module, stays: bool = False) -> AbstractContextManager[None]:
    """What draws for whole batches in a model: by names, which may stay, where all of it is known to, else in whatever
    way it does."""
    draws: Any = NamedDraws(stays) if ours(model) else WholeDraws()
    return draws
