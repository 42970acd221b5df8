"""`tui-gen doctor`: what this terminal shows, what this machine computes with, where things are, and what to mend."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tui_gen import children
from tui_gen.config import ConfigError
from tui_gen.draw import attention
from tui_gen.draw import terminal as terminals
from tui_gen.draw.terminal import Terminal
from tui_gen.notify import happenings, hook, wishes
from tui_gen.params import Problem
from tui_gen.quantities import span
from tui_gen.report import doctor, stdout
from tui_gen.report.commands.options import graphics_option, json_option, runs_option

PATIENCE = 120.0
"""Seconds that PyTorch may take to load; on a cold network file system it takes a minute."""
DRIVER = Path("/proc/driver/nvidia/version")
IDENT = 31
"""The number of the card's picture, where pictures have one."""
CARD = (32, 8)
"""Columns and rows of the test card."""


def options(parser: argparse.ArgumentParser) -> None:
    """As JSON, and where the runs are."""
    json_option(parser, "as JSON, without the test card")
    runs_option(parser)
    words = "send a notice, to this terminal and to notify.command, and say what came of it; nothing else"
    parser.add_argument("--notify", action="store_true", dest="try_notice", help=words)
    graphics_option(parser, "how the test card is drawn (default: what the terminal can)")


def run(args: argparse.Namespace, root: Path) -> int:
    """Say it all; 1 where something is so wrong that nothing can be trained."""
    out, _ = stdout.standard()
    try:
        terminal = terminals.probe(args.graphics)
    except ValueError as error:  # of the environment
        raise ConfigError("command line", [Problem("graphics", None, str(error))]) from None
    if args.try_notice:
        return try_notice(out, terminal)
    throughput = terminals.throughput(terminal)
    link = doctor.link_of(os.environ, doctor.ancestors(os.getpid()))
    delay = escape_time() if terminal.multiplexer == "tmux" else 0
    parts = [doctor.of_terminal(terminal, link, throughput, os.environ, tty=out.isatty(), escape_time=delay)]
    if not args.json:
        for line in doctor.lines(parts):
            out.line(line)
        if out.isatty() and terminal.graphics != "off":
            show_card(out, terminal)
    rest = [doctor.of_notices(wishes.read()), doctor.of_machine(machine(), driver()), doctor.of_folders(root)]
    if args.json:
        out.json([dataclasses.asdict(part) for part in parts + rest])
    else:
        for line in doctor.lines(rest):
            out.line(line)
    return int(any(part.faults for part in rest))


def try_notice(out: stdout.Outlet, terminal: Terminal) -> int:
    """Send a notice by every way; 1 where the command failed."""
    preferences, notice = wishes.read(), happenings.trial()
    for words in preferences.problems:
        out.line(f"! {words}")
    if out.isatty():
        data = attention.notification(terminal.notices, notice.name, notice.text)
        out.write(data + attention.BELL)
        way = f"a notification (OSC {terminal.notices.desktop}) and the bell" if data else "the bell"
        out.line(f"terminal: sent {way}; {terminal.notices.reason}")
    else:
        out.line("terminal: there is none here")
    if not preferences.command:
        out.line("command: none is set (notify.command in settings.toml)")
        return 0
    failure = hook.run(preferences.command, notice)
    out.line(f"command: failed: {failure}" if failure else "command: was told, and agreed")
    return int(bool(failure))


def machine() -> dict[str, Any]:
    """What PyTorch finds, asked in a process of its own: a broken installation breaks only that."""
    done = None
    try:
        done = children.run("tui_gen.train.offline.machine", capture_output=True, text=True, timeout=PATIENCE)
        facts: dict[str, Any] = json.loads(done.stdout)
        return facts
    except subprocess.TimeoutExpired:
        return {"error": f"it took more than {span(PATIENCE)}"}
    except (OSError, ValueError):
        words = done.stderr.strip().splitlines() if done is not None else []
        return {"error": words[-1] if words else "its process ended without a word"}


def escape_time() -> int:
    """How long tmux waits after Escape for more of a key, in ms; 0 where it does not tell."""
    try:
        words = ["tmux", "show-options", "-sv", "escape-time"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=2.0, check=True, stdin=subprocess.DEVNULL)
        return int(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0


def driver() -> str:
    """NVIDIA's driver, as the kernel names it; empty where there is none."""
    try:
        return DRIVER.read_text(encoding="utf-8", errors="replace").partition("\n")[0].partition(":")[2].strip()
    except OSError:
        return ""


def show_card(out: stdout.Outlet, terminal: Terminal) -> None:
    """A picture as the workbench would draw it: a ramp of hues, one of greys, single pixels, and what characters do."""
    import colorsys

    import numpy as np

    from tui_gen.draw import blocks, iterm2, kitty, placeholders, sixel

    columns, rows = CARD
    fine = 2 if terminal.graphics in ("kitty", "sixel", "iterm2") else 1
    across, down = columns * fine, rows * 2 * fine
    hues = [colorsys.hsv_to_rgb(x / across, 1, 1) for x in range(across)]
    card = np.zeros((down, across, 3), np.uint8)
    card[: down // 2] = (np.array(hues) * 255).astype(np.uint8)
    card[down // 2 : 3 * down // 4] = np.linspace(0, 255, across).astype(np.uint8)[:, None]
    card[3 * down // 4 :] = (np.indices((down // 4, across)).sum(0) % 2 * 255).astype(np.uint8)[..., None]
    out.line(f"Test card, as {terminal.graphics}: hues, greys, single pixels")
    width, height = terminal.cell or (8, 16)
    match terminal.graphics:
        case "kitty" if terminal.placeholders:
            payload = kitty.encode(card, IDENT, columns, rows, enlarge=4, virtual=True)
            colour = "\x1b[38;2;{};{};{}m".format(*placeholders.colour_of(IDENT))
            cells = [f"{colour}{placeholders.row_of(IDENT, row, columns)}\x1b[39m\n" for row in range(rows)]
            picture = placeholders.passed_through(payload).decode("ascii") + "".join(cells)
        case "iterm2":
            picture = iterm2.show(kitty.png(card, enlarge=4), columns, rows).decode("ascii") + "\n" * rows
        case "kitty":
            picture = kitty.encode(card, IDENT, columns, rows, enlarge=4).decode("ascii") + "\n" * rows
        case "sixel":
            picture = sixel.encode(card, round(columns * width), round(rows * height)).decode("ascii") + "\n"
        case "halfblock":
            picture = blocks.to_ansi(card, columns, rows, truecolor=terminal.truecolor) + "\n"
        case _:
            picture = blocks.to_ascii(card, columns, rows, light=bool(terminal.light)) + "\n"
    out.write(picture)
    if terminal.unicode:
        out.line("characters: ⣀⣤⣶⣿ ▁▂▃▄▅▆▇█ ╭─╮│ αβγ × → should be a ramp, a ramp, a frame, letters")
    out.line()
