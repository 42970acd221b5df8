"""What a log says of a run up to a step: what a fork of it has in common with it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tui_gen import events
from tui_gen.log import event_log
from tui_gen.log.rows import Reader


def until(event: events.Event, step: int) -> int | None:
    """After how many steps a run could have said this, told that it was written after `step`; None for what a fork
    does not take over: what a session was at, and how far it was with it.
    """
    match event:
        case events.Metrics():
            return event.end
        case events.Edit() | events.Alert():  # of the step that came after it
            return event.step + 1
        case events.Sample() | events.Checkpoint() | events.System() | events.Usage() | events.Resume():
            return event.step
        case events.Quality():
            return event.report.step
        case events.State() | events.Host() | events.Progress():
            return None
        case events.Rollback():  # what it changed is in the fork's settings
            return None
        case events.Fork():
            return 0
    return step


def lines(log: Path, step: int) -> list[bytes]:
    """The lines of a log, without their ends, that tell of a run's first `step` steps.

    What a resume did again is in it as it was done last. Metrics that go on after the step are cut there.
    """
    entries: list[tuple[int, bytes]] = []
    raw: list[bytes] = []
    reader = Reader()

    def decode(line: bytes) -> events.Event | None:
        event = reader.decode(line)
        if event is not None:
            raw.append(line)
        return event

    follower = event_log.Follower(log, decode=decode)
    now = 0
    while (new := follower.poll()) or follower.behind:
        for event, line in zip(new, raw, strict=True):
            if isinstance(event, events.AGAIN):
                now = event.start
                if now < step:
                    entries = [entry for place, text in entries if (entry := _cut(place, text, now)) is not None]
            place = until(event, now)
            if place is None:
                continue
            if isinstance(event, events.Metrics | events.System):
                now = max(now, place)
            if isinstance(event, events.Fork) and event.step > step:  # it parts from that run sooner than this one did
                start = None if event.start is None else min(event.start, step)
                line = events.encode(msgspec.structs.replace(event, step=step, start=start)).rstrip(b"\n")
            if (entry := _cut(place, line, step)) is not None:
                entries.append(entry)
        raw.clear()
    return [line for _, line in entries]


def _cut(place: int, line: bytes, step: int) -> tuple[int, bytes] | None:
    """A line and its place, as far as it tells of the first `step` steps; None where it does not."""
    if place <= step:
        return place, line
    event = events.decode(line) if b'"metrics"' in line[:40] or b'"packed"' in line[:40] else None
    if not isinstance(event, events.Metrics) or event.start >= step:
        return None
    count = (step - 1 - event.start) // event.stride + 1
    columns = {name: column[:count] for name, column in event.values.items()}
    shorter = events.Metrics(t=event.t, start=event.start, stride=event.stride, values=columns)
    return step, events.encode(shorter).rstrip(b"\n")
