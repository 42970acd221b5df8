"""Pictures made outside the workbench's process: a PNG file becomes cells of text and the bytes of a pixel protocol.

`Encoder` starts `python -m tui_gen.app.encoder` when the first picture is asked for and talks to it through its pipes:
a length and a MessagePack struct each way. The child ends when its input does, so it never outlives the workbench,
however that ends. Neither side imports PyTorch, the child no Textual.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import struct
import subprocess
import sys
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import BinaryIO

import msgspec
import numpy as np

from tui_gen import children, pictures
from tui_gen.draw.place import Box, fit

LENGTH = struct.Struct(">I")
KEPT = 8
"""Decoded pictures the child keeps, so that stepping back and forth reads no file twice."""
LEAST_TILE = 10
"""Where the whole grid would give a tile fewer pixels than this, and much fewer than it has, text shows fewer tiles."""
ENDED = "The picture cannot be shown: the process that draws it ended."


class Request(msgspec.Struct, frozen=True):
    """A picture to show in `columns` x `rows` cells of `cell` = (width, height) pixels.

    The file holds `grid` = (columns, rows) tiles, `gap` pixels between them; `tile` picks one, counted along the rows.
    `protocol` is
    kitty (as picture `ident`), sixel, or "" for text only. `light` says that the ground is light, `ground` its colour,
    where it is known; `largest` is the size in pixels that no sixel may exceed.
    """

    path: str
    columns: int
    rows: int
    grid: tuple[int, int] = (1, 1)
    tile: int | None = None
    gap: int = 0
    protocol: str = ""
    ident: int = 1
    cell: tuple[float, float] | None = None
    light: bool = False
    ground: tuple[int, int, int] | None = None
    largest: tuple[int, int] | None = None


class Reply(msgspec.Struct):
    """What came of a request: `error`, or the picture in every form it may be needed in.

    `upper`, `lower`: packed half-block colours, int32 little-endian, (rows, columns); `lines`: the luminance ramp;
    `payload`: the protocol's bytes for `box` = (x, y, columns, rows). `shown`: (columns, rows) of tiles in the text
    forms, fewer than the grid where they would be too small to see; `gap`: how much of the way from one (column, row)
    to the next lies between them.
    """

    error: str = ""
    upper: bytes = b""
    lower: bytes = b""
    lines: list[str] = []
    payload: bytes = b""
    box: tuple[int, int, int, int] = (0, 0, 0, 0)
    shown: tuple[int, int] = (1, 1)
    gap: tuple[float, float] = (0.0, 0.0)
    size: tuple[int, int] = (0, 0)


# -- in the child


class _Files:
    """The pictures read last, by path and time of change."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int, int], np.ndarray] = OrderedDict()

    def get(self, path: str) -> np.ndarray:
        status = os.stat(path)
        key = (path, status.st_mtime_ns, status.st_size)
        if key not in self._kept:
            self._kept[key] = pictures.read_png(path)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


def pitch(pixels: np.ndarray, grid: tuple[int, int], gap: int) -> tuple[int, int]:
    """Pixels from the beginning of one tile to that of the next, (down, across): after the last there is no gap."""
    return (pixels.shape[0] + gap) // grid[1], (pixels.shape[1] + gap) // grid[0]


def crop_tiles(pixels: np.ndarray, grid: tuple[int, int], columns: int, rows: int, gap: int = 0) -> np.ndarray:
    """The first `columns` x `rows` tiles of a grid of (columns, rows), with the gaps between them."""
    down, across = pitch(pixels, grid, gap)
    return pixels[: rows * down - gap, : columns * across - gap]


def one_tile(pixels: np.ndarray, grid: tuple[int, int], tile: int, gap: int = 0) -> np.ndarray:
    """Tile number `tile`, counted along the rows."""
    down, across = pitch(pixels, grid, gap)
    row, column = divmod(tile % (grid[0] * grid[1]), grid[0])
    return pixels[row * down : (row + 1) * down - gap, column * across : (column + 1) * across - gap]


def seen_tiles(pixels: np.ndarray, grid: tuple[int, int], columns: int, rows: int) -> tuple[int, int]:
    """(columns, rows) of tiles to show as half-blocks in so many cells: all, or as many as can be made out."""
    high, wide = pixels.shape[0] / grid[1], pixels.shape[1] / grid[0]
    least = min(LEAST_TILE, 0.75 * min(high, wide))
    return max(1, min(grid[0], int(columns / least))), max(1, min(grid[1], int(2 * rows / least)))


