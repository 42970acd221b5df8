"""TensorBoard's event files, byte by byte: TFRecords of `Event` messages (tensorboard/compat/proto/event.proto).

A record is its length (8 bytes), the CRC of that, a message, and the CRC of it (CRC-32C, masked). A scalar is a message
of some forty bytes, a run has millions of them: they are made by the block, as a matrix of bytes with a row a record.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from typing import Any, BinaryIO, NamedTuple

import numpy as np

VERSION = b"brain.Event:2"
POLYNOMIAL = 0x82F63B78
"""Of CRC-32C (Castagnoli), reflected."""
STRING = 7
"""DT_STRING of tensors."""
TENSOR = 2
"""DATA_CLASS_TENSOR of a summary's metadata."""


def _table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(POLYNOMIAL), table >> 1)
    return table


TABLE = _table()


def masked_crcs(rows: np.ndarray) -> np.ndarray:
    """The masked CRC-32C (N,) uint32 of each row of bytes (N, L) uint8."""
    crc = ~_remainders(rows, np.full(len(rows), 0xFFFFFFFF, np.uint32))
    return ((crc >> 15) | (crc << 17)) + np.uint32(0xA282EAD8)


def _remainders(rows: np.ndarray, state: np.ndarray) -> np.ndarray:
    """What each row of bytes (N, L) makes of the state (N,) uint32 of its division."""
    for column in range(rows.shape[1]):
        state = TABLE[(state ^ rows[:, column]) & 0xFF] ^ (state >> 8)
    return state


PART = 256
"""Bytes of a long message whose remainders are taken at once with those of its other parts."""


@cache
def _moves() -> list[list[int]]:
    """What PART zero bytes make of a state that has only one byte: by place and value of that byte."""
    zeros = np.broadcast_to(np.uint8(0), (256, PART))
    return [_remainders(zeros, np.arange(256, dtype=np.uint32) << 8 * place).tolist() for place in range(4)]


def _crc_of_long(data: bytes) -> int:
    """The masked CRC-32C of a message of four bytes or more: a division of all parts at once, as it is linear."""
    first = bytes(byte ^ 0xFF for byte in data[:4])  # as if the division began with the state of all ones
    filled = bytes(-len(data) % PART) + first + data[4:]  # zeros before it change nothing
    rows = np.frombuffer(filled, np.uint8).reshape(-1, PART)
    moves, state = _moves(), 0
    for remainder in _remainders(rows, np.zeros(len(rows), np.uint32)).tolist():
        low = moves[0][state & 0xFF] ^ moves[1][state >> 8 & 0xFF]
        state = remainder ^ low ^ moves[2][state >> 16 & 0xFF] ^ moves[3][state >> 24]
    crc = ~state & 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def framed(message: bytes) -> bytes:
    """One message as a record."""
    head = struct.pack("<Q", len(message))
    return head + _crc(head) + message + _crc(message)


def _crc(data: bytes) -> bytes:
    if len(data) > 4 * PART:
        return struct.pack("<I", _crc_of_long(data))
    rows = np.frombuffer(data, np.uint8)[None]
    return masked_crcs(rows).astype("<u4").tobytes()


def varint(number: int) -> bytes:
    """A whole number ≥ 0 as protobuf writes it: seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, value: bytes | int | float) -> bytes:
    """A field of a message: bytes (a text, a message within), a whole number, or a double."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 1) + struct.pack("<d", value)


def version(wall: float) -> bytes:
    """The record that every event file begins with."""
    return framed(field(1, wall) + field(3, VERSION))


def image(tag: str, step: int, wall: float, png: bytes) -> bytes:
    """A record of an image as a PNG, whose header tells its size. Raises ValueError where it has none."""
    if png[:8] != b"\x89PNG\r\n\x1a\n" or len(png) < 33 or png[12:16] != b"IHDR":
        raise ValueError("no PNG")
    width, height, _, colours = struct.unpack(">IIBB", png[16:26])
    space = {0: 1, 4: 2, 2: 3, 3: 3}.get(colours, 4)
    picture = field(1, height) + field(2, width) + field(3, space) + field(4, png)
    return _summary(tag, step, wall, field(4, picture))


