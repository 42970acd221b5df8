"""Logs that went wrong in every way we could think of, made from a good one; and everything that reads logs.

`logs(seed, count)` gives `count` logs; the same for the same seed. `read_all_ways(run)` lets every reader have a run
directory and raises what any of them raises.
"""

from __future__ import annotations

import io
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tui_gen import columns, dependencies, events, quality, rollbacks, runs, usage
from tui_gen.draw.clock import Clock
from tui_gen.draw.curves import FrameOptions, Plot
from tui_gen.log import event_log
from tui_gen.pictures import Tiles
from tui_gen.report import headless, summary
from tui_gen.report.exports.csv import rows
from tui_gen.report.plain import JsonDisplay, PlainDisplay, pace
from tui_gen.report.stdout import Outlet
from tui_gen.verdicts import bottleneck, health
from tui_gen.view import RunView

NUMBERS = [
    0, -1, 1, -(10**6), 10**6, 2**31, 2**53, 2**63, 2**64, 10**17, -(10**17), 10**30, 10**400, 0.5, -0.0, 1e-320, 1e30,
    -1e30, 1e308, 3.5e38, 4e10, 1e18, 253402300800, math.nan, math.inf, -math.inf, True, None,
]  # fmt: skip
TEXTS = [
    "", "x", "a\0b", "\ud800", "\x1b]0;t\x07", "é" * 130, "x" * 256, "x" * 5000, "../" * 40 + "etc", "/dev/zero", "~",
    "val/", "/", "quality/fid", "%s%n{0}", "[bold]x[/nope]", "\u202e\u0301", "a\nb\rc", "x" * 200_000, "samples/..",
]  # fmt: skip


def story() -> list[events.Event]:
    """A log with every kind of event, as a run of two sessions writes it."""
    t = 1.8e9
    loss = columns.column(30 * math.exp(-step / 50) for step in range(120))
    figure = quality.Figure("fid", 30.5, 0.8, 0.1, None, "few samples")
    tiles = Tiles(60, (1, 8), tuple("01234567"), ("a part",), ("a label",), (("#ff8000", "real"),), (("x", -1.0, 2.5),))
    spent = usage.Spent(2.0, 126, {"data": 0.1, "forward/backward": 1.5}, {"preview": 1}, 3, 9)
    load = usage.Load("box", 8.0, 3.5, 0.5, 10**8, 2 * 10**9, 8 * 10**9)
    return [
        events.Fork(t=t, step=20, run="parent", name="the first", start=10, changes={"train.batch_size": [64, 32]}),
        events.Host(t=t, host="node7", system="Slurm", cluster="alps", job="120_4", id="125", restarts=2),
        events.State(t=t, state="starting", step=0),
        events.Progress(t=t, what="downloading", done=5, total=10, unit="bytes"),
        events.Plan(t=t, steps=300, steps_per_epoch=30, batch_size=64, device="cpu", phases=["vae"], minutes=2.0),
        events.Uses(t=t, key="model.first_stage", run="/runs/first", asked="first", step=None),
        events.State(t=t, state="running", step=0),
        events.Metrics(t=t + 1, start=0, values={"vae/loss": loss, "vae/kl": loss}),  # type: ignore[dict-item]
        events.Metrics(t=t + 2, start=120, stride=2, values={"vae/loss": [1.5, None, 2.5], "vae/kl": [1.0, 2.0, 3.0]}),
        events.Metrics(t=t + 2, start=125, values={"val/vae/loss": [1.25]}),
        events.System(t=t + 3, step=126, steps_per_second=60.0, images_per_second=3840.0, memory=10**8, seconds=2.5),
        events.Usage(t=t + 3, step=126, spent=spent, load=load),
        events.Sample(t=t + 3, step=126, path="a/000126.png", columns=8, rows=8, tile=(28, 28), gap=1, tiles=tiles),
        events.Checkpoint(t=t + 3, step=126, path="checkpoints/000126", reason="every 2 minutes"),
        events.Edit(t=t + 4, step=130, key="train.phases.vae.lr", old=0.001, new=0.002),
        events.Alert(t=t + 4, step=130, level="warning", what="spike: 40", where="vae/loss", advice="Clip."),
        events.Note(t=t + 4, text="a note", level="info"),
        events.Quality(t=t + 5, report=quality.Report(126, 2000, 1500, 200, "lenet", [figure], 2.0, ["a note"])),
        events.State(t=t + 6, state="stopped", step=140, reason="asked to"),
        events.Resume(t=t + 7, step=126),
        events.State(t=t + 7, state="running", step=126),
        events.Metrics(t=t + 8, start=126, values={"vae/loss": [1.0] * 20, "vae/kl": [0.5] * 20}),
        events.Rollback(
            t=t + 8, step=146, to=140, reason="the loss is not finite", by_hand=True, factor=0.5, skipped=[141],
            rates={"train.phases.vae.lr": 0.001}, skips=[141], kept="offences/000141.safetensors",
            edits=[{"step": 140, "key": "train.phases.vae.lr", "value": 0.001}],
            plan=[{"step": 130, "key": "train.phases.vae.lr", "value": 0.002}],
        ),
        events.Metrics(t=t + 8, start=140, values={"vae/loss": [1.0] * 6, "vae/kl": [0.5] * 6}),
        events.State(t=t + 9, state="finished", step=146),
    ]


