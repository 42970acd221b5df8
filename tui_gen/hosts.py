"""Where the sessions of a run trained: on which machine, and in which job of a batch system."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

from tui_gen import batch, events
from tui_gen.files import open_regular
from tui_gen.text import clean

HEAD = 1 << 14
"""Bytes of a log's beginning in which the run's first session says where it trains."""

FIRST = tuple(b'{"type":"%s"' % tag for tag in (b"host", b"resume", b"fork"))


def here() -> events.Host:
    """Where this process is."""
    host, job = socket.gethostname()[:200], batch.this_job()
    if job is None:
        return events.Host(host=host)
    return events.Host(
        host=host, system=job.system, cluster=job.cluster, job=job.name, id=job.id, restarts=job.restarts
    )


def words(host: events.Host) -> str:
    """In words: `Slurm job 123, restart 2, on node7`; without a job `on node7`."""
    job = batch.Job(host.system, host.id, host.job, host.cluster, host.restarts)
    return clean(f"{job.words}, on {host.host}" if host.system else f"on {host.host}")


def news(sessions: Sequence[events.Host], number: int) -> str:
    """What a run's reader is told of where one of its sessions trains; empty where it is where it was, in no job."""
    session = sessions[number]
    moved = number > 0 and sessions[number - 1].host != session.host
    return words(session) if session.system or moved else ""


def news_at(sessions: Sequence[events.Host], t: float) -> str:
    """The same of the session that something was done in at a time."""
    number = sum(session.t <= t for session in sessions) - 1
    return news(sessions, number) if number >= 0 else ""


def jobs(sessions: Sequence[events.Host]) -> str:
    """The jobs that a run was trained in, in words and in order; empty where there were none."""
    names = dict.fromkeys(f"{session.system} job {session.job}".strip() for session in sessions if session.system)
    return clean(", ".join(names))


def maker(path: Path | str) -> events.Host | None:
    """Where the first session of a run trained; None where its log does not say so at its beginning, as that of a fork
    or of a run that an older version began. Reads that beginning alone.
    """
    try:
        with open_regular(Path(path) / "events.jsonl") as file:
            data = file.read(HEAD)
    except OSError:
        return None
    for line in data.split(b"\n")[:-1]:
        if line.startswith(FIRST):
            event = events.decode(line)
            return event if isinstance(event, events.Host) else None
    return None


def made_by_this_job(path: Path | str) -> bool:
    """Whether this process's job made a run, before it was started again."""
    job = batch.this_job()
    if job is None or not job.restarts:
        return False
    session = maker(path)
    return session is not None and (session.system, session.cluster, session.id) == (job.system, job.cluster, job.id)
