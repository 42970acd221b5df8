"""What two processes of one run tell each other beside the training itself: messages over a socket that both hold.

A socket, because the system closes it when a process ends, however it ends: the other side knows at once. Gradients
and weights go another way (`tui_gen.train.engine.ranks`).
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from typing import Any

import msgspec

LONGEST = 1 << 30
"""The longest message, in bytes: samples that are measured are the largest."""
MOMENT = 1.0
"""Seconds that a last message is waited for."""
_HEAD = struct.Struct(">I")

Message = dict[str, Any]
"""`do` says what it is; the rest is plain values and bytes."""


class PeerLink:
    """One end of a socket. `send` may be called by any thread, `receive` by one."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._sending = threading.Lock()
        self.last_heard = time.monotonic()
        """When anything came."""
        if end.family != socket.AF_UNIX:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, do: str, **fields: Any) -> bool:
        """Send a message; False where nobody is there any more. Waits while the other end does not read."""
        data = _packed(do, fields)
        try:
            with self._sending:
                self._socket.sendall(data)
        except OSError:
            return False
        return True

    def beat(self, **fields: Any) -> None:
        """Give a sign of life, if that is done at once: whoever gives signs also looks for those of the other end,
        which may be held. Where something larger is on its way, that is the sign."""
        if not self._sending.acquire(blocking=False):
            return
        try:
            there = select.poll()
            there.register(self._socket, select.POLLOUT)
            if there.poll(0):
                self._socket.sendall(_packed("beat", fields))
        except (OSError, ValueError):  # the other end is gone, or this one is closed
            pass
        finally:
            self._sending.release()

    def last(self, do: str, **fields: Any) -> None:
        """Send a last message; an end that does not take it within a moment is not waited for."""
        if not self._sending.acquire(timeout=MOMENT):
            return
        try:
            self._socket.settimeout(MOMENT)
            self._socket.sendall(_packed(do, fields))
        except OSError:
            pass
        finally:
            self._sending.release()

    def receive(self) -> Message | None:
        """The next message, waited for; None where the other end is gone, or talks of what makes no sense."""
        try:
            (size,) = _HEAD.unpack(self._exactly(_HEAD.size))
            if size > LONGEST:
                return None
            message = msgspec.msgpack.decode(self._exactly(size))
        except (OSError, EOFError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        return message if isinstance(message, dict) and isinstance(message.get("do"), str) else None

    def _exactly(self, size: int) -> bytes:
        data = bytearray(size)
        view, place = memoryview(data), 0
        while place < size:
            count = self._socket.recv_into(view[place:])
            if not count:
                raise EOFError
            place += count
            self.last_heard = time.monotonic()
        return bytes(data)

    def close(self) -> None:
        """End it; whoever waits in `receive` wakes up."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._socket.close()


def _packed(do: str, fields: dict[str, Any]) -> bytes:
    data = msgspec.msgpack.encode({"do": do, **fields})
    return _HEAD.pack(len(data)) + data
