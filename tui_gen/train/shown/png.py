"""A PNG as it is made, some rows at a time, so that a picture of any height takes little memory."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LEVEL = 3
"""How hard zlib tries, 0 to 9: beyond, it takes twice as long for a few per cent."""


def png(width: int, height: int, channels: int, blocks: Iterable[np.ndarray]) -> Iterator[bytes]:
    """The file's bytes, a piece for each block: rows (n, width, channels) uint8, `height` of them in all.

    `channels` is 1 (grey) or 3 (RGB). Rows are differences to their neighbours where those are smaller, as in any PNG.
    """
    yield SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2}[channels], 0, 0, 0))
    packer = zlib.compressobj(LEVEL)
    above = np.zeros((1, width * channels), np.uint8)
    for block in blocks:
        rows = np.ascontiguousarray(block, np.uint8).reshape(len(block), -1)
        if packed := packer.compress(_filtered(rows, above, channels)):
            yield _chunk(b"IDAT", packed)
        above = rows[-1:].copy()
    yield _chunk(b"IDAT", packer.flush()) + _chunk(b"IEND", b"")


def _filtered(rows: np.ndarray, above: np.ndarray, channels: int) -> bytes:
    """Rows (n, bytes) as they are, less their left, or less their upper neighbour: whichever adds up to least."""
    left, up = rows.copy(), rows.copy()
    left[:, channels:] -= rows[:, :-channels]
    up[1:] -= rows[:-1]
    up[:1] -= above
    forms = np.stack([rows, left, up])
    sums = np.minimum(forms, -forms).sum(2, dtype=np.int64)  # as signed numbers, without their signs
    best = sums.argmin(0)
    out = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
    out[:, 0] = best
    out[:, 1:] = forms[best, np.arange(len(rows))]
    return out.tobytes()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
