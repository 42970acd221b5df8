"""The process that decodes, seen from the workbench: started with the first ask, and anew where it has ended."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, overload

import msgspec

from tui_gen import children
from tui_gen.exploring import LENGTH, Answer, Ask, Failure, Found, Question, Space

if TYPE_CHECKING:
    from tui_gen.exploring import Dots, Film, Filmed, Look, Open, Spread, View

ENDED = "the process that decodes ended; any key starts it anew"
GRACE = 2.0
"""Seconds that the process has to end by itself when its input does."""

Starter = Callable[[], "subprocess.Popen[bytes]"]


def start(model_dirs: list[str]) -> subprocess.Popen[bytes]:
    """The real process. Raises OSError where none can be started."""
    from tui_gen import launch

    return children.start(
        "tui_gen.train.offline.explore",
        env=launch.environment_beside(model_dirs, company=True),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
    )  # fmt: skip


class Helper:
    """Asks and answers by number: one may be asked while another is worked on. All methods but `close` on the loop.

    It ends when its input is closed, and the system closes that however this process ends.
    """

    def __init__(self, starter: Starter) -> None:
        self._starter = starter
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = ThreadPoolExecutor(1, "explorer")
        self._waiting: dict[int, asyncio.Future[Found]] = {}
        self._number = 0
        self._folder = ""

    @property
    def pid(self) -> int | None:
        """The process's id, None while there is none."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @overload
    async def ask(self, what: Open) -> Space | Failure: ...
    @overload
    async def ask(self, what: Look) -> View | Failure: ...
    @overload
    async def ask(self, what: Spread) -> Dots | Failure: ...
    @overload
    async def ask(self, what: Film) -> Filmed | Failure: ...
    async def ask(self, what: Question) -> Found:
        """The answer; a `Failure` where the process ends first, or none can be started."""
        loop = asyncio.get_running_loop()
        self._number += 1
        number = self._number
        future = self._waiting[number] = loop.create_future()
        try:
            await loop.run_in_executor(self._thread, self._send, loop, msgspec.msgpack.encode(Ask(number, what)))
            answer: Found = await future
        except OSError as error:
            return Failure(f"the process that decodes cannot be started: {error.strerror or error}", lost=True)
        except RuntimeError:  # closed meanwhile
            return Failure(ENDED, lost=True)
        finally:
            self._waiting.pop(number, None)
        if isinstance(answer, Space):
            self._folder = answer.folder
        return answer

    async def tell(self, what: Question) -> None:
        """Say something that is not answered, where there is somebody to say it to."""
        if self.pid is not None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread, self._send, loop, msgspec.msgpack.encode(Ask(0, what)))

    def _send(self, loop: asyncio.AbstractEventLoop, data: bytes) -> None:
        if self.pid is None:
            self._process = self._starter()
            threading.Thread(target=self._listen, args=(loop, self._process), name="answers", daemon=True).start()
        process = self._process
        assert process is not None and process.stdin is not None
        try:
            process.stdin.write(LENGTH.pack(len(data)) + data)
            process.stdin.flush()
        except BrokenPipeError:  # it has just ended: whoever listens to it says so
            pass

    def _listen(self, loop: asyncio.AbstractEventLoop, process: subprocess.Popen[bytes]) -> None:
        """Hand on what the process answers until it ends."""
        decoder = msgspec.msgpack.Decoder(Answer)
        assert process.stdout is not None
        with contextlib.suppress(OSError, ValueError, msgspec.DecodeError):
            while len(head := _read(process.stdout, LENGTH.size)) == LENGTH.size:
                size = LENGTH.unpack(head)[0]
                if len(body := _read(process.stdout, size)) < size:
                    break
                answer = decoder.decode(body)
                loop.call_soon_threadsafe(self._take, answer.number, answer.what)
        with contextlib.suppress(RuntimeError):  # the loop is gone
            loop.call_soon_threadsafe(self._over, process)
        process.wait()

    def _take(self, number: int, what: Found) -> None:
        future = self._waiting.get(number)
        if future is not None and not future.done():
            future.set_result(what)

    def _over(self, process: subprocess.Popen[bytes]) -> None:
        if process is self._process:
            self._process = None
            for number in list(self._waiting):
                self._take(number, Failure(ENDED, lost=True))

    def close(self) -> None:
        """End the process, without waiting for it; the next ask would start another."""
        process, self._process = self._process, None
        for number in list(self._waiting):
            self._take(number, Failure(ENDED, lost=True))
        if process is not None:
            threading.Thread(target=_end, args=(process, self._folder), name="explorer's end", daemon=True).start()


def _read(stream: IO[bytes], size: int) -> bytes:
    """So many bytes, or fewer at the end of the stream."""
    parts = []
    while size > 0 and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _end(process: subprocess.Popen[bytes], folder: str) -> None:
    """Close its input, which ends it; kill it where it does not, and remove its folder then."""
    with contextlib.suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
