"""What the terminal can show, asked before the application starts.

In two turns, because a multiplexer must not hear most of these questions (tui_gen.draw.multiplexers): who is there is
asked first, and only a terminal that said so, and that is none, is asked the rest.

    first   CSI > q   name and version
    then    kitty query   ESC _ G i=31,a=q ... ST      answered by terminals with kitty graphics
            CSI 14 t, CSI 16 t   size of the text area, of a cell, in pixels
            CSI ? 2026 $ p   synchronised output (DECRQM)
            DCS $ q m ST   colours (DECRQSS after setting 48;2;1;2;3)
            CSI ? 2 ; 4 ; 0 S   the largest sixel (XTSMGRAPHICS), where there is sixel
            OSC 11 ; ? ST   the ground, where pictures will be of characters in the terminal's own colours
    last    CSI c   device attributes (DA1); parameter 4 is sixel
            CSI 6 n   where the cursor is: the fence, for not all know the one before

A terminal answers in order, and every terminal answers the fence. So each turn ends as soon as all answers are there,
is right at any latency within its budget, and leaves nothing in the input for the application to mistake for keys.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import struct
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TextIO

from tui_gen.draw import attention, multiplexers
from tui_gen.draw.multiplexers import TmuxClient
from tui_gen.draw.signals import as_before, leave_in_order

CHOICES = ("auto", "kitty", "sixel", "iterm2", "halfblock", "ascii", "off")
ITERM2 = ("iterm2", "wezterm", "mintty")
"""Terminals, by how the name begins that they give, which show iTerm2's inline images."""
VARIABLE = "TUI_GEN_GRAPHICS"
BUDGET, BUDGET_SSH = 1.0, 2.0  # seconds to wait for the fence
XTERM_LARGEST = (1000, 1000)  # pixels of a sixel; xterm drops a larger one whole
_DRAIN = 2.0  # more seconds to swallow late answers after that; only terminals that never answer wait that long
_PATIENCE = 0.3  # seconds for the cursor report of a terminal that answered DA1 but may know no cursor reports

_KITTY = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
_THEN = b"\x1b[14t\x1b[16t\x1b[?2026$p\x1b[48;2;1;2;3m\x1bP$qm\x1b\\\x1b[0m"
_LARGEST = b"\x1b[?2;4;0S"
_GROUND = b"\x1b]11;?\x1b\\"
_DEVICE = re.compile(rb"\x1b\[\?([\d;]*)c")
_FENCE = re.compile(rb"\x1b\[\d+;\d+R")

Cell = tuple[float, float]


class Terminal(NamedTuple):
    """The answers, and what follows from them.

    `graphics`: kitty, sixel, iterm2, halfblock, ascii or off, and `reason`, why, in words. `cell`: (width, height) of a
    cell in pixels, None if unknown; `largest`: the same of the largest sixel, None for any. `colours`: "truecolor" or
    "256" if known, "" for what TERM says. `sync`: synchronised output. `multiplexer`: its name, "" outside; `tmux`: its
    version, "" outside ("?" if it does not tell). `unicode`: braille and blocks can be shown. `mouse`: it may be
    listened to. `round_trip`: seconds to the first answer, None without one. `light`: its own text is dark on light,
    None if nobody tells.
    """

    graphics: str
    reason: str
    cell: Cell | None = None
    colours: str = ""
    colour: bool = True
    unicode: bool = True
    sync: bool = False
    multiplexer: str = ""
    tmux: str = ""
    name: str = ""
    version: str = ""
    round_trip: float | None = None
    answered: bool = False
    largest: tuple[int, int] | None = None
    choice: str = "auto"
    """What was asked for, to ask again."""
    placeholders: bool = False
    """Whether kitty's pictures are shown in cells of text that name them, and sent through tmux."""
    notices: attention.NoticeSupport = attention.NONE
    """What it takes to call somebody."""
    light: bool | None = None

    @property
    def truecolor(self) -> bool:
        """Whether all colours can be shown."""
        return self.colours == "truecolor"

    @property
    def mouse(self) -> bool:
        """Not in GNU screen, which keeps the Escape key to itself while the mouse is listened to."""
        return self.multiplexer != "screen"


class Replies(NamedTuple):
    """What a terminal answered, as parsed by `parse`. `truecolor` is None without an answer, `area` the text's size."""

    kitty: bool = False
    sixel: bool = False
    cell: Cell | None = None
    area: tuple[int, int] | None = None
    truecolor: bool | None = None
    sync: bool = False
    name: str = ""
    version: str = ""
    largest: tuple[int, int] | None = None
    fence: bool = False
    light: bool | None = None


