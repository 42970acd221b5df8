"""Logs with a step a line, which are read by another way: whatever is in them, they say what they say to `decode`."""

from __future__ import annotations

import base64
import json
import math
import os
import tempfile
from array import array

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tui_gen import columns, events, runs
from tui_gen.events import Alert, Metrics, Note, Resume, State, System
from tui_gen.log import event_log, prefetch, rows
from tui_gen.log.rows import LogBlock, LogRow, Reader
from tui_gen.replay import step_of
from tui_gen.view import RunView

NAMES = ["d/loss", "g/loss", "val/vae/loss", "é/ü", "a\tb", "a b", 'q"\\uote', "", "x" * 200]
VALUES = st.one_of(
    st.none(), st.floats(), st.integers(-(2**70), 2**70), st.sampled_from([1e37, 3.5e38, -1e150, 1e-320, -0.0])
)
KINDS = ["row"] * 6 + ["run", "both", "one", "val", "columns", "packed", "packed", "system", "resume", "note", "back"]


def as_metrics(event: events.Event | None) -> events.Event | None:
    """A row, or a block, as the event that the plain reader makes of its line."""
    if isinstance(event, LogBlock):
        arrays = dict(zip(event.names, (array("f", column.tobytes()) for column in event.values), strict=True))
        return Metrics(t=event.t, start=event.start, stride=event.stride, values=arrays)
    if not isinstance(event, LogRow):
        return event
    values = {name: list(column) for name, column in zip(event.NAMES, msgspec.structs.astuple(event.values))}
    return Metrics(t=event.t, start=event.start, stride=event.stride, values=values)


def line(start: object, values: object, **more: object) -> bytes:
    """A line as JSON has it, be it true or not."""
    event = {"type": "metrics", "t": 1.8e9, "start": start, "values": values, **more}
    return json.dumps(event, separators=(",", ":")).encode()


@st.composite
def odd_lines(draw: st.DrawFn) -> bytes:
    """Lines that are metrics of a step, nearly, or not at all."""
    names = draw(st.lists(st.sampled_from(NAMES), max_size=4))
    columns = [draw(st.lists(VALUES, min_size=1, max_size=draw(st.sampled_from([1, 1, 1, 2])))) for _ in names]
    start = draw(st.one_of(st.integers(-3, 60), st.sampled_from([10**15, 10**16, 1.5, "1", None])))
    more = draw(st.sampled_from([{}, {"stride": 3}, {"stride": 0}, {"newer": [1]}, {"t": -1}, {"type": "note"}]))
    text = line(start, dict(zip(names, columns)), **more)
    match draw(st.sampled_from(["", "", "", "cut", "twice", "escape", "again"])):
        case "cut":
            return text[: draw(st.integers(0, len(text)))]
        case "twice":  # two events are no event
            return text + text
        case "escape":
            return text.replace(b"/", b"\\/").replace(b"loss", b"\\u006coss")
        case "again":  # the last of a name's values counts
            return text.replace(b'"values":{', b'"values":{"d/loss":[7.5],')
    return text