def logs(seed: int, count: int) -> Iterator[bytes]:
    """`count` logs, each with a few things wrong."""
    dice = random.Random(seed)
    good = [events.encode(event) for event in story()]
    for _ in range(count):
        lines = list(good)
        for _ in range(dice.randint(1, 4)):
            dice.choice([_field, _field, _field, _field, _order, _bytes, _lines, _flood])(dice, lines)
        yield b"".join(lines)


def _field(dice: random.Random, lines: list[bytes]) -> None:
    """One value somewhere in an event becomes another, of its kind or not."""
    place = dice.randrange(len(lines))
    try:
        event = json.loads(lines[place])
    except (ValueError, RecursionError):
        return
    places = list(_places(event))
    if not places:
        return
    holder, key = dice.choice(places)
    value = holder[key]
    number = isinstance(value, int | float) and dice.random() < 0.9
    text = isinstance(value, str) and dice.random() < 0.9
    match dice.randrange(8):
        case 0 if isinstance(holder, dict):
            del holder[key]
        case 1:
            holder[key] = dice.choice([[], {}, [[]] * 3, {"": {}}, [value] * 50])
        case 2 if isinstance(holder, dict):
            holder[dice.choice(TEXTS)] = holder.pop(key)
        case 3:
            deep: Any = value
            for _ in range(dice.choice([3, 200])):
                deep = [deep]
            holder[key] = deep
        case _:
            holder[key] = dice.choice(NUMBERS if number else TEXTS if text else NUMBERS + TEXTS)
    lines[place] = json.dumps(event, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass") + b"\n"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield value, key
        yield from _places(inner)


def _order(dice: random.Random, lines: list[bytes]) -> None:
    """Lines leave, come twice, or change places."""
    one, two = dice.randrange(len(lines)), dice.randrange(len(lines))
    match dice.randrange(3):
        case 0 if len(lines) > 2:
            del lines[one]
        case 1:
            lines.insert(one, lines[two])
        case _:
            lines[one], lines[two] = lines[two], lines[one]


def _bytes(dice: random.Random, lines: list[bytes]) -> None:
    """Bits flip, bytes go, NULs come."""
    place = dice.randrange(len(lines))
    line = bytearray(lines[place])
    at = dice.randrange(len(line))
    match dice.randrange(4):
        case 0:
            line[at] ^= 1 << dice.randrange(8)
        case 1:
            del line[at : at + dice.randint(1, 40)]
        case 2:
            line[at:at] = b"\0" * dice.choice([1, 512])
        case _:
            line[at:at] = bytes(dice.randrange(256) for _ in range(8))
    lines[place] = bytes(line)


def _lines(dice: random.Random, lines: list[bytes]) -> None:
    """A line that is no event."""
    made = [b"\xff\xfe", b"[" * 5000, b"{}", b"null", b"", b'{"type":"dance"}', b"9" * 5000, b'{"type":"state"}']
    lines.insert(dice.randrange(len(lines)), dice.choice(made) + dice.choice([b"\n", b"\r\n", b""]))


def _flood(dice: random.Random, lines: list[bytes]) -> None:
    """Very many of something."""
    match dice.randrange(4):
        case 0:
            made = {"type": "metrics", "t": 1.8e9, "start": 0, "values": {f"m{n}": [1.0] for n in range(1500)}}
        case 1:
            made = {"type": "metrics", "t": 1.8e9, "start": 7, "values": {"vae/loss": [0.5] * 30_000}}
        case 2:
            made = {"type": "state", "t": 1.8e9, "state": "failed", "step": 5, "reason": "line\n" * 50_000}
        case _:
            one = {"name": "kid", "value": 1e300, "real": -1e300}
            report = {"step": 5, "samples": 1, "train": 1, "held_out": 0, "features": "f", "figures": [one] * 900}
            made = {"type": "quality", "t": 1.8e9, "report": report}
    lines.insert(dice.randrange(len(lines)), json.dumps(made).encode() + b"\n")


def read_all_ways(run: Path) -> RunView:
    """Everything that reads a run's log reads it; whatever one of them raises is raised."""
    runs.info_of(run)
    runs.edits_of(run)
    rollbacks.planned(run, [])
    rollbacks.skips(run, [3])
    rollbacks.batch_of(rollbacks.last_alert(run))
    dependencies.begun(run, "model.first_stage")
    out = Outlet(io.StringIO())  # type: ignore[arg-type]
    for display in (PlainDisplay(out, 0.0), JsonDisplay(out)):
        view, follower = RunView(run, 2000), event_log.Follower(run / "events.jsonl")
        display.open(view)
        while (new := follower.poll()) or follower.behind:
            for event in new:
                display.event(event)
        view.read_all()
        for line in view.log:
            display.line(*line)
        display.update(view, view.state, "", "")
        display.close(view, view.state)
    view = headless.drained(run, whole=True)
    pace(view)
    assert view.fraction is None or 0 <= view.fraction <= 1
    assert view.eta is None or view.eta >= 0
    summary.print_summary(out, view, view.state)
    health.verdict(view)
    bottleneck.of_view(view)
    for _ in rows(view):
        pass
    clock = Clock(view.clock.steps, view.clock.values)
    for options in (FrameOptions(), FrameOptions(log_y=True, log_x=True, whole=True, clock=clock)):
        Plot().render(60, 12, list(view.series.values())[:6], options)
    return view
