"""What the terminal can show, asked before the application starts.

One write asks everything, the answer to DA1 comes last and is the fence: a terminal answers in order, and every
terminal answers DA1. So the probe ends as soon as all answers are there, is right at any latency within its budget,
and leaves nothing in the input for the application to mistake for keys.

    kitty query   ESC _ G i=31,a=q ... ST    answered by terminals with kitty graphics (not asked under tmux or screen,
                                             which take it for a title)
    CSI 16 t      cell size in pixels        CSI ? 2026 $ p    synchronised output (DECRQM)
    CSI > q       name and version           DCS $ q m ST      colours (DECRQSS after setting 48;2;1;2;3)
    CSI c         DA1; parameter 4 is sixel
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

CHOICES = ("auto", "kitty", "sixel", "halfblock", "ascii", "off")
VARIABLE = "TUI_GEN_GRAPHICS"
BUDGET, BUDGET_SSH = 1.0, 2.0  # seconds to wait for the fence
_DRAIN = 2.0  # more seconds to swallow late answers after that; only terminals that never answer wait that long

_KITTY = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
_ASK = b"\x1b[16t\x1b[?2026$p\x1b[>q\x1b[48;2;1;2;3m\x1bP$qm\x1b\\\x1b[0m"
_FENCE = re.compile(rb"\x1b\[\?([\d;]*)c")


@dataclass(frozen=True)
class Terminal:
    """The answers, and what follows from them.

    `graphics`: kitty, sixel, halfblock, ascii or off, and `reason`, why, in words. `cell`: (width, height) of a cell in
    pixels, None if unknown. `sync`: synchronised output. `tmux`: its version, "" outside ("?" if it does not tell).
    `unicode`: braille and blocks can be shown. `round_trip`: seconds to the first answer, None without one.
    """

    graphics: str
    reason: str
    cell: tuple[int, int] | None = None
    truecolor: bool = False
    colour: bool = True
    unicode: bool = True
    sync: bool = False
    tmux: str = ""
    name: str = ""
    version: str = ""
    round_trip: float | None = None
    answered: bool = False


@dataclass
class Replies:
    """What a terminal answered, as parsed by `parse`."""

    kitty: bool = False
    sixel: bool = False
    cell: tuple[int, int] | None = None
    truecolor: bool = False
    sync: bool = False
    name: str = ""
    version: str = ""
    fence: bool = False


def wanted(choice: str | None, environ: Mapping[str, str]) -> tuple[str, str]:
    """The user's choice of graphics and where it comes from; `choice` goes before the environment.

    Raises ValueError for an unknown name.
    """
    for value, source in ((choice, "--graphics"), (environ.get(VARIABLE), VARIABLE)):
        value = (value or "").strip().lower()
        if value and value not in CHOICES:
            raise ValueError(f"{source}={value}: choose one of {', '.join(CHOICES)}")
        if value and value != "auto":
            return value, source
        if value:
            break
    return "auto", ""


def probe(
    choice: str | None = None,
    environ: Mapping[str, str] | None = None,
    read_fd: int | None = None,
    write_fd: int | None = None,
    budget: float | None = None,
) -> Terminal:
    """Ask the terminal on `read_fd` and `write_fd` (standard input and output by default) and decide.

    `choice` or TUI_GEN_GRAPHICS (see CHOICES) wins over everything found. Without a terminal, with TERM=dumb, or in the
    background nothing is asked. Blocks for at most `budget` seconds (1, over SSH 2) and two seconds more when
    answers are late. Raises ValueError for an unknown choice.
    """
    environ = os.environ if environ is None else environ
    graphics, source = wanted(choice, environ)
    read_fd = _standard(sys.__stdin__) if read_fd is None else read_fd
    write_fd = _standard(sys.__stdout__, sys.__stderr__) if write_fd is None else write_fd
    dumb = environ.get("TERM", "") in ("", "dumb")
    tty = read_fd >= 0 and write_fd >= 0 and os.isatty(read_fd) and os.isatty(write_fd)
    replies, round_trip = Replies(), None
    if tty and not dumb and graphics != "off" and _foreground(read_fd):
        if budget is None:
            budget = BUDGET_SSH if environ.get("SSH_CONNECTION") or environ.get("SSH_TTY") else BUDGET
        questions = (b"" if _multiplexed(environ) else _KITTY) + _ASK
        # DECSC/DECRC keep cursor and colours; the blank line hides what a very old terminal may have echoed
        data, round_trip = _exchange(read_fd, write_fd, b"\x1b7" + questions + b"\x1b8\x1b[K\x1b[c", budget)
        replies = parse(data)
    if replies.cell is None and write_fd >= 0:
        replies.cell = cell_size(write_fd)
    return decide(replies, graphics, source, environ, tty, round_trip)


def parse(data: bytes) -> Replies:
    """The answers found in `data`, in any order, whatever is between them."""
    replies = Replies()
    if fence := _FENCE.search(data):
        replies.fence = True
        replies.sixel = b"4" in fence[1].split(b";")[1:]
    replies.kitty = re.search(rb"\x1b_Gi=31[^;\x1b]*;OK\x1b\\", data) is not None
    if size := re.search(rb"\x1b\[6;(\d+);(\d+)t", data):
        height, width = int(size[1]), int(size[2])
        replies.cell = (width, height) if width and height else None
    if mode := re.search(rb"\x1b\[\?2026;(\d)\$y", data):
        replies.sync = mode[1] in (b"1", b"2", b"3")
    replies.truecolor = re.search(rb"\x1bP1\$r[\d:;]*48[:;]2[:;]{1,2}1[:;]2[:;]3[^\x1b]*m", data) is not None
    if version := re.search(rb"\x1bP>\|([^\x1b]*)\x1b\\", data):
        text = version[1].decode("utf-8", "replace")
        name, _, number = text.replace("(", " ").rstrip(")").partition(" ")
        replies.name, replies.version = name, number.strip()
    return replies


def decide(
    replies: Replies,
    graphics: str,
    source: str,
    environ: Mapping[str, str],
    tty: bool,
    round_trip: float | None = None,
) -> Terminal:
    """The Terminal for these replies; `graphics` is the user's choice or auto. No input or output but asking tmux."""
    term = environ.get("TERM", "")
    tmux = ""
    if replies.name.lower() == "tmux" or environ.get("TMUX") or term.startswith("tmux"):
        tmux = replies.version if replies.name.lower() == "tmux" and replies.version else "?"
    colour = not environ.get("NO_COLOR") and term not in ("", "dumb")
    unicode = term not in ("", "dumb", "linux") and not _other_charset(environ)
    if graphics != "auto":
        chosen, reason = graphics, f"chosen with {source}"
    elif not tty:
        chosen, reason = "ascii", "not a terminal"
    elif term in ("", "dumb"):
        chosen, reason = "ascii", "TERM is dumb" if term else "TERM is not set"
    elif not colour:
        chosen, reason = "ascii", "NO_COLOR is set"
    elif not unicode:
        chosen, reason = "ascii", f"no block characters (TERM={term}, locale)"
    elif replies.kitty and not tmux:
        chosen, reason = "kitty", "the terminal answered the kitty graphics query"
    elif replies.sixel and replies.cell and (why_not := _tmux_hides_sixel(tmux, environ)):
        chosen, reason = "halfblock", why_not
    elif replies.sixel and replies.cell:
        chosen, reason = "sixel", "the terminal reports sixel graphics" + (" (through tmux)" if tmux else "")
    else:
        chosen = "halfblock"
        reason = "the terminal reports no pixel graphics" if replies.fence else "the terminal did not answer"
    deep = environ.get("COLORTERM", "").lower() in ("truecolor", "24bit") or term.endswith("-direct")
    return Terminal(
        graphics=chosen,
        reason=reason,
        cell=replies.cell,
        truecolor=colour and (replies.truecolor or deep),
        colour=colour,
        unicode=unicode,
        sync=replies.sync,
        tmux=tmux,
        name=replies.name,
        version=replies.version,
        round_trip=round_trip,
        answered=replies.fence,
    )