@st.composite
def packed_lines(draw: st.DrawFn) -> bytes:
    """Lines that are packed metrics, nearly, or not at all."""
    names = draw(st.lists(st.sampled_from(NAMES), max_size=4))
    length = draw(st.integers(0, 5))
    made = [array("f", draw(st.lists(st.floats(width=32), min_size=length, max_size=length))) for _ in names]
    data = columns.pack(made)
    data = draw(st.sampled_from([data, data, data, data, data[:-1], data + b"x", b"", data.replace(b"x", b"y", 1)]))
    more = draw(st.sampled_from([{}, {}, {"stride": 3}, {"stride": 0}, {"newer": [1]}, {"start": -1}, {"names": 5}]))
    event = {"type": "packed", "t": 1.8e9, "start": 7, "names": names, "data": base64.b64encode(data).decode(), **more}
    text = json.dumps(event, separators=(",", ":")).encode()
    return text[: draw(st.sampled_from([len(text), len(text), len(text), len(text) // 2]))]


@given(st.lists(st.one_of(odd_lines(), packed_lines()), max_size=30))
def test_every_line_is_what_the_plain_reader_says(lines):
    reader = Reader()
    for text in lines:
        found, plain = as_metrics(reader.decode(text)), events.decode(text)
        assert repr(found) == repr(plain), text  # NaN is not equal to itself


def test_rows_are_read_by_the_names_of_the_line_before():
    reader = Reader()
    found = [reader.decode(events.encode(Metrics(start=step, values={"a": [1.0], "b": [None]}))) for step in range(3)]
    assert [type(event) is Metrics for event in found] == [True, False, False]
    assert isinstance(found[2], LogRow) and found[2].NAMES == ("a", "b") and found[2].start == 2


def test_packed_columns_are_one_array():
    made = {"a": array("f", range(20)), "b": array("f", [math.nan, *range(19)])}
    text = events.encode(Metrics(start=40, stride=2, values=made))
    reader = Reader()
    first, second = reader.decode(text), reader.decode(text)
    assert isinstance(first, LogBlock) and first.values.dtype == np.float32 and first.values.shape == (2, 20)
    assert first.names is second.names == ("a", "b") and step_of(first) == step_of(events.decode(text)) == 79
    assert repr(as_metrics(first)) == repr(events.decode(text))


def test_names_without_an_end_make_no_types_without_an_end(monkeypatch):
    monkeypatch.setattr(rows, "MOST_SHAPES", 3)
    reader = Reader()
    for number in range(20):
        for step in (0, 1):
            event = as_metrics(reader.decode(line(step, {f"metric {number}": [2.5]})))
            assert isinstance(event, Metrics) and event.values == {f"metric {number}": [2.5]}
    assert len(reader._shapes) == 3


@st.composite
def stories(draw: st.DrawFn) -> list[events.Event]:
    """A slow run's log: mostly a step a line, of networks that take turns, with all that comes in between."""
    told: list[events.Event] = [State(state="running", step=0)]
    step = 0
    for _ in range(draw(st.integers(0, 60))):
        kind = draw(st.sampled_from(KINDS))
        number = st.one_of(st.none(), st.floats(-1e3, 1e3))
        match kind:
            case "row" | "back":
                step = max(0, step - draw(st.integers(0, 9))) if kind == "back" else step
                told.append(Metrics(start=step, values={"d/loss": [draw(number)], "d/grad": [draw(number)]}))
            case "run":
                gap, count = draw(st.sampled_from([1, 1, 3])), draw(st.integers(15, 20))
                for value in [draw(number), *map(float, range(count))]:
                    told.append(Metrics(start=step, values={"d/loss": [value], "d/grad": [value]}))
                    step += gap
            case "both":
                names = ("d/loss", "d/grad", "g/loss")
                told.append(Metrics(start=step, values={name: [draw(number)] for name in names}))
            case "one":
                told.append(Metrics(start=step, values={"g/loss": [draw(number)]}))
            case "val":
                told.append(Metrics(start=step, values={"val/d/loss": [draw(number)]}))
            case "columns":
                count = draw(st.integers(2, 20))
                column = [draw(number)] * count
                told.append(Metrics(start=step, stride=draw(st.integers(1, 3)), values={"d/loss": column, "x": column}))
                step += count
            case "packed":
                count, stride = draw(st.integers(16, 40)), draw(st.sampled_from([1, 1, 1, 2]))
                names = draw(st.sampled_from([("d/loss", "d/grad"), ("d/loss", "d/grad"), ("g/loss", "d/loss")]))
                column = columns.column([draw(number), *range(count - 1)])
                told.append(Metrics(start=step, stride=stride, values=dict.fromkeys(names, column)))
                step += count * stride - draw(st.sampled_from([1, 1, 1, 0, 9]))
            case "system":
                at = max(0, step - draw(st.integers(0, 2)))
                told.append(System(step=at, steps_per_second=1, images_per_second=1, seconds=at))
            case "resume":
                step = draw(st.integers(0, step))
                told.append(Resume(step=step))
            case "note":
                told.append(draw(st.sampled_from([Note(text="x"), Alert(step=step, level="warning", what="y")])))
        step += 1
    return told


def state_of(view: RunView) -> object:
    """All that a view knows of a log, as something to compare."""
    curves = {
        name: [curve.steps.tolist(), [None if math.isnan(value) else value for value in curve.values.tolist()]]
        for name, curve in {**view.series, "clock": view.clock}.items()
    }
    return curves, view.step, view.log, view.garbage, len(view.alerts), view.system


@settings(max_examples=40)
@given(stories())
def test_a_slow_run_becomes_the_curves_that_the_plain_reader_makes(tmp_path_factory, told):
    run = runs.create(tmp_path_factory.mktemp("x"), "r", 'name = "r"\n')
    data = b"".join(map(events.encode, told))
    (run / "events.jsonl").write_bytes(data[:-10])
    fast, plain, handed_over = RunView(run), RunView(run), RunView(run)
    plain._follower = event_log.Follower(run / "events.jsonl")
    with tempfile.TemporaryFile() as parts:
        prefetch.write_parts(run / "events.jsonl", parts)
        reading = prefetch.ReadAhead(0, os.dup(parts.fileno()))
    handed_over._follower = prefetch.Prefetched(run / "events.jsonl", Reader().decode, reading)
    for view in (fast, plain, handed_over):
        view.read_all()
    assert state_of(fast) == state_of(plain) == state_of(handed_over)
    (run / "events.jsonl").write_bytes(data)  # the last line was torn
    for view in (fast, plain, handed_over):
        view.read_all()
    assert state_of(fast) == state_of(plain) == state_of(handed_over) and reading.over
    whole = RunView(run)
    whole.read_all()
    assert state_of(whole) == state_of(fast)


@pytest.mark.parametrize("ending", ["finished", "running"])
def test_a_long_log_that_is_still_being_read_has_the_state_of_its_end(tmp_path, monkeypatch, ending):
    run = runs.create(tmp_path, "r", 'name = "r"\n')
    told = [State(state="running", step=0), *(Metrics(start=step, values={"a": [1.0]}) for step in range(300))]
    told += [State(state="stopped", step=300), Resume(step=300), State(state="running", step=300)]
    told += [Metrics(start=step, values={"a": [2.0]}) for step in range(300, 900)]
    told += [State(state=ending, step=900)] if ending != "running" else []
    (run / "events.jsonl").write_bytes(b"".join(map(events.encode, told)))
    monkeypatch.setattr("tui_gen.view.PART", 2000)
    monkeypatch.setattr("tui_gen.view.PATIENCE", 0.0)
    monkeypatch.setattr("tui_gen.view.MOMENT", 0.0)
    with runs.claim(run):
        runs.register(run, "")
        view, states, lengths = RunView.begin(run), [], []
        while view.behind:
            states.append(view.state)
            lengths.append(len(view.series["a"]))
            view.poll()
        assert states and set(states) == {ending} == {view.state}
        assert lengths == sorted(set(lengths)) and len(view.series["a"]) == 900
