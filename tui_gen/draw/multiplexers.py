"""The programs that stand between us and the terminal, and what may be said to them.

A multiplexer (tmux, GNU screen, dvtm, Zellij) reads every byte itself. What it does not know it may print, put into a
title, or take for something else: a question that every terminal passes over has ended a whole tmux server. So under
one, nothing is asked but device attributes, name and version, and the cursor's position, and nothing is written but
what `permitted` lets through.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from typing import NamedTuple

NAMES = ("tmux", "screen", "zellij", "dvtm")
"""By these names a version answer tells that it comes from a multiplexer."""
SAFE_TMUX = (3, 6)
"""The first tmux that, built with sixel, shows pictures and survives them."""

PLACEHOLDING = ("kitty", "ghostty")
"""Terminals, by how the name begins that they give tmux, which show pictures in placeholders."""
PLACEHOLDING_KITTY = (0, 28)
"""The first kitty that does."""
_ASKED = (
    "client_termfeatures", "client_cell_width", "client_cell_height", "client_termtype", "allow-passthrough",
    "client_utf8",
)  # fmt: skip
PATIENCE = 0.5
"""Seconds that tmux may take to tell about the terminal around it."""
DEVICE, VERSION, POSITION = b"\x1b[c", b"\x1b[>q", b"\x1b[6n"
"""All that may be asked anywhere: DA1, XTVERSION, a cursor report."""

# Patterns are compiled when first used: outside of a multiplexer none is.
_STRING = r"(?s)\x1b([P_\]^X])((?:[^\x1b\x07]|\x1b(?!\\))*)(?:\x07|\x1b\\|\Z)"
# Whatever is not a move, an erasure, a colour, an insertion or deletion, DEVICE, POSITION, or the cursor kept and
# brought back. A pattern that fits only what goes wrong: a frame holds thousands of colours.
_OTHER = (
    r"\x1b\[(?![\d;:]*[A-HJ-MPXdfm]|6n|c)([<=>?]?)([\d;:]*[ -/]*)([@-~])|\x1b(?![\[78P_\]^X\\])[ -/]*[0-~]|[\x80-\x9f]"
)
MODES = frozenset(["7", "25", "1000", "1002", "1003", "1004", "1006", "1015", "1047", "1048", "1049", "2004"])
"""Private modes that every multiplexer knows or passes over: wrap, cursor, mouse, focus, alternate screen, paste."""
_PASSED = (
    r"\x1bPtmux;\x1b\x1b(?:(?P<picture>_G)|\](?:9|777|99);)[^\x00-\x1f\x7f-\x9f]*\x1b\x1b\\\x1b\\"
)
"""A picture of kitty's, or a notice, for the terminal around tmux, as tmux wants it wrapped."""
_PROGRESS = r"9;4;[0-4];\d{1,3}\Z"
_SIXEL = r"[\d;]*q[\d\"#]"
_CLIPBOARD = r"52;[a-z]*;[A-Za-z0-9+/=]*\Z"


def named(environ: Mapping[str, str], name: str = "") -> str:
    """The multiplexer that reads what we write: one of NAMES, "" for none.

    `name` is what a version answer gave, and goes before the environment, which a window that was opened from inside
    one, or a multiplexer inside another, inherits. A name that is no multiplexer's takes nothing back.
    """
    term = environ.get("TERM", "")
    if name.lower() in NAMES:
        return name.lower()
    if environ.get("STY") and not term.startswith("tmux"):
        return "screen"  # it alone gives no version
    if environ.get("TMUX") or term.startswith("tmux"):
        return "tmux"
    if term.startswith("screen"):
        return "screen"
    if environ.get("ZELLIJ"):
        return "zellij"
    return "dvtm" if term.startswith("dvtm") or environ.get("DVTM") else ""