def graphics_choice(choice: str | None, environ: Mapping[str, str]) -> tuple[str, str]:
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
    drain: float | None = None,
) -> Terminal:
    """Ask the terminal on `read_fd` and `write_fd` (standard input and output by default) and decide.

    `choice` or TUI_GEN_GRAPHICS (see CHOICES) wins over everything found. Without a terminal, with TERM=dumb, or in the
    background nothing is asked. Blocks for at most `budget` seconds (1, over SSH 2) and `drain` seconds (2) more when
    answers are late. Raises ValueError for an unknown choice.
    """
    environ = os.environ if environ is None else environ
    graphics, source = graphics_choice(choice, environ)
    read_fd = _standard(sys.__stdin__) if read_fd is None else read_fd
    write_fd = _standard(sys.__stdout__, sys.__stderr__) if write_fd is None else write_fd
    dumb = environ.get("TERM", "") in ("", "dumb")
    tty = read_fd >= 0 and write_fd >= 0 and os.isatty(read_fd) and os.isatty(write_fd)
    replies, round_trip, client = Replies(), None, None
    if tty and not dumb and graphics != "off" and _foreground(read_fd):
        if budget is None:
            budget = BUDGET_SSH if environ.get("SSH_CONNECTION") or environ.get("SSH_TTY") else BUDGET
        own = (bool(environ.get("NO_COLOR")) or graphics == "ascii") and environ.get("TERM") != "linux"
        drain = _DRAIN if drain is None else drain
        data, round_trip = _converse(read_fd, write_fd, environ, budget, drain, _GROUND if own else b"")
        replies = parse(data)
        if multiplexers.named(environ, replies.name) == "tmux":
            client = multiplexers.tmux_client(environ)
    replies = replies._replace(cell=_cell(replies, write_fd, client))
    return decide(replies, graphics, source, environ, tty, round_trip, client)


