"""All about one run in lines: what it came to, and what people keep about it."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from tui_gen import checkpoints, proof, quantities, remarks
from tui_gen.draw.spark import outline
from tui_gen.history import provenance
from tui_gen.history.run_facts import RunRow, text_of
from tui_gen.lines import aligned
from tui_gen.places import called, shown
from tui_gen.progress import steps
from tui_gen.runs import RunInfo
from tui_gen.text import clean, clean_lines


def page(row: RunRow, width: int = 0) -> list[str]:
    """All there is to say of a run."""
    own = provenance.of(row.info.path)
    facts = facts_of(row) + (provenance.facts_of(own) if own is not None else [])
    return [*aligned(facts, width=width), *notes_of(remarks.of(row.info.path))]


def facts_of(row: RunRow) -> list[tuple[str, str]]:
    """What there is to say of a run, each with its name."""
    info, summary = row.info, row.summary
    state = info.state + (f": {info.reason}" if info.reason else "")
    rows = [
        ("name", info.name + (" ★" if info.star else "")),
        ("run", shown(Path(info.path))),
        ("state", state),
        ("step", steps(info.step, info.steps)),
        ("trains", f"{info.model} on {info.dataset}" if info.model else ""),
    ]
    if summary.metric:
        best = f"best {text_of(row, 'best')} at step {text_of(row, 'best_step')}, last {text_of(row, 'last')}"
        stated = f", {'has' if summary.reached else 'has not'} reached {quantities.metric(summary.level)}"
        rows.append(("judged by", f"{summary.metric}: {best}" + (stated if summary.level is not None else "")))
        rows.append(("course", outline(summary.course)))
    rows += [
        ("training", text_of(row, "time")),
        ("where", where_of(info)),
        ("made", time.strftime("%d %b %Y %H:%M", time.localtime(info.created))),
        ("size", f"{text_of(row, 'size')}, {quantities.several(summary.samples, 'sample')}, {_checkpoints(row)}"),
        ("tags", text_of(row, "tag")),
        ("resume", verdict.words if (verdict := proof.of(info.path)) is not None else ""),
        ("show", f"tui-gen attach {called(Path(info.path))}"),
    ]
    return [(name, words) for name, words in rows if words]


def _checkpoints(row: RunRow) -> str:
    """How many checkpoints there are, of how many that were made: most are not kept for long."""
    path, made = Path(row.info.path), row.summary.checkpoints
    kept = len(checkpoints.steps(path)) if (path / "checkpoints").is_dir() else made
    if kept < made:
        return f"{kept} of {quantities.several(made, 'checkpoint')} kept"
    return quantities.several(kept, "checkpoint")


def where_of(info: RunInfo) -> str:
    """Where a run was trained last: the job of a batch system, the machine where it is another than this."""
    if not info.job and info.host in ("", socket.gethostname()):
        return ""
    return clean(f"{info.job}, on {info.host}" if info.job else f"on {info.host}")


def notes_of(own: remarks.Remarks) -> list[str]:
    """The notes, numbered from 1, each with when and on what it was made."""
    lines = []
    for number, note in enumerate(own.notes, 1):
        when = time.strftime("%d %b %Y %H:%M", time.localtime(note.t))
        lines += ["", f"note {number}, {when}" + (f", {note.where}" if note.where else "")]
        lines += [f"  {line}" for line in clean_lines(note.text)]
    return lines