def permitted(data: str, multiplexer: str, graphics: str = "") -> str:
    """The part of `data`, whole sequences for a terminal, that may be written where `multiplexer` reads it.

    Outside one that is all. Inside, strings (DCS, APC, OSC, PM, SOS) and private sequences stay away, but for MODES,
    the clipboard (OSC 52; not in screen and dvtm) and pictures of the protocol `graphics`, kitty or sixel; inside tmux,
    kitty's only as tmux passes them on, and notices (OSC 9, 777, 99) likewise; progress (OSC 9;4) as it is.
    """
    if not multiplexer:
        return data
    if "\x1bPtmux;" in data:
        parts, at = [], 0
        for match in re.finditer(_PASSED, data):
            passes = multiplexer == "tmux" and (graphics == "kitty" or not match["picture"])
            parts += [permitted(data[at : match.start()], multiplexer, graphics), match[0] if passes else ""]
            at = match.end()
        if at:
            return "".join(parts) + permitted(data[at:], multiplexer, graphics)

    def string(match: re.Match[str]) -> str:
        kind, body = match[1], match[2]
        has_clipboard = multiplexer in ("tmux", "zellij")
        if kind == "P":
            good = graphics == "sixel" and re.match(_SIXEL, body) is not None
        elif kind == "_":
            good = graphics == "kitty" and body.startswith("G") and multiplexer != "tmux"
        else:
            good = kind == "]" and has_clipboard and re.match(_CLIPBOARD, body) is not None
            good = good or (kind == "]" and multiplexer == "tmux" and re.match(_PROGRESS, body) is not None)
        return match[0] if good else ""

    def other(match: re.Match[str]) -> str:
        mode = match[1] == "?" and match[3] in "hl" and MODES.issuperset(match[2].split(";"))
        return match[0] if mode else ""

    return re.sub(_OTHER, other, re.sub(_STRING, string, data))


def claims_truecolor(environ: Mapping[str, str], name: str = "") -> bool:
    """Whether the environment says that all colours can be shown, where nothing better is known.

    COLORTERM is inherited by whatever starts in a terminal. tmux and Zellij turn colours into those there are; the
    others take the numbers of a colour for something else, and everything becomes unreadable.
    """
    colorterm, term = environ.get("COLORTERM", "").lower(), environ.get("TERM", "")
    claim = colorterm in ("truecolor", "24bit") or term.endswith("-direct")
    return claim and named(environ, name) not in ("screen", "dvtm")


class TmuxClient(NamedTuple):
    """The terminal around tmux, as tmux knows it: its `features`, a `cell`'s (width, height) in pixels, its `kind`.

    `passes` tells whether tmux's user lets programs send it what tmux does not read (allow-passthrough), `utf8` whether
    it has letters beyond ASCII: tmux goes by the locale that it was started in, and ssh starts many in none.

    `cell` is None where that terminal does not tell (tmux invents a size for its panes then), `kind` a name and version
    such as XTerm(379), or "".
    """

    features: frozenset[str]
    cell: tuple[int, int] | None = None
    kind: str = ""
    passes: bool = False
    utf8: bool = True

    @property
    def shows_placeholders(self) -> bool:
        """Whether kitty's pictures get there, and are known to be shown in cells of text."""
        return self.kind.lower().startswith(PLACEHOLDING) and not self.lacking

    @property
    def lacking(self) -> str:
        """What keeps tmux from having kitty's pictures in cells of text, whose colours say which they are; or empty."""
        version = re.match(r"kitty\D*(\d+)\.(\d+)", self.kind.lower())
        if version and (int(version[1]), int(version[2])) < PLACEHOLDING_KITTY:
            since = ".".join(map(str, PLACEHOLDING_KITTY))
            return f"{self.kind} shows no pictures inside tmux: kitty does since {since}"
        if not self.passes:
            return "tmux does not pass pictures on: set -g allow-passthrough on"
        if "RGB" not in self.features:
            return 'tmux is not told that it has all colours, which pictures need: set -as terminal-features "*:RGB"'
        return ""


def tmux_client(environ: Mapping[str, str]) -> TmuxClient | None:
    """Ask tmux, over its own socket, about the terminal around it; None without an answer in time."""
    if not environ.get("TMUX"):
        return None
    words = "|".join(f"#{{{name}}}" for name in _ASKED)
    try:
        process = subprocess.run(
            ["tmux", "display-message", "-p", words],
            capture_output=True, text=True, timeout=PATIENCE, env=dict(environ), stdin=subprocess.DEVNULL, check=True,
            cwd=os.sep,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    parts = process.stdout.strip().split("|")
    if len(parts) != len(_ASKED) or not parts[0]:
        return None
    width, height = (int(part) if part.isdigit() else 0 for part in parts[1:3])
    cell = (width, height) if width and height else None
    passes, utf8 = parts[4] not in ("", "0", "off"), parts[5] != "0"
    return TmuxClient(frozenset(parts[0].split(",")), cell, parts[3], passes, utf8)


def hides_sixel(version: str, client: TmuxClient | None) -> str:
    """Why a tmux of this version will not show sixels, in words; "" where it will."""
    number = re.search(r"(\d+)\.(\d+)", version)
    if not number or (int(number[1]), int(number[2])) < SAFE_TMUX:
        return f"tmux {version} does not show pixel graphics safely; {'.'.join(map(str, SAFE_TMUX))} does"
    if client is not None and "sixel" not in client.features:
        return "the terminal around tmux has no sixel"  # tmux built with sixel claims it all the same
    return ""
