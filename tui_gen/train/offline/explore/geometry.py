"""Ways and planes among codes, as plain arithmetic: a code is a vector (D,), float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

Interval = tuple[float, float]


def lerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """The straight way from a to b (D,) at t (N,): (N, D)."""
    return a + t[:, None] * (b - a)


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """The way from a to b (D,) at t (N,) along the arc between their directions: (N, D).

    sin((1 − t) Ω) / sin Ω · a + sin(t Ω) / sin Ω · b, with Ω the angle between them (Shoemake 1985). In many dimensions
    normal draws lie near a sphere, and the straight way between two of them leads through its empty inside. Where the
    directions are the same, opposite, or none, no arc is told apart from the others: the straight way is taken.
    """
    lengths = a.norm() * b.norm()
    if not lengths > 0:
        return lerp(a, b, t)
    cosine = (a.double() @ b.double() / lengths.double()).clamp(-1, 1)
    angle = cosine.arccos()
    sine = angle.sin()
    if sine < 1e-4:
        return lerp(a, b, t)
    first, second = ((1 - t.double()) * angle).sin() / sine, (t.double() * angle).sin() / sine
    return (first[:, None] * a.double() + second[:, None] * b.double()).to(a.dtype)


def walk(pins: Sequence[Tensor], frames: int, way: str) -> Tensor:
    """From each pin (D,) to the next by `slerp` or `lerp`, so many frames from one to the next: (N, D), pins included.

    N = frames · (pins − 1) + 1; of one pin it is the pin.
    """
    between = {"slerp": slerp, "lerp": lerp}[way]
    t = torch.arange(frames) / frames
    parts = [between(a, b, t) for a, b in pairwise(pins)]
    return torch.cat([*parts, pins[-1][None]])


@dataclass(frozen=True)
class Components:
    """The principal axes of codes: `mean` (D,), `directions` (K, D) of unit length, `deviations` (K,) along them."""

    mean: Tensor
    directions: Tensor
    deviations: Tensor

    @classmethod
    def of(cls, codes: Tensor, most: int = 32) -> Components:
        """Of codes (N, D), the directions of greatest variance first; at most as many as they have.

        The sign of each is that which makes its largest entry positive, so that it does not flip with the next weights.
        """
        codes = codes.double().nan_to_num(0.0, 0.0, 0.0)
        mean = codes.mean(0)
        _, values, directions = torch.linalg.svd(codes - mean, full_matrices=False)
        directions, values = directions[:most], values[:most]
        largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
        directions = directions * torch.where(largest < 0, -1.0, 1.0)
        deviations = values / max(1, len(codes) - 1) ** 0.5
        return cls(mean.float(), directions.float(), deviations.float())


@dataclass(frozen=True)
class Plane:
    """origin + x · first + y · second, all (D,); `span` is how far both coordinates go, `names` what they are called.

    `flat` planes have nothing beside them: whoever moves there leaves the rest of his code behind.
    """

    origin: Tensor
    first: Tensor
    second: Tensor
    span: tuple[Interval, Interval]
    names: tuple[str, str]
    flat: bool = False

    def place(self, codes: Tensor) -> Tensor:
        """The coordinates (N, 2) of the points of the plane that are nearest to codes (N, D); 0 along no direction."""
        basis = torch.stack([self.first, self.second]).double()
        return (torch.linalg.pinv(basis @ basis.T, hermitian=True) @ basis @ (codes - self.origin).double().T).T.float()

    def move(self, code: Tensor, places: Tensor) -> Tensor:
        """Codes (N, D) at places (N, 2): `code` (D,) but for what lies in the plane."""
        if self.flat:
            return self.origin + places @ torch.stack([self.first, self.second])
        off = places - self.place(code[None])
        return code + off @ torch.stack([self.first, self.second])


def along_dimensions(first: int, second: int, spans: tuple[Interval, Interval], size: int) -> Plane:
    """The plane of two numbered dimensions of a code of so many: its coordinates are the numbers there.

    Of the same dimension twice, as where there is but one, the second axis leads nowhere.
    """
    ways = torch.zeros(2, size)
    ways[0, first] = 1.0
    if second != first:
        ways[1, second] = 1.0
    return Plane(torch.zeros(size), ways[0], ways[1], spans, (f"z{first}", f"z{second}" if second != first else "–"))


def along_components(first: int, second: int, components: Components) -> Plane:
    """The plane of two principal axes: its coordinates are standard deviations from the mean."""
    ways = components.directions * components.deviations.clamp(min=1e-6)[:, None]
    across = ways[second] if second != first else torch.zeros_like(ways[first])
    names = (f"PC{first + 1}", f"PC{second + 1}" if second != first else "–")
    return Plane(components.mean, ways[first], across, ((-3.0, 3.0), (-3.0, 3.0)), names)


def through_pins(pins: Sequence[Tensor]) -> Plane:
    """The plane through two or three pins: (0, 0), (1, 0) and, of three, (0, 1). Raises ValueError for pins in a line.

    Of two, the second axis is a pinned random direction at a right angle to the first, and as long.
    """
    origin, first = pins[0], pins[1] - pins[0]
    if len(pins) > 2:
        second, names = pins[2] - pins[0], ("A→B", "A→C")
    else:
        second, names = torch.randn(len(origin), generator=torch.Generator().manual_seed(0)), ("A→B", "across")
        if len(origin) == 1:
            second = torch.zeros(1)
        else:
            second = second - first * (first @ second) / (first @ first).clamp(min=1e-12)
            second = second * first.norm() / second.norm().clamp(min=1e-12)
    across = first.norm() * second.norm()
    if not first.norm() > 0 or (len(pins) > 2 and not (first @ second).abs() < across * (1 - 1e-6)):
        raise ValueError("these pins lie in one line; pin another point, or take two")
    return Plane(origin, first, second, ((-0.5, 1.5), (-0.5, 1.5)), names, flat=True)