def cell_size(fd: int) -> tuple[int, int] | None:
    """(width, height) of a cell in pixels as the kernel knows it, None when it does not (usual over SSH)."""
    try:
        rows, columns, width, height = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    except OSError:
        return None
    if not (rows and columns and width and height):
        return None
    return max(1, width // columns), max(1, height // rows)


def _standard(*streams: object) -> int:
    """The descriptor of the first stream that is a terminal, -1 without one."""
    for stream in streams:
        try:
            fd = stream.fileno()
        except (AttributeError, OSError, ValueError):
            continue
        if os.isatty(fd):
            return fd
    return -1


def _foreground(fd: int) -> bool:
    """Whether we may change the terminal's mode; from the background that would stop this process."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return True  # not our controlling terminal: nobody will stop us


def _multiplexed(environ: Mapping[str, str]) -> bool:
    return bool(environ.get("TMUX") or environ.get("STY")) or environ.get("TERM", "").startswith(("tmux", "screen"))


def _other_charset(environ: Mapping[str, str]) -> bool:
    """Whether the locale names a character set that is not UTF-8 (an unset or C locale is taken for UTF-8)."""
    value = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
    charset = value.partition(".")[2].partition("@")[0].lower().replace("-", "")
    return charset not in ("", "utf8")


def _tmux_hides_sixel(tmux: str, environ: Mapping[str, str]) -> str:
    """Why sixel will not come through tmux; "" when it will, or outside tmux."""
    if not tmux:
        return ""
    number = re.search(r"(\d+)\.(\d+)", tmux)
    if not number or (int(number[1]), int(number[2])) < (3, 4):
        return f"tmux {tmux} does not pass pixel graphics on"
    if not environ.get("TMUX"):
        return ""
    # tmux built with sixel claims it even where the terminal around it has none
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        asked = subprocess.run(
            ["tmux", "display-message", "-p", "#{client_termfeatures}"],
            capture_output=True, text=True, timeout=0.5, env=dict(environ), stdin=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        if asked.stdout.strip() and "sixel" not in asked.stdout:
            return "the terminal around tmux has no sixel"
    return ""


def _exchange(read_fd: int, write_fd: int, questions: bytes, budget: float) -> tuple[bytes, float | None]:
    """Send `questions` and read until the fence; (all bytes read, seconds to the first of them)."""
    data = bytearray()
    first: float | None = None
    # OSError and termios.error: the terminal went away while we asked
    with contextlib.suppress(OSError, termios.error), _quiet(read_fd):
        start = time.monotonic()
        view = memoryview(questions)
        while view:
            if not select.select([], [write_fd], [], budget)[1]:
                return b"", None  # nobody reads our output
            view = view[os.write(write_fd, view) :]
        deadline, extended = start + budget, False
        while not _FENCE.search(data):
            left = deadline - time.monotonic()
            if left <= 0:
                if extended:
                    break
                # too late to wait on, but what comes now would be typed into the application
                deadline, extended = time.monotonic() + _DRAIN, True
                continue
            if select.select([read_fd], [], [], left)[0]:
                chunk = os.read(read_fd, 4096)
                if not chunk:
                    break
                if first is None and b"\x1b" in chunk:  # not something typed meanwhile
                    first = time.monotonic() - start
                data += chunk
    return bytes(data), first


@contextlib.contextmanager
def _quiet(fd: int) -> Iterator[None]:
    """No echo and no line editing on `fd`; the old mode comes back on every way out and unread input is dropped.

    Ctrl-C keeps working. SIGTERM and SIGHUP become SystemExit meanwhile; by default they would leave the terminal mute.
    """
    before = termios.tcgetattr(fd)
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                handlers[number] = signal.signal(number, _leave)
    try:
        mode = termios.tcgetattr(fd)
        mode[0] &= ~(termios.ICRNL | termios.INLCR | termios.IXON)
        mode[3] &= ~(termios.ECHO | termios.ICANON)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(fd, termios.TCSADRAIN, mode)
        yield
    finally:
        with contextlib.suppress(termios.error):  # the terminal may be gone
            termios.tcsetattr(fd, termios.TCSAFLUSH, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)
