"""oneDNN's matrix product, and a pass of the compiler that puts it in the place of MKL's.

What is not compiled has layers that ask for it: `tui_gen.train.tuned.products`, which decides as well. Runs that began
before it did were given it on all of AMD's processors with AVX-512, but for products whose left factor is transposed
(gradients of weights).
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from tui_gen import tuned

WORTH = 8_000_000
"""Multiplications in a product from which on the difference is more than calling another library costs."""

_library = torch.library.Library("tui_gen", "DEF")
_library.define("product(Tensor left, Tensor right, Tensor? bias) -> Tensor")


def product(left: Tensor, right: Tensor, bias: Tensor | None) -> Tensor:
    """left (N, K) · right (K, M) + bias (M,) → (N, M), float32, by oneDNN."""
    return torch.ops.mkldnn._linear_pointwise(left, right.t(), bias, "none", [], "")


_library.impl("product", product, "CPU")


@torch.library.register_fake("tui_gen::product", lib=_library)
def _shape(left: Tensor, right: Tensor, bias: Tensor | None) -> Tensor:
    return left.new_empty(left.shape[0], right.shape[1])


def amd_family() -> int | None:
    """The family of the processor here where it is one of AMD's, and the system tells."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return None
    family = re.search(r"^cpu family\s*:\s*(\d+)", text, re.MULTILINE)
    return int(family[1] if family else 0) if "AuthenticAMD" in text else None


@functools.cache
def faster() -> bool:
    """Whether this is a machine whose runs were given oneDNN's products before they were measured. By its kind:
    a run must be resumed with the products that it began with."""
    return amd_family() is not None and torch.backends.cpu.get_cpu_capability() == "AVX512" and works()


@functools.cache
def works() -> bool:
    """Whether oneDNN's product is to be had here, and is one: tried once on a few numbers. What is called is no public
    part of PyTorch. Draws no random numbers."""
    left, right, bias = torch.arange(12.0).view(4, 3), torch.arange(6.0).view(3, 2), torch.ones(2)
    try:
        return torch.backends.mkldnn.is_available() and torch.equal(product(left, right, bias), left @ right + bias)
    except Exception:  # whatever a changed signature leads to
        return False


def options(device: torch.device, by_kind: bool = False) -> dict[str, Any] | None:
    """Options for torch.compile on a device that exchange the products; `by_kind` as in runs that began with it so."""
    if device.type != "cpu" or not tuned.on() or not (faster() if by_kind else works()):
        return None
    from torch._inductor import config

    return {"post_grad_custom_post_pass": _pass(not by_kind)} if hasattr(config, "post_grad_custom_post_pass") else None


def replace(graph: fx.Graph, transposed: bool = False) -> int:
    """Exchange the products in a graph that are worth it, those of a `transposed` left factor as well; how many."""
    count = 0
    for node in list(graph.nodes):
        if node.target is torch.ops.aten.addmm.default:
            bias, left, right = node.args
        elif node.target is torch.ops.aten.mm.default:
            bias, (left, right) = None, node.args
        else:
            continue
        if node.kwargs or not _fits(bias, left.meta["val"], right.meta["val"], transposed):
            continue
        with graph.inserting_before(node):
            new = graph.call_function(torch.ops.tui_gen.product.default, (left, right, bias))
        new.meta = node.meta.copy()
        node.replace_all_uses_with(new)
        graph.erase_node(node)
        count += 1
    return count


def _fits(bias: fx.Node | None, left: Tensor, right: Tensor, transposed: bool) -> bool:
    return (
        left.dtype is torch.float32
        and left.device.type == "cpu"
        and (left.stride(1) == 1 or (transposed and left.stride(0) == 1))
        and left.shape[0] * left.shape[1] * right.shape[1] >= WORTH
        and (bias is None or bias.meta["val"].shape == right.shape[1:])
    )


@functools.cache
def _pass(transposed: bool) -> Any:
    from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files

    class Products(CustomGraphPass):
        def __call__(self, graph: fx.Graph) -> None:
            replace(graph, transposed)

        def uuid(self) -> Any:
            """Part of the name under which compiled code is kept."""
            return get_hash_for_files((__file__,), f"{WORTH} {transposed}")

    return Products()
