"""What `tui-gen doctor` says of the terminal, the machine and the folders, and what it advises.

Each part is computed from plain facts, so that it can be said of any terminal and any machine.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tui_gen import control, runs
from tui_gen.draw import attention
from tui_gen.draw.terminal import Terminal
from tui_gen.notify.wishes import EVENTS, WAYS, Wishes
from tui_gen.places import config_dir
from tui_gen.quantities import round_trip, several, size

SLOW_LINK = 200_000
"""Bytes a second below which pictures and plots are worth pacing."""
QUICK = 50
"""Milliseconds that nobody notices after Escape."""
FAR = 0.15
"""Seconds of a round trip from which one waits for every key."""
NETWORKED = ("nfs", "cifs", "smb", "fuse.sshfs", "9p", "lustre", "beegfs", "gpfs", "ceph", "afs")
"""Kinds of file systems, by how their names begin, that other hosts may write to at the same time."""
LITTLE_ROOM = 1 << 30


@dataclass
class DoctorSection:
    """A heading, rows of (name, what it is), advice, and faults: without mending those nothing can be trained."""

    title: str
    rows: list[tuple[str, str]] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def ancestors(pid: int) -> list[str]:
    """Names of the processes above one, the nearest first; empty where the system does not tell."""
    names = []
    while pid > 1:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            break
        name, _, rest = stat.partition("(")[2].rpartition(")")
        names.append(name)
        pid = int(rest.split()[1])
    return names


def link_of(environ: Mapping[str, str], above: list[str]) -> str:
    """How the terminal is reached: `mosh`, `ssh`, or an empty string for this machine's own."""
    if any(name.startswith("mosh") for name in above):
        return "mosh"
    return "ssh" if environ.get("SSH_CONNECTION") or environ.get("SSH_TTY") else ""


def of_terminal(
    terminal: Terminal, link: str, throughput: float | None, environ: Mapping[str, str], *,
    tty: bool = True, escape_time: int = 0,
) -> DoctorSection:  # fmt: skip
    """The terminal: what it answered, what follows, and what would show more.

    `throughput` is in bytes/s, if it was measured, `escape_time` tmux's, in ms. Where there is no `tty`, nothing was
    asked.
    """
    name = f"{terminal.name} {terminal.version}".strip() or environ.get("TERM", "") or "none"
    inside = f", inside {terminal.multiplexer} {terminal.tmux}".rstrip() if terminal.multiplexer else ""
    over = f", over {link}" if link else ""
    part = DoctorSection("Terminal", [("terminal", name + inside + over)])
    if not tty:
        part.rows.append(("", "nobody to ask here: this goes to a file or another program"))
        return part
    part.rows.append(("pictures", f"{terminal.graphics}: {terminal.reason}"))
    part.rows.append(("colours", {"truecolor": "16 million", "256": "256"}.get(terminal.colours, "what TERM says")))
    if terminal.cell is not None:
        part.rows.append(("a cell", f"{terminal.cell[0]:g} × {terminal.cell[1]:g} pixels"))
    part.rows.append(("whole frames", "synchronised output" if terminal.sync else "no synchronised output"))
    if terminal.round_trip is not None:
        part.rows.append(("round trip", round_trip(terminal.round_trip)))
    if throughput is not None:
        part.rows.append(("throughput", f"{size(throughput)}/s"))
    part.rows.append(("notices", attention.words(terminal.notices)))
    part.advice = _for_terminal(terminal, link, throughput, escape_time)
    return part


def _for_terminal(terminal: Terminal, link: str, throughput: float | None, escape_time: int) -> list[str]:
    advice = []
    if not terminal.answered and terminal.round_trip is None:
        advice.append("The terminal answers no questions: pictures are blocks unless --graphics says otherwise.")
    if link == "mosh":
        advice.append("mosh passes text on, and no pictures; ssh with tmux on the far side also survives a lost link.")
    if link == "ssh" and not terminal.multiplexer:
        advice.append("Where ssh breaks, training goes on: tui-gen attach shows it again; that takes no tmux.")
    if terminal.multiplexer == "tmux":
        if terminal.colours != "truecolor":
            advice.append('tmux shows 256 colours; for all, if yours has them: set -as terminal-features "*:RGB"')
        if terminal.graphics not in ("sixel", "kitty"):
            words = "kitty or Ghostty around it and set -g allow-passthrough on; or tmux 3.6 (pictures alone)"
            advice.append(f"Pictures and notifications in tmux: {words}.")
        if escape_time > QUICK:
            advice.append(f"tmux holds Escape back for {escape_time} ms: set -sg escape-time 10 in ~/.tmux.conf.")
    if terminal.multiplexer == "screen":
        advice.append("GNU screen has no pictures of pixels, 256 colours and no mouse here; tmux 3.6 has more.")
    if terminal.round_trip is not None and terminal.round_trip > FAR:
        advice.append("Every key waits for the link; frames are paced so that they never pile up on it.")
    if throughput is not None and throughput < SLOW_LINK:
        half = f"{max(1, round(throughput / 2000))}K"
        advice.append(f"At {size(throughput)}/s pictures are slow: --budget {half} paces them; ssh -C sends less, too.")
    return advice