def make(request: Request, files: _Files | None = None) -> Reply:
    """The reply to a request. Problems with the file are in `error`, in words for the pane."""
    from tui_gen.draw import kitty, sixel

    files = files or _Files()
    try:
        pixels = files.get(request.path)
    except FileNotFoundError:
        return Reply(error="The picture is gone: this file does not exist (any more).")
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        return Reply(error=f"The picture cannot be read: {error}")
    grid = request.grid if min(request.grid) > 0 else (1, 1)
    if pixels.shape[0] < grid[1] or pixels.shape[1] < grid[0]:
        grid = (1, 1)
    gap = max(0, request.gap)
    if gap >= min(pitch(pixels, grid, gap)):
        gap = 0  # not of this file
    if request.tile is not None:
        pixels, grid, gap = one_tile(pixels, grid, request.tile, gap), (1, 1), 0
    cell = request.cell or (1, 2)
    box, shown, some = Box(0, 0, request.columns, request.rows, 0, 0, 1.0), grid, pixels
    if request.protocol and (request.cell or request.protocol == "kitty"):
        # kitty scales the picture itself, so where a cell's size is not known its usual shape will do
        box = _box(request, pixels.shape[:2], cell)
    else:
        shown = seen_tiles(pixels, grid, request.columns, request.rows)
        some = crop_tiles(pixels, grid, *shown, gap)
    down, across = pitch(pixels, grid, gap)
    reply = Reply(shown=shown, gap=(gap / across, gap / down), size=(pixels.shape[0], pixels.shape[1]))
    _text(reply, some, request, box)
    if box.width and request.protocol == "sixel":
        area = int(box.columns * cell[0]), int(box.rows * cell[1])
        reply.payload = sixel.encode(pixels, box.width, box.height, area=area, ground=request.ground)
    elif box.width and request.protocol == "kitty":
        enlarge = max(1, min(8, int(box.scale))) if request.cell else 4
        reply.payload = kitty.encode(pixels, request.ident, box.columns, box.rows, enlarge=enlarge)
    if reply.payload:
        reply.box = (box.x, box.y, box.columns, box.rows)
    return reply


def _box(request: Request, size: tuple[int, int], cell: tuple[float, float]) -> Box:
    """Where a picture of `size` = (height, width) pixels goes; in whole cells, no larger than a sixel may be."""
    columns, rows = request.columns, request.rows
    if request.protocol == "sixel" and request.largest:
        wide, high = request.largest
        columns = min(columns, max(1, int(wide / cell[0])))
        rows = min(rows, max(1, int(high // 6 * 6 / cell[1])))  # it is drawn in bands of six rows
    box = fit(size, columns, rows, cell, whole=request.cell is not None)
    return replace(box, x=(request.columns - box.columns) // 2, y=(request.rows - box.rows) // 2)


def _text(reply: Reply, pixels: np.ndarray, request: Request, box: Box) -> None:
    """The text forms, in the same place as the pixels where there are any: a dialog must not make the picture jump."""
    from tui_gen.draw import blocks

    cell = request.cell or (1, 2)
    cells = blocks.halfblocks(pixels, box.columns, box.rows, cell=cell, whole=not box.width)
    lines = blocks.ascii_rows(pixels, box.columns, box.rows, cell=cell, light=request.light)
    right, below = request.columns - box.columns - box.x, request.rows - box.rows - box.y
    around = ((box.y, below), (box.x, right))
    reply.upper = np.pad(cells.upper, around, constant_values=-1).astype("<i4").tobytes()
    reply.lower = np.pad(cells.lower, around, constant_values=-1).astype("<i4").tobytes()
    blank = " " * request.columns
    reply.lines = [blank] * box.y + [" " * box.x + line + " " * right for line in lines] + [blank] * below


def serve(source: BinaryIO, target: BinaryIO) -> None:
    """Answer requests until the input ends."""
    files = _Files()
    decoder, encoder = msgspec.msgpack.Decoder(Request), msgspec.msgpack.Encoder()
    while len(head := source.read(LENGTH.size)) == LENGTH.size:
        body = source.read(LENGTH.unpack(head)[0])
        try:
            reply = make(decoder.decode(body), files)
        except Exception as error:  # one picture must not end the next
            reply = Reply(error=f"The picture cannot be shown: {type(error).__name__}: {error}")
        data = encoder.encode(reply)
        target.write(LENGTH.pack(len(data)) + data)
        target.flush()


# -- in the workbench


class Encoder:
    """The child process as seen from the workbench; started when needed, started anew when it died.

    One thread of its own talks to the child, so requests wait for each other and the event loop for nothing.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = ThreadPoolExecutor(1, "pictures")
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    async def make(self, request: Request) -> Reply:
        """The reply to `request`; a dead child is replaced once."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._make, request)

    def _make(self, request: Request) -> Reply:
        reply = self._try(request)
        if reply is None and not self._closed:
            reply = self._try(request)
        return reply or Reply(error=ENDED)

    def _try(self, request: Request) -> Reply | None:
        """The reply, None where the child died."""
        try:
            return self._ask(request)
        except (OSError, EOFError, ValueError, msgspec.DecodeError):
            self._end()
            return None

    def _ask(self, request: Request) -> Reply:
        if self.pid is None:
            self._process = children.start(
                "tui_gen.app.encoder", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        process = self._process
        data = msgspec.msgpack.encode(request)
        process.stdin.write(LENGTH.pack(len(data)) + data)
        process.stdin.flush()
        head = process.stdout.read(LENGTH.size)
        if len(head) < LENGTH.size:
            raise EOFError
        return msgspec.msgpack.decode(process.stdout.read(LENGTH.unpack(head)[0]), type=Reply)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()

    def close(self) -> None:
        """End the child, for good."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()  # a request on its way ends at once
        self._thread.submit(self._end)
        self._thread.shutdown(wait=False)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is the workbench's
    with contextlib.suppress(BrokenPipeError):
        serve(sys.stdin.buffer, sys.stdout.buffer)
