"""Asking for somebody's attention through a terminal: bell, notifications of the desktop, progress at its window.

    BEL                                    every terminal
    OSC 9 ; text ST                        a notification (iTerm2, Ghostty, …)
    OSC 777 ; notify ; title ; text ST     the same (foot, WezTerm, urxvt)
    OSC 99 ; … ; text ST                   the same (kitty)
    OSC 9 ; 4 ; state ; percent ST         how far something is, at the window or its tab (ConEmu's, many have it)

One of the three is used, and only with a terminal that said by its name that it takes it: others print the text, or
take it for something else. A multiplexer swallows all of it; tmux passes it on where its user allows that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from tui_gen.text import clean

if TYPE_CHECKING:
    from tui_gen.draw.multiplexers import TmuxClient

BELL = "\a"
LONGEST = 200
"""Characters of a text, at most."""
NOTIFY: dict[str, tuple[str, tuple[int, ...]]] = {
    "kitty": ("99", (0, 20)), "foot": ("777", (1, 0)), "wezterm": ("777", (20210101,)), "ghostty": ("777", (1, 0)),
    "iterm2": ("9", (3, 0)),
}  # fmt: skip
"""How terminals take notifications, by how their names begin, and from which version on."""
PROGRESS: dict[str, tuple[int, ...]] = {
    "ghostty": (1, 2), "iterm2": (3, 6), "mintty": (3, 0), "wezterm": (20250101,), "xterm.js": (6, 0), "kitty": (0, 44),
}  # fmt: skip
"""Terminals that show progress, and from which version on. Older ones of some take it for a notification."""
TMUX_PROGRESS = (3, 7)
"""The first tmux that itself passes progress on."""
STATES = {"running": 1, "failed": 2, "interrupted": 2, "paused": 4}
"""A run's state → progress's; any other is none."""


class NoticeSupport(NamedTuple):
    """What a terminal takes: `desktop` is `9`, `777`, `99` or empty, `progress` whether it shows some, each `wrapped`
    for tmux where it has to be passed on. `reason` says why, in words."""

    desktop: str = ""
    progress: bool = False
    wrapped: bool = False
    progress_wrapped: bool = False
    reason: str = "the terminal does not say its name"


NONE = NoticeSupport(reason="not a terminal that shows any")


def taken(
    name: str, version: str, multiplexer: str, client: TmuxClient | None, environ: Mapping[str, str]
) -> NoticeSupport:
    """What the terminal takes that gave this name and version (of tmux, inside it), or the one around tmux."""
    if multiplexer == "tmux":
        if client is None or not client.kind:
            return NoticeSupport(reason="tmux does not say what is around it")
        outer, _, number = client.kind.replace("(", " ").rstrip(")").partition(" ")
        desktop, progress = _notifies(outer, number), _progresses(outer, number)
        direct = progress and _numbers(version) >= TMUX_PROGRESS
        if not client.passes:
            off = f"{outer} around tmux takes more than a bell, but allow-passthrough is off"
            return NoticeSupport(progress=direct, reason=off if desktop or progress else f"{outer} is known for none")
        reason = f"{outer} around tmux, which passes it on"
        return NoticeSupport(desktop, progress, True, progress and not direct, reason)
    if multiplexer:
        return NoticeSupport(reason=f"{multiplexer} keeps it to itself")
    if not name:  # Windows Terminal and ConEmu say theirs in variables, which do not travel by ssh
        is_far = environ.get("SSH_CONNECTION") or environ.get("SSH_TTY")
        is_theirs = not is_far and (environ.get("WT_SESSION") or environ.get("ConEmuANSI") == "ON")
        reason = "Windows Terminal or ConEmu, by the environment"
        return NoticeSupport(progress=True, reason=reason) if is_theirs else NoticeSupport()
    return NoticeSupport(_notifies(name, version), _progresses(name, version), reason=f"{name} {version}".strip())


def _notifies(name: str, version: str) -> str:
    for known, (way, least) in NOTIFY.items():
        if name.lower().startswith(known) and _numbers(version) >= least:
            return way
    return ""


def _progresses(name: str, version: str) -> bool:
    return any(name.lower().startswith(known) and _numbers(version) >= least for known, least in PROGRESS.items())


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def plain(text: str) -> str:
    """Text that may stand within a control sequence: printable, bounded, and without the sign that parts parameters."""
    return clean(text).replace(";", ",").replace("\\", "/")[:LONGEST]


def notification(found: NoticeSupport, title: str, text: str, number: int = 1) -> str:
    """The bytes that show a notification; empty where the terminal takes none. `number` tells one from another."""
    title, text = plain(title), plain(text)
    match found.desktop:
        case "9":
            data = f"\x1b]9;{text}\x1b\\"
        case "777":
            data = f"\x1b]777;notify;{title};{text}\x1b\\"
        case "99":
            data = f"\x1b]99;i=tui-gen-{number}:d=0;{title}\x1b\\\x1b]99;i=tui-gen-{number}:p=body;{text}\x1b\\"
        case _:
            return ""
    return _passed(data) if found.wrapped else data


def progress(found: NoticeSupport, state: str, fraction: float | None) -> str:
    """The bytes that show how far a run is at the window; empty where the terminal shows none."""
    if not found.progress:
        return ""
    number = STATES.get(state, 0)
    if number == 1 and fraction is None:
        number = 3  # nobody knows how far
    percent = round(100 * min(1.0, max(0.0, fraction or 0.0)))
    data = f"\x1b]9;4;{number};{percent if number in (1, 2, 4) else 0}\x1b\\"
    return _passed(data) if found.progress_wrapped else data


def _passed(data: str) -> str:
    """Control strings as tmux passes them on: each by itself."""
    strings = [part + "\x1b\\" for part in data.split("\x1b\\") if part]
    return "".join("\x1bPtmux;" + string.replace("\x1b", "\x1b\x1b") + "\x1b\\" for string in strings)


def words(found: NoticeSupport) -> str:
    """What a terminal takes, in words: `notifications (OSC 777) and progress; foot 1.16`."""
    parts = [f"notifications (OSC {found.desktop})"] if found.desktop else ["the bell, and no notifications"]
    parts += ["progress at the window (OSC 9;4)"] if found.progress else []
    return f"{' and '.join(parts)}; {found.reason}"
