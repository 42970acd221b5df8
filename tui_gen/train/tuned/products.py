"""Linear layers whose products are computed by oneDNN instead of MKL, where those are the faster ones.

Three products belong to a linear layer: what it puts out, and the gradients of its input and of its weights. MKL uses
half of the vector units of AMD's Zen 5 (EPYC 9005) for all three: there oneDNN's are 1.9–2.0 × as fast, alone. On Zen 4
they are no faster, and on Intel's slower. `python -m tests.bench products-vae products-gan` measures it on any machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from tui_gen import tuned
from tui_gen.train.tuned import onednn

PLAIN, ONEDNN = "torch", "onednn"
"""What computes the products of a run: as its checkpoints tell it. Those of runs that began before this was told have
an empty word: `tui_gen.train.tuned.onednn` has what they do."""
WIDE = 26
"""The first family of AMD's processors whose vector units are 512 bits wide: Zen 5. On all of AMD's, MKL computes with
256 bits at a time, which is all that those before have."""
CLEARLY = 1.3
"""oneDNN must be so many times as fast: it is 1.9 times where units are wide, which not all of that family have."""
ROUNDS = 7


class Product(torch.autograd.Function):
    """(N, K) · (K, M) + bias (M,) → (N, M), float32, by oneDNN; so are its gradients, and theirs in turn."""

    generate_vmap_rule = True

    @staticmethod
    def forward(left: Tensor, right: Tensor, bias: Tensor | None) -> Tensor:
        return onednn.product(left, right, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None], output: Tensor) -> None:
        left, right, _ = inputs
        ctx.save_for_backward(left, right)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        (gradient,), (left, right) = gradients, ctx.saved_tensors
        of_left, of_right, of_bias = ctx.needs_input_grad
        return (
            Product.apply(gradient, right.t(), None) if of_left else None,
            Product.apply(left.t(), gradient, None) if of_right else None,
            gradient.sum(0) if of_bias else None,
        )


class OneDNNLinear(nn.Linear):
    """A linear layer that has its products from oneDNN where they are large enough; of what it is given otherwise, it
    makes what nn.Linear does.

    So it does while it is compiled: the compiler of PyTorch 2.15 loses, without a word, the gradients of gradients of
    an operation with a backward pass of its own. In what it made, gradients and all, the products are exchanged
    (`onednn.options`).
    """

    def forward(self, input: Tensor) -> Tensor:
        """(…, in_features) → (…, out_features)."""
        if (
            input.numel() * self.out_features < onednn.WORTH
            or input.dtype is not torch.float32
            or input.device.type != "cpu"
            or torch.is_autocast_enabled("cpu")
            or torch.compiler.is_compiling()
            or forward_ad._current_level >= 0
        ):
            return super().forward(input)
        if input.dim() == 2:
            return Product.apply(input, self.weight.t(), self.bias)
        return Product.apply(input.flatten(0, -2), self.weight.t(), self.bias).unflatten(0, input.shape[:-1])

    def _get_name(self) -> str:
        return "Linear"


def choose(model: nn.Module, rows: int, device: torch.device, precision: torch.dtype) -> tuple[str, float]:
    """What a new run's products are to be computed by, and how many times as fast oneDNN was, 0 where not measured.

    `rows` is how many rows a layer is given in a step. Draws no random numbers.
    """
    large = [layer.weight for layer in _layers(model) if rows * layer.weight.numel() >= onednn.WORTH]
    if not large or device.type != "cpu" or precision is not torch.float32 or not tuned.on() or not wide():
        return PLAIN, 0.0
    gain = measured(rows, max(large, key=torch.numel)) if onednn.works() else 0.0
    return (ONEDNN if gain >= CLEARLY else PLAIN), gain


def wide() -> bool:
    """Whether this is a processor on which MKL may use half of the vector units."""
    family = onednn.amd_family()
    return family is not None and family >= WIDE and torch.backends.cpu.get_cpu_capability() == "AVX512"


def measured(rows: int, weight: Tensor) -> float:
    """How many times as fast as PyTorch's own oneDNN's three products of a layer, `weight` (M, K), are for so many
    rows.

    On one thread, by the time that it has a core: other processes make no difference.
    """
    outputs, inputs = weight.shape
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        weights = [weight.detach().clone() for _ in range(4)]  # in a step, too, they come from far away
        x, gradient = (torch.linspace(-1, 1, rows * width).view(rows, width) for width in (inputs, outputs))

        def seconds(product: Callable[[Tensor, Tensor, Tensor | None], Tensor]) -> float:
            start = time.thread_time()
            for its in weights:
                product(x, its.t(), None)
                product(gradient, its, None)
                product(gradient.t(), x, None)
            return time.thread_time() - start

        times = [(seconds(_by_torch), seconds(onednn.product)) for _ in range(ROUNDS)]
    torch.set_num_threads(threads)
    plain, fast = (min(side) for side in zip(*times, strict=True))
    return plain / fast


def use(model: nn.Module, by: str) -> bool:
    """Have a model's linear layers compute their products so; those of kinds of their own stay as they are.

    False where oneDNN is not available.
    """
    if by == ONEDNN and onednn.works():
        for layer in _layers(model):
            layer.__class__ = OneDNNLinear
    return by != ONEDNN or onednn.works()


def of(model: nn.Module) -> str:
    """What computes a model's products."""
    return ONEDNN if any(isinstance(module, OneDNNLinear) for module in model.modules()) else PLAIN


def _layers(model: nn.Module) -> list[nn.Linear]:
    """The plain linear layers in a model. Those that are parametrised, or somebody's own, are of another class."""
    return [module for module in model.modules() if type(module) is nn.Linear]


def _by_torch(left: Tensor, right: Tensor, bias: Tensor | None) -> Tensor:
    return left @ right
