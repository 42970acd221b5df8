"""Types of the values in events, with the bounds beyond which they cannot be true; and which paths can be."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta

When = Annotated[float, Meta(ge=0, le=2.5e11)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Step = Annotated[int, Meta(ge=-1, le=10**15)]
Amount = Annotated[float, Meta(ge=0, le=1e15)]
Share = Annotated[float, Meta(ge=0, le=1)]
Name = Annotated[str, Meta(max_length=200)]
FilePath = Annotated[str, Meta(max_length=4000)]
Stride = Annotated[int, Meta(ge=1, le=10**9)]
Rates = Annotated[dict[Name, Amount], Meta(max_length=1000)]
Names = Annotated[list[Name], Meta(max_length=100)]
Groups = Annotated[list[Names], Meta(max_length=100)]
Changes = Annotated[dict[Name, Annotated[list[Any], Meta(min_length=2, max_length=2)]], Meta(max_length=1000)]
Steps = Annotated[list[Step], Meta(max_length=100_000)]
Plans = Annotated[list[dict[Name, Any]], Meta(max_length=100_000)]
"""Edits, as `edits` has them."""
Column = Annotated[Sequence[float | None], Meta(max_length=10**6)]
Columns = Annotated[dict[Name, Column], Meta(max_length=1000)]


def is_possible(path: str) -> bool:
    """Whether a file system may know such a path."""
    return bool(path) and "\0" not in path and all(len(part) <= 255 for part in os.fsencode(path).split(b"/"))


def is_inside(path: str) -> bool:
    """Whether a path leads to something within the run."""
    return is_possible(path) and not path.startswith("/") and ".." not in path.split("/")


def is_folder(name: str) -> bool:
    """Whether this is the name of a folder, not a path that leads somewhere."""
    return is_possible(name) and "/" not in name and name not in (".", "..")