def throughput(terminal: Terminal, read_fd: int | None = None, write_fd: int | None = None) -> float | None:
    """Bytes a second that the terminal takes, all of the link and of its drawing; None where it answers nothing.

    Blanks are written over one line, a few at first, and more only where those went fast: a slow link is not held up.
    """
    read_fd = _standard(sys.__stdin__) if read_fd is None else read_fd
    write_fd = _standard(sys.__stdout__, sys.__stderr__) if write_fd is None else write_fd
    if not terminal.answered or read_fd < 0 or write_fd < 0 or not _foreground(read_fd):
        return None
    speed = None
    with contextlib.suppress(OSError, termios.error), _quiet(read_fd):
        for amount in (1 << 12, 1 << 16, 1 << 20):
            blanks = (b"\r" + b" " * 63) * (amount // 64) + b"\r"
            _, seconds = _exchange(read_fd, write_fd, blanks, 10.0, _DRAIN)
            if seconds is None:
                break
            took = max(seconds - (terminal.round_trip or 0.0), 1e-4)
            speed = amount / took
            if took > 0.05:
                break
    return speed


def parse(data: bytes) -> Replies:
    """The answers found in `data`, in any order, whatever is between them."""
    replies = Replies()
    if device := _DEVICE.search(data):
        replies = replies._replace(fence=True, sixel=b"4" in device[1].split(b";")[1:])
    replies = replies._replace(kitty=re.search(rb"\x1b_Gi=31[^;\x1b]*;OK\x1b\\", data) is not None)
    if size := re.search(rb"\x1b\[6;(\d+);(\d+)t", data):
        height, width = int(size[1]), int(size[2])
        replies = replies._replace(cell=(width, height) if believable(width, height) else None)
    if size := re.search(rb"\x1b\[4;(\d+);(\d+)t", data):
        replies = replies._replace(area=(int(size[2]), int(size[1])))
    if mode := re.search(rb"\x1b\[\?2026;(\d)\$y", data):
        replies = replies._replace(sync=mode[1] in (b"1", b"2", b"3"))
    if colours := re.search(rb"\x1bP1\$r([\d:;]*)m\x1b\\", data):
        if re.search(rb"48[:;]2[:;]{1,2}1[:;]2[:;]3(?![\d:])", colours[1]):
            replies = replies._replace(truecolor=True)
        elif re.search(rb"(^|;)(48[:;]|4\d(;|$)|10\d(;|$))", colours[1]):
            replies = replies._replace(truecolor=False)  # the nearest of fewer; one that tells no ground tells nothing
    if version := re.search(rb"\x1bP>\|([^\x1b]*)\x1b\\", data):
        text = version[1].decode("utf-8", "replace")
        name, _, number = text.replace("(", " ").rstrip(")").partition(" ")
        replies = replies._replace(name=name, version=number.strip())
    if largest := re.search(rb"\x1b\[\?2;0;(\d+);(\d+)S", data):
        width, height = int(largest[1]), int(largest[2])
        replies = replies._replace(largest=(width, height) if width and height else None)
    if ground := re.search(rb"\x1b\]11;rgba?:([\dA-Fa-f]{1,4})/([\dA-Fa-f]{1,4})/([\dA-Fa-f]{1,4})", data):
        red, green, blue = (int(part, 16) / (16 ** len(part) - 1) for part in ground.groups())
        replies = replies._replace(light=0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.5)
    return replies


def decide(
    replies: Replies,
    graphics: str,
    source: str,
    environ: Mapping[str, str],
    tty: bool,
    round_trip: float | None = None,
    client: TmuxClient | None = None,
) -> Terminal:
    """The Terminal for these replies; `graphics` is the user's choice or auto. No input or output."""
    term = environ.get("TERM", "")
    multiplexer = multiplexers.named(environ, replies.name)
    tmux = ""
    if multiplexer == "tmux":
        tmux = replies.version if replies.name.lower() == "tmux" and replies.version else "?"
    colour = not environ.get("NO_COLOR") and term not in ("", "dumb")
    shown = client is None or client.utf8
    unicode = term not in ("", "dumb", "linux") and not _other_charset(environ) and shown
    if graphics != "auto":
        renderer, reason = graphics, f"chosen with {source}"
    elif not tty:
        renderer, reason = "ascii", "not a terminal"
    elif term in ("", "dumb"):
        renderer, reason = "ascii", "TERM is dumb" if term else "TERM is not set"
    elif not colour:
        renderer, reason = "ascii", "NO_COLOR is set"
    elif not shown:
        renderer, reason = "ascii", "tmux takes this terminal for one without UTF-8: start it as tmux -u"
    elif not unicode:
        renderer, reason = "ascii", f"no block characters (TERM={term}, locale)"
    elif replies.kitty and not multiplexer:
        renderer, reason = "kitty", "the terminal answered the kitty graphics query"
    elif tmux and client is not None and client.shows_placeholders:
        renderer, reason = "kitty", "the terminal around tmux has kitty graphics, and tmux passes them on"
    elif replies.sixel and replies.cell and tmux and (why_not := multiplexers.hides_sixel(tmux, client)):
        renderer, reason = "halfblock", why_not
    elif replies.sixel and replies.cell:
        renderer, reason = "sixel", "the terminal reports sixel graphics" + (" (through tmux)" if tmux else "")
    elif replies.name.lower().startswith(ITERM2) and not multiplexer:
        renderer, reason = "iterm2", "the terminal is one that shows iTerm2's inline images"
    else:
        renderer = "halfblock"
        reason = "the terminal reports no pixel graphics" if replies.fence else "the terminal did not answer"
        if tmux and client is not None and client.kind.lower().startswith(multiplexers.PLACEHOLDING):
            reason = client.lacking
    largest = replies.largest
    if client is not None and client.kind.startswith("XTerm"):
        largest = XTERM_LARGEST  # it will not be asked
    return Terminal(
        graphics=renderer,
        reason=reason,
        cell=replies.cell,
        colours=_colours(replies, multiplexer, client, environ) if colour else "",
        colour=colour,
        unicode=unicode,
        sync=replies.sync,
        multiplexer=multiplexer,
        tmux=tmux,
        name=replies.name,
        version=replies.version,
        round_trip=round_trip,
        answered=replies.fence,
        largest=largest,
        choice=graphics,
        placeholders=renderer == "kitty" and bool(tmux),
        light=replies.light if replies.light is not None or multiplexer else inherited_light(environ),
        notices=attention.taken(replies.name, tmux or replies.version, multiplexer, client, environ)
        if tty and term not in ("", "dumb")
        else attention.NONE,
    )


def _colours(replies: Replies, multiplexer: str, client: TmuxClient | None, environ: Mapping[str, str]) -> str:
    """What is known about colours: by their answer, by tmux's word, by the environment."""
    if replies.truecolor is not None:
        return "truecolor" if replies.truecolor else "256"
    if client is not None:
        return "truecolor" if "RGB" in client.features else "256"
    if multiplexers.claims_truecolor(environ, replies.name):
        return "truecolor"
    return "256" if multiplexer else ""


def inherited_light(environ: Mapping[str, str]) -> bool | None:
    """Whether the ground is light by COLORFGBG (`0;15`, black on white), which rxvt, Konsole and others set."""
    ground = environ.get("COLORFGBG", "").rpartition(";")[2]
    return int(ground) in (7, *range(9, 16)) if ground.isdigit() else None


def believable(width: float, height: float) -> bool:
    """Whether a cell can be of this size in pixels. Where nobody knows it, systems make sizes up, or pass on noise."""
    return 4 <= width <= 64 and 6 <= height <= 128 and width <= height <= 4 * width


def _cell(replies: Replies, fd: int, client: TmuxClient | None) -> Cell | None:
    """The size of a cell by the best source that can be believed: tmux's terminal, ours, the kernel."""
    if client is not None:
        return client.cell if client.cell and believable(*client.cell) else None
    cell = replies.cell
    if replies.area is not None and fd >= 0:
        rows, columns = _size(fd)[:2]
        width, height = (replies.area[0] / columns, replies.area[1] / rows) if rows and columns else (0.0, 0.0)
        # parts of pixels are lost where a terminal tells a cell's size; a frame around the text would be more
        if believable(width, height) and (cell is None or (0 <= width - cell[0] < 1 and 0 <= height - cell[1] < 1)):
            cell = (width, height)
    return cell or (cell_size(fd) if fd >= 0 else None)


def cell_size(fd: int) -> tuple[int, int] | None:
    """(width, height) of a cell in pixels as the kernel knows it, None when it does not (usual over SSH)."""
    rows, columns, width, height = _size(fd)
    if not (rows and columns and believable(width // columns, height // rows)):
        return None
    return width // columns, height // rows


def _size(fd: int) -> tuple[int, int, int, int]:
    """(rows, columns, width, height) as the kernel knows them; zeros when it does not."""
    try:
        rows, columns, width, height = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    except OSError:
        return 0, 0, 0, 0
    return rows, columns, width, height


def _standard(*streams: TextIO | None) -> int:
    """The descriptor of the first stream that is a terminal, -1 without one."""
    for stream in streams:
        if stream is None:
            continue
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


def _other_charset(environ: Mapping[str, str]) -> bool:
    """Whether the locale names a character set that is not UTF-8 (an unset or C locale is taken for UTF-8)."""
    value = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
    charset = value.partition(".")[2].partition("@")[0].lower().replace("-", "")
    return charset not in ("", "utf8")


def _converse(
    read_fd: int, write_fd: int, environ: Mapping[str, str], budget: float, drain: float, also: bytes = b""
) -> tuple[bytes, float | None]:
    """All answers to the questions that may be asked here, `also` among them, and the seconds to the first of them."""
    data, first = b"", None
    # OSError and termios.error: the terminal went away while we asked
    with contextlib.suppress(OSError, termios.error), _quiet(read_fd):
        data, first = _exchange(read_fd, write_fd, multiplexers.VERSION, budget, drain)
        who = parse(data)
        if who.fence and not multiplexers.named(environ, who.name):
            more = _KITTY + _THEN + (_LARGEST if who.sixel else b"") + also
            data += _exchange(read_fd, write_fd, more, max(budget, 3 * (first or 0)), drain)[0]
    return data, first


def _exchange(
    read_fd: int, write_fd: int, questions: bytes, budget: float, drain: float
) -> tuple[bytes, float | None]:
    """Send `questions` and read until the fence; (all bytes read, seconds to the first of them).

    DECSC and DECRC keep cursor and colours; the blank line hides what a very old terminal may have printed.
    """
    start = time.monotonic()
    view = memoryview(b"\x1b7" + questions + b"\x1b8\x1b[K" + multiplexers.DEVICE + multiplexers.POSITION)
    while view:
        if not select.select([], [write_fd], [], budget)[1]:
            return b"", None  # nobody reads our output
        view = view[os.write(write_fd, view) :]
    data = bytearray()
    first: float | None = None
    deadline, extended = start + budget, False
    while not _FENCE.search(data):
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            if extended:
                break
            # too late to wait on, but what comes now would be typed into the application
            deadline, extended = time.monotonic() + drain, True
            continue
        if select.select([read_fd], [], [], remaining)[0]:
            chunk = os.read(read_fd, 4096)
            if not chunk:
                break
            if first is None and b"\x1b" in chunk:  # not something typed meanwhile
                first = time.monotonic() - start
            data += chunk
            if _DEVICE.search(data):
                deadline, extended = min(deadline, time.monotonic() + max(_PATIENCE, 2 * (first or 0))), True
    return bytes(data), first


@contextlib.contextmanager
def _quiet(fd: int) -> Iterator[None]:
    """No echo and no line editing on `fd`; the old mode comes back on every way out and unread input is dropped.

    Ctrl-C keeps working. The other signals that end a program become SystemExit meanwhile: by default they would leave
    the terminal mute.
    """
    before = termios.tcgetattr(fd)
    handlers = leave_in_order()
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
        as_before(handlers)
