"""A terminal for tests: a real pty around a command, which answers the terminal's queries and shows the screen.

    with PtyTerminal(["tui-gen"], columns=120, rows=40, personality=KITTY, latency=0.2) as terminal:
        terminal.wait_for_text("Models")
        terminal.press("ctrl+q")

A thread reads the command's output, as fast as `bandwidth` allows, and answers queries in order, `latency` later. Text
reaches a pyte screen; DCS, APC and OSC strings are collected instead, for tests of pixel graphics.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import itertools
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyte

from tests.splitter import Splitter
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[1]
LAST_WORDS = 10.0
"""Seconds for the kernel to hand over what a command wrote last, where its end does not say that this is all."""


@dataclass(frozen=True)
class Personality:
    """What a terminal answers. `da1` None: it answers nothing at all. `cell` (width, height) in pixels.

    `sync`: it knows synchronised output (DECRQM answers 2, else 0). `term` is its TERM.
    """

    name: str
    da1: str | None = "62;22"
    version: str = ""
    cell: tuple[int, int] | None = None
    kitty: bool = False
    sync: bool = False
    truecolor: bool = False
    term: str = "xterm-256color"
    environ: tuple[tuple[str, str], ...] = ()


PLAIN = Personality("plain", cell=(8, 16), truecolor=True)
SIXEL = Personality("xterm with sixel", "63;1;2;4;6;9;15;16;22;28", "XTerm(379)", (10, 20), truecolor=True)
KITTY = Personality(
    "kitty", "62;c", "kitty(0.26.5)", (10, 20), kitty=True, sync=True, truecolor=True, term="xterm-kitty"
)
TMUX = Personality(
    "tmux", "1;2", "tmux 3.6a", term="tmux-256color", environ=(("TMUX", "/nonexistent/tmux,1,0"),), truecolor=False
)
MUTE = Personality("mute", da1=None)

KEYS = {
    "enter": "\r", "tab": "\t", "shift+tab": "\x1b[Z", "escape": "\x1b", "backspace": "\x7f", "space": " ",
    "up": "\x1b[A", "down": "\x1b[B", "right": "\x1b[C", "left": "\x1b[D", "home": "\x1b[H", "end": "\x1b[F",
    "pageup": "\x1b[5~", "pagedown": "\x1b[6~", "insert": "\x1b[2~", "delete": "\x1b[3~",
    "f1": "\x1bOP", "f2": "\x1bOQ", "f3": "\x1bOR", "f4": "\x1bOS", "f5": "\x1b[15~", "f6": "\x1b[17~",
    "f7": "\x1b[18~", "f8": "\x1b[19~", "f9": "\x1b[20~", "f10": "\x1b[21~", "f11": "\x1b[23~", "f12": "\x1b[24~",
    "shift+f5": "\x1b[15;2~", "ctrl+f5": "\x1b[15;5~",
    "shift+up": "\x1b[1;2A", "shift+down": "\x1b[1;2B", "shift+right": "\x1b[1;2C", "shift+left": "\x1b[1;2D",
    "ctrl+up": "\x1b[1;5A", "ctrl+down": "\x1b[1;5B", "ctrl+right": "\x1b[1;5C", "ctrl+left": "\x1b[1;5D",
    "alt+up": "\x1b[1;3A", "alt+down": "\x1b[1;3B", "alt+right": "\x1b[1;3C", "alt+left": "\x1b[1;3D",
}  # fmt: skip


def key_bytes(name: str) -> bytes:
    """What a terminal sends for a key: `a`, `enter`, `ctrl+q`, `alt+x`, `f1`…"""
    if name in KEYS:
        return KEYS[name].encode()
    if name.startswith("ctrl+") and len(name) == 6:
        return bytes([ord(name[5].upper()) & 0x1F])
    if name.startswith("alt+"):
        return b"\x1b" + key_bytes(name[4:])
    if len(name) == 1:
        return name.encode()
    raise ValueError(f"no such key: {name}")


class PtyTerminal:
    """A command on a pty of `columns` × `rows`. Every method may be called from the test's thread.

    `latency`: seconds from a query to its answer (half of it for keys). `bandwidth`: bytes/s read at most, None for no
    limit. `emulate` False drops the output after answering queries and counting, where only speed matters. When the
    bytes `watch` first come by is `watched_at`, and `watched_cpu` the processor time taken by then.
    """

    def __init__(
        self,
        command: Sequence[str],
        columns: int = 120,
        rows: int = 40,
        personality: Personality = PLAIN,
        latency: float = 0.0,
        bandwidth: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | Path = ROOT,
        emulate: bool = True,
        watch: bytes = b"",
    ) -> None:
        self.columns, self.rows, self.personality = columns, rows, personality
        self.latency, self.bandwidth, self.emulate = latency, bandwidth, emulate
        self.bytes_out = 0
        self.strings: dict[str, list[bytes]] = {"dcs": [], "apc": [], "osc": []}
        self.queries: list[str] = []
        self.modes: set[str] = set()
        """The private modes that are set: "1049" is the alternate screen, "1003" the mouse, "25" the cursor …"""
        self.last_output = time.monotonic()
        self.first_output: float | None = None
        self.watch, self.watched_at, self.watched_cpu, self._recent = watch, None, 0.0, b""
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self._split, self._colour = Splitter(), b""
        self._lock = threading.RLock()
        self._due: list[tuple[float, int, bytes]] = []
        self._order = itertools.count()
        self._blocked = self._closed = False
        self._not_before = 0.0
        self._wake_out, self._wake_in = os.pipe()
        self.master, slave = pty.openpty()
        self._set_size(slave)
        os.set_blocking(self.master, False)
        environ = {**os.environ, "TERM": personality.term, **dict(personality.environ), **(env or {})}
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            list(command), stdin=slave, stdout=slave, stderr=slave, env=environ, cwd=cwd, start_new_session=True,
            preexec_fn=_take_terminal,
        )  # fmt: skip
        os.close(slave)
        self._thread = threading.Thread(target=self._run, name="terminal", daemon=True)
        self._thread.start()

    def __enter__(self) -> PtyTerminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.close()

    # -- what the command shows

    def text(self) -> str:
        """The screen, one line a row, without trailing blanks."""
        with self._lock:
            return "\n".join(line.rstrip() for line in self.screen.display)

    def line(self, row: int) -> str:
        """One row of the screen."""
        return self.text().split("\n")[row]

    def find(self, text: str) -> tuple[int, int] | None:
        """(column, row) where a text begins on the screen, counted from 0, or None."""
        for row, line in enumerate(self.text().split("\n")):
            if (column := line.find(text)) >= 0:
                return column, row
        return None

    def wait_for_text(self, text: str | re.Pattern[str], timeout: float = 30.0) -> str:
        """Wait until a text, or a match of a pattern, is on the screen; the screen.

        That screen may be half painted: whatever else a test wants to see on it goes into `wait_for_texts`.
        """
        return self.wait_for_texts(text, timeout=timeout)

    def wait_for_texts(self, *texts: str | re.Pattern[str], timeout: float = 30.0) -> str:
        """Wait until every one of these texts and patterns is on one and the same screen; the screen."""
        patterns = [text if isinstance(text, re.Pattern) else re.compile(re.escape(text)) for text in texts]

        def missing(screen: str) -> list[str]:
            return [pattern.pattern for pattern in patterns if pattern.search(screen) is None]

        return self.wait_until(
            lambda screen: not missing(screen), timeout, lambda: " and ".join(map(repr, missing(self.text())))
        )

    def wait_gone(self, text: str, timeout: float = 30.0) -> str:
        """Wait until a text is on the screen no more; the screen."""
        return self.wait_until(lambda screen: text not in screen, timeout, f"{text!r} to go away")

    def wait_until(
        self, condition: Callable[[str], object], timeout: float = 30.0, what: str | Callable[[], str] = ""
    ) -> str:
        """Wait until `condition(screen text)`; the screen. Fails with the screen as it is when time is up."""
        found: list[str] = []

        def look() -> bool:
            found[:] = [self.text()]
            return bool(condition(found[0]))

        def in_vain() -> str:
            words = what() if callable(what) else what or condition
            return f"{words} on this screen{self._end_words()}:\n{self.text()}"

        wait_for(look, timeout, in_vain)
        return found[0]

    def wait_quiet(self, seconds: float, timeout: float = 60.0) -> int:
        """Wait until nothing has been written for so long; the count of bytes written so far.

        A command that waits for a core of a busy machine is silent too: that does not count.
        """
        wait_for(
            lambda: time.monotonic() - self.last_output >= seconds and not self._at_work(),
            timeout,
            lambda: f"{seconds:g} s of silence ({self.bytes_out} bytes so far) on this screen:\n{self.text()}",
        )
        return self.bytes_out

    def _unread(self) -> bool:
        with self._lock:
            return not self._blocked and bool(select.select([self.master], [], [], 0)[0])

    def _at_work(self) -> bool:
        """Whether there is output to be read, or a thread of the command or of its children that could run now.

        Children with a session of their own, as workers have, do not count.
        """
        if self._unread():
            return True
        session, waiting = str(self.process.pid).encode(), [self.process.pid]
        with contextlib.suppress(OSError):  # one of them ended meanwhile, or there is no /proc
            while waiting:
                for task in Path(f"/proc/{waiting.pop()}/task").iterdir():
                    state, _, _, its_session = (task / "stat").read_bytes().rsplit(b")", 1)[1].split()[:4]
                    if its_session == session:
                        if state == b"R":
                            return True
                        waiting += map(int, (task / "children").read_bytes().split())
        return False

    def _end_words(self) -> str:
        code = self.process.poll()
        return "" if code is None else f" (the command ended with {code})"

    # -- what a person does

    def send(self, data: bytes | str) -> None:
        """Type bytes as they are."""
        self._later(data.encode() if isinstance(data, str) else data, self.latency / 2)

    def press(self, *names: str) -> None:
        """Press keys, by name."""
        for name in names:
            self.send(key_bytes(name))

    def click(self, column: int, row: int, button: int = 0, times: int = 1) -> None:
        """Click on a cell, counted from 0 (SGR mouse reports)."""
        for _ in range(times):
            self.send(f"\x1b[<{button};{column + 1};{row + 1}M\x1b[<{button};{column + 1};{row + 1}m")

    # -- what happens to terminals

    def replaced(self, personality: Personality) -> None:
        """Another terminal, blank and in no mode, attaches to the same session, as with dtach or abduco."""
        with self._lock:
            self.personality = personality
            self.screen.reset()
            self.modes.clear()
            self.queries.clear()
            for strings in self.strings.values():
                strings.clear()
        self._set_size(self.master)
        os.kill(self.process.pid, signal.SIGWINCH)

    def resize(self, columns: int, rows: int) -> None:
        """Another size; the command gets SIGWINCH."""
        with self._lock:
            self.columns, self.rows = columns, rows
            self.screen.resize(rows, columns)
        self._set_size(self.master)

    def block(self) -> None:
        """Stop reading: the command's writes will block once the kernel's buffer is full."""
        self._blocked = True
        self._wake()

    def unblock(self) -> None:
        """Read again."""
        self._blocked = False
        self._wake()

    def close(self) -> None:
        """Close the terminal, as a window is closed or a link is lost: the command gets SIGHUP."""
        if not self._closed:
            self._closed = True
            self._wake()
            self._thread.join(10)
            for descriptor in (self.master, self._wake_in, self._wake_out):
                os.close(descriptor)

    def kill(self) -> None:
        """SIGKILL the command, if it runs, and wait for it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(120)

    def wait_exit(self, timeout: float = 30.0) -> int:
        """Wait until the command ends; its exit status."""
        wait_for(lambda: self.process.poll() is not None, timeout, lambda: f"the command's end:\n{self.text()}")
        self._thread.join(LAST_WORDS)  # it ends where the output ends, unless a child of the command keeps it open
        wait_for(lambda: not self._thread.is_alive() or not self._unread(), timeout, "what it wrote last")
        return self.process.returncode

    # -- the terminal's own work

    def _set_size(self, descriptor: int) -> None:
        width, height = self.personality.cell or (0, 0)
        size = struct.pack("HHHH", self.rows, self.columns, self.columns * width, self.rows * height)
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, size)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._wake_in, b"x")

    def _later(self, data: bytes, delay: float) -> None:
        with self._lock:
            heapq.heappush(self._due, (time.monotonic() + delay, next(self._order), data))
        self._wake()

    def _run(self) -> None:
        pending = b""
        while not self._closed:
            now = time.monotonic()
            with self._lock:
                while self._due and self._due[0][0] <= now:
                    pending += heapq.heappop(self._due)[2]
                waits = [self._due[0][0] - now] if self._due else []
            reading = not self._blocked and now >= self._not_before
            if not self._blocked and not reading:
                waits.append(self._not_before - now)
            ready, writable, _ = select.select(
                [self._wake_out, *([self.master] if reading else [])],
                [self.master] if pending else [],
                [],
                min(waits, default=5.0),
            )
            if self._wake_out in ready:
                os.read(self._wake_out, 4096)
            try:
                if writable:
                    pending = pending[os.write(self.master, pending) :]
                if self.master in ready:
                    self._read()
            except BlockingIOError:
                continue
            except OSError:  # the command has closed its side
                return

    def _read(self) -> None:
        size = 65536 if self.bandwidth is None else max(16, min(4096, int(self.bandwidth / 50)))
        with self._lock:  # who holds it sees all that has been read
            self._feed(os.read(self.master, size))

    def _feed(self, data: bytes) -> None:
        now = time.monotonic()
        if self.bandwidth is not None:
            self._not_before = now + len(data) / self.bandwidth
        self.first_output = self.first_output or now
        if self.watch and self.watched_at is None:
            self._recent = self._recent[-len(self.watch) :] + data
            if self.watch in self._recent:
                self.watched_cpu = _processor_seconds(self.process.pid)
                self.watched_at = now
        for kind, token in self._split.feed(data):
            self._take(kind, token)
        self.bytes_out += len(data)
        self.last_output = now

    def _take(self, kind: str, token: bytes) -> None:
        match kind:
            case "text" | "esc":
                if self.emulate and token != b"\x1b\\":
                    self._stream.feed(token)
            case "csi":
                self._take_csi(token)
            case _:
                self.strings.setdefault(kind, []).append(token)
                self._answer_string(kind, token)

    def _take_csi(self, token: bytes) -> None:
        """Answer queries; hand pyte only what it understands: it takes private sequences for others."""
        who, words = self.personality, token[2:].decode("latin-1")
        reply = None
        if words in ("c", "0c"):
            reply = f"\x1b[?{who.da1}c"
        elif words in (">c", ">0c"):
            reply = "\x1b[>1;10;0c"
        elif words in (">q", ">0q"):
            reply = f"\x1bP>|{who.version}\x1b\\" if who.version else ""
        elif words == "16t":
            reply = f"\x1b[6;{who.cell[1]};{who.cell[0]}t" if who.cell else ""
        elif words == "14t":
            reply = f"\x1b[4;{who.cell[1] * self.rows};{who.cell[0] * self.columns}t" if who.cell else ""
        elif words == "18t":
            reply = f"\x1b[8;{self.rows};{self.columns}t"
        elif words == "6n":
            reply = f"\x1b[{self.screen.cursor.y + 1};{self.screen.cursor.x + 1}R"
        elif words == "5n":
            reply = "\x1b[0n"
        elif words == "?u":
            reply = "\x1b[?0u" if who.kitty else ""
        elif mode := re.fullmatch(r"\?(\d+)\$p", words):
            known = who.sync and mode[1] == "2026"
            reply = f"\x1b[?{mode[1]};{2 if known else 0}$y"
        if reply is not None:
            self._reply(words, reply)
            return
        if modes := re.fullmatch(r"\?([\d;]+)([hl])", words):
            (self.modes.update if modes[2] == "h" else self.modes.difference_update)(modes[1].split(";"))
        if colour := re.search(rb"48;2;(\d+);(\d+);(\d+)", token):
            self._colour = b":".join((b"48:2:", *colour.groups()))
        elif words in ("m", "0m"):
            self._colour = b""
        if self.emulate and re.fullmatch(r"\??[\d;]*[A-Za-su-z@`]", words):
            self._stream.feed(token)

    def _answer_string(self, kind: str, token: bytes) -> None:
        who = self.personality
        if kind == "dcs" and token.startswith(b"$q"):
            colour = self._colour.decode() if who.truecolor and self._colour else "48:5:16"
            self._reply("colours", f"\x1bP1$r0;{colour}m\x1b\\" if who.version or who.truecolor else "")
        elif kind == "apc" and token.startswith(b"G") and b"a=q" in token:
            identity = re.search(rb"i=(\d+)", token)
            number = identity[1].decode() if identity else "0"
            self._reply("kitty graphics", f"\x1b_Gi={number};OK\x1b\\" if who.kitty else "")

    def _reply(self, query: str, reply: str) -> None:
        self.queries.append(query)
        if reply and self.personality.da1 is not None:
            self._later(reply.encode(), self.latency)


def _processor_seconds(pid: int) -> float:
    """What a process has taken so far, by its own clock; 0 where the system has no such clock or the process ended."""
    try:
        return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3) of Linux
    except OSError:
        return 0.0


def usual_signals() -> None:
    """In a child: no signal is ignored, as under a terminal's shell, whatever the tests' own parent ignores.

    A shell's background jobs ignore SIGINT and SIGQUIT, those of `nohup` SIGHUP, and pass that on.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGTSTP):
        signal.signal(number, signal.SIG_DFL)


def _take_terminal() -> None:
    usual_signals()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