def of_notices(preferences: Wishes) -> DoctorSection:
    """What is told of runs, and how."""
    part = DoctorSection("Notices", [("told of", event_words(preferences))])
    part.rows.append(("command", preferences.command or "none: notify.command in settings.toml, or --notify"))
    part.advice = list(preferences.problems)
    return part


def event_words(preferences: Wishes) -> str:
    """Which events are told in which ways: `ended (desktop, hook), failed (bell)`."""
    parts = []
    for event in EVENTS:
        ways = [way for way in WAYS if preferences.wants(event, way)]
        parts += [f"{event} ({', '.join(ways)})"] if ways else []
    return ", ".join(parts) or "nothing"


def of_machine(facts: Mapping[str, Any], driver: str) -> DoctorSection:
    """What can be computed with; `facts` as `train.offline.machine` tells them, `driver` NVIDIA's, where one is."""
    if "error" in facts:
        return DoctorSection("Machine", faults=[f"PyTorch does not load: {facts['error']}"])
    part = DoctorSection("Machine", [("python", str(facts["python"])), ("torch", str(facts["torch"]))])
    part.rows.append(("processor", f"{facts['cpus']} cores for this process, {facts['vectors']}"))
    for device in facts["accelerators"]:
        memory = f", {size(device['free'])} of {size(device['memory'])} free" if device.get("free") else ""
        part.rows.append((device["id"], f"{device['name']}{memory}"))
        if device.get("fault"):
            part.faults.append(f"{device['id']} does not compute: {device['fault']}")
    if driver:
        part.rows.append(("driver", driver))
    if not facts["accelerators"]:
        part.rows.append(("accelerator", "none; runs train on the CPU"))
        if driver:
            built = f"is built for CUDA {facts['cuda']}" if facts["cuda"] else "is built without CUDA"
            part.advice.append(f"NVIDIA's driver is here, but PyTorch {built} and finds no device.")
    if not facts["compiler"]:
        part.advice.append("There is no C++ compiler: train.compile does without (install g++, say).")
    return part


def file_system(path: Path) -> str:
    """The kind of file system that a path lies on; empty where the system does not tell."""
    best = ("", "")
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    for line in mounts.splitlines():
        _, where, kind, *_ = [*line.split(" "), "", "", ""]
        where = where.replace("\\040", " ")
        inside = str(path) == where or str(path).startswith(where.rstrip("/") + "/")
        if inside and len(where) >= len(best[0]):
            best = (where, kind)
    return best[1]


def of_folders(root: Path) -> DoctorSection:
    """The folder of the runs, and the user's settings."""
    root = Path(os.path.realpath(root))
    near = root
    while not near.exists() and near != near.parent:
        near = near.parent
    part = DoctorSection("Folders", [("runs", str(root))])
    free, kind = shutil.disk_usage(near).free, file_system(near)
    there = list(runs.list_runs(root)) if root.is_dir() else []
    live = sum(run.live for run in there)
    rest = f"{live} live; {size(free)} free" + (f"; {kind}" if kind else "")
    part.rows.append(("", f"{several(len(there), 'run')}, {rest}"))
    if words := runs.unwritable(root):
        part.faults.append(words)
    if free < LITTLE_ROOM:
        part.advice.append(f"Only {size(free)} are free; a full disk makes runs wait. --runs DIR puts them elsewhere.")
    if kind.startswith(NETWORKED):
        part.advice.append(f"The runs lie on {kind}: a run of another host can be watched here, and is steered there.")
    part.rows.append(("settings", str(config_dir())))
    part.rows.append(("sockets", str(control.runtime_dir())))
    return part


def lines(parts: list[DoctorSection]) -> list[str]:
    """All of it as text."""
    text = []
    for part in parts:
        text.append(part.title)
        width = max((len(name) for name, _ in part.rows), default=0)
        text += [f"  {name:<{width}}  {value}".rstrip() for name, value in part.rows]
        text += [f"  ! {fault}" for fault in part.faults]
        text += [f"  → {advice}" for advice in part.advice]
        text.append("")
    return text
