"""Columns of numbers in a log: every float32 as it was, in about a third of the room that decimals take.

A column is an `array('f')`, one value a step, NaN where there was no finite value. Packed, its bytes are sorted by
their place in the number (signs and exponents, which are much alike, first or last together), all columns are put
behind each other and deflated. Nothing here needs NumPy.
"""

from __future__ import annotations

import math
import sys
import zlib
from array import array
from collections.abc import Iterable, Sequence

MOST_BYTES = 16 << 20
"""The most that the columns of one event may hold, unpacked; a larger one is damage, or somebody's joke."""
WIDTH = 4
LARGEST = 3.40282356e38
"""Numbers beyond this are no float32, not even rounded."""


def column(values: Iterable[float | None]) -> array[float]:
    """Numbers as a column; None, NaN, infinities and what is too large for float32 become NaN."""
    return array("f", [value if value is not None and abs(value) <= LARGEST else math.nan for value in values])


def pack(columns: Sequence[array[float]]) -> bytes:
    """Columns of one length as bytes."""
    parts = []
    for column in columns:
        if sys.byteorder == "big":
            column = array("f", column)
            column.byteswap()
        data = column.tobytes()
        parts += [data[place::WIDTH] for place in range(WIDTH)]
    return zlib.compress(b"".join(parts), 6)


def unpack(data: bytes, count: int, places: Iterable[int] | None = None) -> list[array[float]]:
    """The `count` columns that were packed, or those at some `places`. Raises ValueError where the bytes are something
    else.
    """
    raw = inflated(data, count)
    steps = len(raw) // (WIDTH * count)
    columns = []
    for start in (WIDTH * steps * place for place in (range(count) if places is None else places)):
        buffer = bytearray(WIDTH * steps)
        for place in range(WIDTH):
            buffer[place::WIDTH] = raw[start + place * steps : start + (place + 1) * steps]
        column: array[float] = array("f")
        column.frombytes(buffer)
        if sys.byteorder == "big":
            column.byteswap()
        columns.append(column)
    return columns


def inflated(data: bytes, count: int) -> bytes:
    """The bytes of `count` packed columns, sorted by their place in the numbers. Raises ValueError as `unpack`."""
    inflate = zlib.decompressobj()
    try:
        raw = inflate.decompress(data, MOST_BYTES)
    except zlib.error as error:
        raise ValueError(f"not packed columns: {error}") from None
    if not inflate.eof or inflate.unused_data or count < 1 or len(raw) % (WIDTH * count):
        raise ValueError(f"not {count} packed columns")
    return raw


def decimals(column: array[float]) -> list[float | None]:
    """A column as plain numbers, None for what is not finite."""
    return [shortest(value) if abs(value) <= LARGEST else None for value in column]


def shortest(value: float) -> float:
    """The decimal with the fewest digits whose nearest float32 is `value`."""
    for digits in (7, 8):  # zeros at the end are left out
        near = float(f"{value:.{digits}g}")
        if abs(near) <= LARGEST and array("f", (near,))[0] == value:
            return near
    return float(f"{value:.9g}")
