"""What a terminal takes of bells, notifications and progress; and that no text of a run can say anything else to it."""

from __future__ import annotations

import re

import pytest

from tests.hostile import EVIL
from tui_gen.draw import attention
from tui_gen.draw.multiplexers import NAMES, TmuxClient, permitted


def client(kind, passes=True):
    return TmuxClient(frozenset({"RGB"}), None, kind, passes)


@pytest.mark.parametrize(
    "name, version, multiplexer, around, environ, desktop, progress, wrapped",
    [
        ("kitty", "0.26.5", "", None, {}, "99", False, False),
        ("kitty", "0.45.0", "", None, {}, "99", True, False),
        ("foot", "1.16.2", "", None, {}, "777", False, False),
        ("ghostty", "1.1.3", "", None, {}, "777", False, False),
        ("ghostty", "1.2.0", "", None, {}, "777", True, False),
        ("WezTerm", "20240203-110809-5046fc22", "", None, {}, "777", False, False),
        ("iTerm2", "3.5.1", "", None, {}, "9", False, False),
        ("iTerm2", "3.6.2", "", None, {}, "9", True, False),
        ("XTerm", "379", "", None, {}, "", False, False),
        ("Konsole", "22.12.3", "", None, {}, "", False, False),
        ("xterm.js", "6.1.0-beta", "", None, {}, "", True, False),
        ("", "", "", None, {}, "", False, False),
        ("", "", "", None, {"WT_SESSION": "x"}, "", True, False),
        ("", "", "", None, {"WT_SESSION": "x", "SSH_CONNECTION": "y"}, "", False, False),
        ("", "", "screen", None, {}, "", False, False),
        ("tmux", "3.4", "tmux", None, {}, "", False, False),
        ("tmux", "3.4", "tmux", client("kitty(0.26.5)"), {}, "99", False, True),
        ("tmux", "3.4", "tmux", client("ghostty 1.2.0"), {}, "777", True, True),
        ("tmux", "3.4", "tmux", client("ghostty 1.2.0", False), {}, "", False, False),
        ("tmux", "3.7", "tmux", client("ghostty 1.2.0", False), {}, "", True, False),
        ("tmux", "3.4", "tmux", client("XTerm(379)"), {}, "", False, True),
    ],
)
def test_what_a_terminal_takes(name, version, multiplexer, around, environ, desktop, progress, wrapped):
    found = attention.taken(name, version, multiplexer, around, environ)
    assert (found.desktop, found.progress, found.wrapped) == (desktop, progress, wrapped)
    assert found.reason and attention.words(found)


CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@pytest.mark.parametrize("way", ["9", "777", "99"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_notification_is_one_sequence_whatever_it_says(way, wrapped):
    found = attention.NoticeSupport(way, wrapped=wrapped)
    data = attention.notification(found, EVIL, EVIL + "4;1;50" + "z" * 900)
    assert len(data) < 900 and "owned\x07" not in data
    inner = data
    if wrapped:
        strings = re.findall(r"\x1bPtmux;((?:[^\x1b]|\x1b\x1b)*)\x1b\\", data)
        assert "".join(f"\x1bPtmux;{string}\x1b\\" for string in strings) == data
        inner = "".join(string.replace("\x1b\x1b", "\x1b") for string in strings)
    bodies = re.findall(r"\x1b\]([^\x1b]*)\x1b\\", inner)
    assert "".join(f"\x1b]{body}\x1b\\" for body in bodies) == inner and len(bodies) == (2 if way == "99" else 1)
    assert not any(CONTROL.search(body) for body in bodies)
    assert inner.count(";") == {"9": 1, "777": 3, "99": 4}[way]  # what a name says parts no parameters
    assert permitted(data, "") == data and permitted(data, "tmux") == (data if wrapped else "")
    assert all(permitted(data, name) == "" for name in NAMES if name not in ("tmux", ""))
    assert attention.notification(attention.NONE, "a", "b") == ""


@pytest.mark.parametrize(
    "state, fraction, sent",
    [
        ("running", 0.5, "9;4;1;50"), ("running", None, "9;4;3;0"), ("paused", 0.25, "9;4;4;25"),
        ("failed", 0.5, "9;4;2;50"), ("finished", 1.0, "9;4;0;0"), ("", None, "9;4;0;0"), ("running", 7.0, "9;4;1;100"),
    ],
)  # fmt: skip
def test_progress(state, fraction, sent):
    plain = attention.progress(attention.NoticeSupport(progress=True), state, fraction)
    assert plain == f"\x1b]{sent}\x1b\\" and permitted(plain, "tmux") == plain and permitted(plain, "screen") == ""
    wrapped = attention.progress(attention.NoticeSupport(progress=True, progress_wrapped=True), state, fraction)
    assert wrapped == f"\x1bPtmux;\x1b\x1b]{sent}\x1b\x1b\\\x1b\\" and permitted(wrapped, "tmux") == wrapped
    assert attention.progress(attention.NONE, state, fraction) == ""


@pytest.mark.parametrize("body", ["]52;c;AAAA", "]0;title", "]9;a\x1b\x1b]0;b", "[2J", "P+q544e"])
def test_nothing_else_is_passed_through_tmux(body):
    assert permitted(f"\x1bPtmux;\x1b\x1b{body}\x1b\x1b\\\x1b\\", "tmux") in ("", "\x1b\\")  # an end of nothing
