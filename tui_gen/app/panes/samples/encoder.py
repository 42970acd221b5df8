"""Pictures made outside the workbench's process: a PNG file becomes cells of text and the bytes of a pixel protocol.

`PictureEncoder` starts `python -m tui_gen.app.panes.samples.encoder` when the first picture is asked for and talks to
it through its pipes: a length and a MessagePack struct each way. The child ends when its input does, so it never
outlives the workbench, however that ends. Neither side imports PyTorch, the child no Textual.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

import msgspec

from tui_gen import children
from tui_gen.app.panes.samples.imaging import PictureFiles, PictureReply, PictureRequest, make

LENGTH = struct.Struct(">I")
ENDED = "The picture cannot be shown: the process that draws it ended."


def serve(source: BinaryIO, target: BinaryIO) -> None:
    """Answer requests until the input ends."""
    files = PictureFiles()
    while len(head := source.read(LENGTH.size)) == LENGTH.size:
        data = answer(source.read(LENGTH.unpack(head)[0]), files)
        target.write(LENGTH.pack(len(data)) + data)
        target.flush()


def answer(request: bytes, files: PictureFiles) -> bytes:
    """A `PictureReply` to a `PictureRequest`, both as MessagePack."""
    try:
        reply = make(msgspec.msgpack.decode(request, type=PictureRequest), files)
    except Exception as error:  # one picture must not end the next
        reply = PictureReply(error=f"The picture cannot be shown: {type(error).__name__}: {error}")
    return msgspec.msgpack.encode(reply)


# -- in the workbench


class PictureEncoder:
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

    async def make(self, request: PictureRequest) -> PictureReply:
        """The reply to `request`; a dead child is replaced once."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._make, request)

    def _make(self, request: PictureRequest) -> PictureReply:
        reply = self._try(request)
        if reply is None and not self._closed:
            reply = self._try(request)
        return reply or PictureReply(error=ENDED)

    def _try(self, request: PictureRequest) -> PictureReply | None:
        """The reply, None where the child died."""
        try:
            return self._ask(request)
        except (OSError, EOFError, ValueError, msgspec.DecodeError):
            self._end()
            return None

    def _ask(self, request: PictureRequest) -> PictureReply:
        if self.pid is None:
            self._process = children.start(
                "tui_gen.app.panes.samples.encoder",
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None  # started, with pipes
        data = msgspec.msgpack.encode(request)
        process.stdin.write(LENGTH.pack(len(data)) + data)
        process.stdin.flush()
        head = process.stdout.read(LENGTH.size)
        if len(head) < LENGTH.size:
            raise EOFError
        return msgspec.msgpack.decode(process.stdout.read(LENGTH.unpack(head)[0]), type=PictureReply)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
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
