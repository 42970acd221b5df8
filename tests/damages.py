"""The 29 damages that a checkpoint is put through: seven to each of its four files, and a folder with nothing in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

FILES = ("model.safetensors", "ema.safetensors", "state.pt", "meta.json")


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _deleted(path: Path) -> None:
    path.unlink()


def _flipped(place: float) -> Callable[[Path], None]:
    def flip(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[min(len(data) - 1, int(place * len(data)))] ^= 0x10
        path.write_bytes(data)

    return flip


def _zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


WAYS: dict[str, Callable[[Path], None]] = {
    "truncated": _truncated,
    "emptied": _emptied,
    "deleted": _deleted,
    "flipped-head": _flipped(0.004),
    "flipped-middle": _flipped(0.5),
    "flipped-tail": _flipped(1.0),
    "zeros": _zeros,
}


def _swept(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def _to(name: str, way: Callable[[Path], None]) -> Callable[[Path], None]:
    return lambda folder: way(folder / name)


DAMAGES: dict[str, Callable[[Path], None]] = {
    **{f"{name} {way}": _to(name, do) for name in FILES for way, do in WAYS.items()},
    "folder swept": _swept,
}
"""Name → what does it to a checkpoint's folder (of a run with averaged weights, so that it has all four files).

`meta.json deleted` is the folder without a meta.
"""