def text(tag: str, step: int, wall: float, markdown: str) -> bytes:
    """A record of a text, which TensorBoard renders as Markdown."""
    tensor = field(1, STRING) + field(2, b"") + field(8, markdown.encode())
    metadata = field(1, field(1, b"text")) + field(4, TENSOR)
    return _summary(tag, step, wall, field(9, metadata) + field(8, tensor))


def _summary(tag: str, step: int, wall: float, what: bytes) -> bytes:
    return framed(field(1, wall) + field(2, step) + field(5, field(1, field(1, tag.encode()) + what)))


def scalars(tag: str, steps: np.ndarray, walls: np.ndarray, values: np.ndarray) -> Iterator[np.ndarray]:
    """Records of a metric, (N, L) uint8 a block: steps (n,) int64 ≥ 0, ascending; walls in seconds since the epoch;
    values as float32, NaN and infinities as they are. A block has steps that take as many bytes as each other.
    """
    begin = 0
    while begin < len(steps):
        width = len(varint(int(steps[begin])))
        end = int(np.searchsorted(steps, 1 << 7 * width, side="left"))
        yield _block(tag, width, steps[begin:end], walls[begin:end], values[begin:end])
        begin = end


def _block(tag: str, width: int, steps: np.ndarray, walls: np.ndarray, values: np.ndarray) -> np.ndarray:
    summary = field(1, field(1, tag.encode()) + varint(2 << 3 | 5) + bytes(4))
    pattern = field(1, 0.0) + varint(2 << 3) + bytes(width) + field(5, summary)
    head = struct.pack("<Q", len(pattern))
    rows = np.empty((len(steps), len(pattern) + 16), np.uint8)
    rows[:, :12] = np.frombuffer(head + _crc(head), np.uint8)
    message = rows[:, 12:-4]
    message[:] = np.frombuffer(pattern, np.uint8)
    message[:, 1:9] = walls.astype("<f8").view(np.uint8).reshape(-1, 8)
    for place in range(width):
        more = 0x80 if place + 1 < width else 0
        message[:, 10 + place] = (steps >> 7 * place) & 0x7F | more
    message[:, -4:] = values.astype("<f4").view(np.uint8).reshape(-1, 4)
    rows[:, -4:] = masked_crcs(message).astype("<u4").view(np.uint8).reshape(-1, 4)
    return rows


def tags(file: BinaryIO) -> Iterator[str]:
    """The tags of the records of texts and images from here to the end of a file. Raises ValueError where it is cut or
    a CRC is wrong.
    """
    while head := file.read(12):
        size = struct.unpack("<Q", head[:8])[0] if len(head) == 12 and head[8:] == _crc(head[:8]) else -1
        record = file.read(size + 4) if size >= 0 else b""
        if len(record) != size + 4 or record[-4:] != _crc(record[:-4]):
            raise ValueError("a record is cut, or its CRC is wrong")
        yield _fields(_fields(_fields(record[:-4])[5])[1])[1].decode()


class Scalar(NamedTuple):
    """What a record of a metric says."""

    tag: str
    step: int
    wall: float
    value: float


def scalar_of(record: bytes) -> Scalar:
    """Read a record of a metric. Raises ValueError where it is none."""
    try:
        (size,) = struct.unpack_from("<Q", record)
        message = record[12 : 12 + size]
        if record[8:12] != _crc(record[:8]) or record[12 + size :] != _crc(message):
            raise ValueError("a CRC is wrong")
        event = _fields(message)
        value = _fields(_fields(event[5])[1])
        return Scalar(value[1].decode(), event[2], event[1], value[2])
    except (KeyError, IndexError, AttributeError, TypeError, struct.error) as error:
        raise ValueError(f"a record is none of a metric ({error})") from None


def _fields(message: bytes) -> dict[int, Any]:
    """The fields of a message by number; of several with one number the last."""
    fields: dict[int, Any] = {}
    place = 0

    def whole() -> int:
        nonlocal place
        number = shift = 0
        while True:
            byte = message[place]
            place += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    while place < len(message):
        key = whole()
        number, kind = key >> 3, key & 7
        if kind == 0:
            fields[number] = whole()
            continue
        size = {1: 8, 5: 4}.get(kind) or whole()
        part = message[place : place + size]
        place += size
        fields[number] = struct.unpack("<d" if kind == 1 else "<f", part)[0] if kind in (1, 5) else part
    return fields
