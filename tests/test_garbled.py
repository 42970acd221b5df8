"""Logs, configs and folders that went wrong: every reader survives, in bounded memory, and what is good is shown."""

from __future__ import annotations

import json
import math
import os
import random
import socket
import struct
import time
import tomllib
import tracemalloc
import zlib
from array import array
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import fake_worker, mutations
from tui_gen import columns, events, files, runs, toml
from tui_gen.draw.series import Series
from tui_gen.events import Metrics, Note, State, System, decode, encode
from tui_gen.headline import _parsed, headline
from tui_gen.log import event_log, tails
from tui_gen.log.event_log import Follower
from tui_gen.view import RunView

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


def make(root: Path, name: str, *story: events.Event) -> Path:
    run = root / name
    run.mkdir(parents=True)
    (run / "config.toml").write_text(f'name = "{name}"\n[model]\nname = "vae"\n')
    (run / "events.jsonl").write_bytes(b"".join(map(encode, story)))
    return run


# -- packed columns


@given(st.lists(st.none() | FINITE, min_size=events.SHORT, max_size=60), st.integers(1, 4))
def test_packed_values_are_read_back_bit_for_bit(values, count):
    made = {f"m{number}": columns.column(values[number:] + values[:number]) for number in range(count)}
    line = encode(Metrics(t=5.0, start=3, stride=2, values=made))
    assert json.loads(line)["type"] == "packed"
    found = decode(line)
    assert isinstance(found, Metrics) and (found.t, found.start, found.stride) == (5.0, 3, 2)
    assert {k: v.tobytes() for k, v in found.values.items()} == {k: v.tobytes() for k, v in made.items()}
    plain = json.loads(encode(Metrics(start=0, values=events.plain(found).values)))
    assert plain["type"] == "metrics" and plain["values"]["m0"] == events.plain(found).values["m0"]
    assert [one is None for one in plain["values"]["m0"]] == [one is None for one in values]


@given(FINITE)
def test_the_shortest_decimal_tells_a_float32_from_its_neighbours(value):
    near = columns.shortest(value)
    assert array("f", [near])[0] == value
    digits = len(f"{near:.9g}".lstrip("-0.").split("e")[0].replace(".", "").rstrip("0"))
    fewest = len(str(np.float32(value)).lstrip("-0.").split("e")[0].replace(".", "").rstrip("0"))
    assert digits == fewest or abs(value) < 1.2e-38  # float32 loses digits there


def test_what_float32_cannot_hold_is_a_gap():
    found = columns.column([1.0, None, math.nan, math.inf, -math.inf, 1e39, -3.4e38])
    assert columns.decimals(found) == [1.0, None, None, None, None, None, -3.4e38]


def test_the_bytes_of_packed_columns_are_as_documented():
    made = [columns.column([1.5, -2.0, 0.1]), columns.column([None, 3.0, 1e-30])]
    raw = b""
    for one in made:
        numbers = [struct.pack("<f", value) for value in one]
        raw += b"".join(bytes(number[place] for number in numbers) for place in range(4))
    assert zlib.decompress(columns.pack(made)) == raw


def test_short_columns_and_uneven_ones_are_plain_numbers():
    short, long = columns.column([0.5] * 3), columns.column([0.5] * 30)
    for values in ({"a": short}, {"a": long, "b": short}, {"a": long, "b": [1.0] * 30}):
        assert json.loads(encode(Metrics(start=0, values=values)))["values"]["a"][:3] == [0.5] * 3


def test_a_log_takes_less_than_half_of_what_decimals_take():
    dice = random.Random(0)
    values = {name: [float(f"{dice.gauss(20, 3):.7g}") for _ in range(60)] for name in ("loss", "kl", "norm", "rest")}
    values["lr"] = [1e-3] * 60
    arrays = {name: columns.column(one) for name, one in values.items()}
    assert len(encode(Metrics(start=0, values=arrays))) < 0.5 * len(encode(Metrics(start=0, values=values)))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"x", zlib.compress(b"")[:-1], zlib.compress(b"12345"), zlib.compress(b"1234") + b"x",
        zlib.compress(b"\0" * (columns.MOST_BYTES + 8)),
    ],
    ids=["empty", "not zlib", "torn", "not numbers", "more after it", "too much"],
)  # fmt: skip
def test_packed_columns_that_are_damaged_are_no_event(data):
    assert decode(encode(events.Packed(start=0, names=["a"], data=data))) is None


# -- events that cannot be true

BAD_PATHS = ["samples/" + "x" * 256, "é" * 128, "x/" * 2001, "../x", "/etc/x", "a\0b", ""]


@pytest.mark.parametrize(
    "event",
    [
        Note(t=-1.0, text="x"), Note(t=1e12, text="x"), State(state="running", step=10**17),
        State(state="running", step=-2), State(state="x" * 300, step=1),
        System(step=1, steps_per_second=-1.0, images_per_second=1.0),
        Metrics(start=0, stride=0, values={"a": [1.0]}), Metrics(start=0, values={"x" * 300: [1.0]}),
        Metrics(start=0, values={f"m{n}": [1.0] for n in range(1001)}),
        *(events.Sample(step=1, path=path) for path in BAD_PATHS),
        events.Checkpoint(step=1, path="a/../../x"), events.Uses(key="k", run="a\0b"),
        events.Sample(step=1, path="x", tile=(10**9, 1)), events.Plan(steps=2**70, steps_per_epoch=1, batch_size=1),
        events.Edit(step=1, key="k", old=None, new=[0] * events.LONG),
        events.Progress(what="x", done=-1, total=0), events.Resume(step=2**63),
    ],
)  # fmt: skip
def test_an_event_out_of_all_bounds_is_garbage(event):
    assert decode(encode(event)) is None


@pytest.mark.parametrize("depth", [0, 2, 7, 8, 400, 900])
@pytest.mark.parametrize("ends", ["[]", ('{"a":', "}")])
def test_a_setting_is_no_tower_of_lists(tmp_path, depth, ends):
    """JSON is read to a thousand levels or so; who then walks over them may recurse no further than a few hundred."""
    for place in ("old", "new"):
        values = {"old": "1", "new": "1", place: ends[0] * depth + "2" + ends[1] * depth}
        line = f'{{"type":"edit","t":1,"step":3,"key":"k","old":{values["old"]},"new":{values["new"]}}}'
        assert (events.decode(line.encode()) is not None) == (depth < 8)
        path = make(tmp_path, f"{depth} {place}", events.Note("x"))
        with open(path / "events.jsonl", "a") as log:
            log.write(line + "\n")
        view = RunView(path)
        view.read_all()
        assert view.garbage == (depth >= 8)


def test_an_error_message_of_megabytes_is_cut():
    reason = "CUDA error: " + "x" * 45_000_000
    line = encode(State(state="failed", step=7, reason=reason))
    assert len(line) < 20_000
    found = decode(line)
    assert found.reason.startswith("CUDA error: xxx") and f"({len(reason)} characters)" in found.reason
    long = json.dumps({"type": "note", "t": 1.0, "text": "y" * 500_000}).encode()  # an older version wrote it
    assert len(decode(long).text) < 20_000


def test_no_mutated_log_makes_any_reader_fail(tmp_path):
    run = make(tmp_path, "r")
    counted = 0
    for log in mutations.logs(seed=10, count=60):
        (run / "events.jsonl").write_bytes(log)
        counted += mutations.read_all_ways(run).garbage > 0
    assert counted > 30


def test_every_kind_of_event_is_mutated():
    told = {type(event) for event in mutations.story()}
    assert told == {one for one in events.Event.__subclasses__() if one is not events.Packed}


# -- files that are none, and files without an end


@pytest.mark.parametrize(
    "what", ["fifo", "device", "folder", "socket", "nuls", "endless line", "nested", "line of 3 MB"]
)
def test_one_bad_run_never_blocks_the_list(tmp_path, monkeypatch, what):
    bad, good = make(tmp_path, "bad"), make(tmp_path, "good", State(state="finished", step=9))
    log = bad / "events.jsonl"
    log.unlink()
    match what:
        case "fifo":
            for name in ("events.jsonl", "worker.json", "worker.log"):
                os.mkfifo(bad / name)
        case "device":
            log.symlink_to("/dev/zero")
            (bad / "worker.json").symlink_to("/dev/zero")
        case "folder":
            log.mkdir()
        case "socket":
            monkeypatch.chdir(bad)
            with socket.socket(socket.AF_UNIX) as one:
                one.bind("events.jsonl")
        case "nuls":
            with open(log, "wb") as file:
                file.truncate(1 << 28)
        case "endless line":
            log.write_bytes(b"x" * (40 << 20))
        case "nested":
            log.write_bytes(b"[" * (20 << 20) + b"\n")
        case "line of 3 MB":
            log.write_bytes(encode(State(state="stopped", step=3)) + b"y" * (3 << 20) + b"\n")
    tails.tail_cache.clear()
    tracemalloc.start()
    try:
        rows = {row.name: (row.state, row.step) for row in runs.list_runs(tmp_path)}
        assert runs.last_log_lines(bad) == [] and runs.edits_of(bad) == []
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert rows["good"] == ("finished", 9) and set(rows) == {"bad", "good"} and peak < 40 << 20
    if what == "line of 3 MB":
        assert rows["bad"] == ("stopped", 3)
    assert runs.find(tmp_path, "good") == good


def test_a_live_run_whose_state_is_far_back_is_found_running(tmp_path, monkeypatch):
    monkeypatch.setattr(tails, "FAR", 1 << 14)
    run = make(tmp_path, "r", State(state="running", step=0), State(state="paused", step=5))
    path = str(run / "events.jsonl")
    assert tails.tail_of(path)[0].state == "paused"
    line = encode(Metrics(start=5, values={"vae/loss": [1.0] * 50}))
    with open(path, "ab") as file:
        file.write(line * 400)
    last, step = tails.tail_of(path)
    assert (last.state, step) == ("running", 55)
    with open(path, "ab") as file:
        file.write(encode(State(state="finished", step=60)))
    assert tails.tail_of(path)[0].state == "finished"
    tails.tail_cache.clear()
    assert tails.tail_of(path)[1] == 60


def test_a_config_of_any_size_is_not_read(tmp_path):
    run = make(tmp_path, "r", State(state="finished", step=1))
    (run / "config.toml").write_bytes(b'name = "x"\n#' + b"y" * (2 << 20))
    (run / "worker.json").write_bytes(b'{"host": "' + b"z" * (2 << 20) + b'"}')
    [row] = runs.list_runs(tmp_path)
    assert (row.name, row.host) == ("r", "")


@pytest.mark.parametrize("limit", [64, 1000, 1 << 20])
def test_a_line_without_an_end_is_passed_over_and_counted_once(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(event_log, "LONGEST", 4000)
    path = tmp_path / "e"
    path.write_bytes(encode(Note(text="before")) + b"x" * 50_000 + b"\n" + encode(Note(text="after")))
    follower, found, polls = Follower(path), [], 0
    while (new := follower.poll(limit)) or follower.behind:
        found += [one.text for one in new]
        polls += 1
    assert found == ["before", "after"] and follower.garbage == 1 and polls < 3000
    with open(path, "ab") as file:
        file.write(b"y" * 9000)
    assert follower.poll(1000) == [] and follower.behind
    while follower.behind:
        assert follower.poll(1000) == []
    with open(path, "ab") as file:
        file.write(b"y\n" + encode(Note(text="last")))
    assert [one.text for one in follower.poll()] == ["last"] and follower.garbage == 2


def test_a_view_reads_past_megabytes_of_garbage_and_a_fifo_is_told(tmp_path, monkeypatch):
    run = make(tmp_path, "r", Note(text="first"))
    with open(run / "events.jsonl", "ab") as file:
        file.write(b"\0" * (20 << 20) + b"\n" + encode(Note(text="last")))
    view = RunView(run)
    view.read_all()
    assert [text for _, _, text in view.log] == ["first", "last"] and view.garbage == 1
    (run / "events.jsonl").unlink()
    os.mkfifo(run / "events.jsonl")
    view.poll()
    assert "not a regular file" in view.trouble


def test_only_regular_files_of_the_size_agreed_on_are_read(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 100)
    assert files.read_regular(tmp_path / "a", 100) == b"x" * 100
    os.mkfifo(tmp_path / "fifo")
    for path, most in ((tmp_path / "a", 99), (tmp_path / "fifo", 10), (tmp_path, 10), (Path("/dev/zero"), 10)):
        with pytest.raises(OSError, match=r"larger than|not a regular"):
            files.read_regular(path, most)


# -- memory that does not grow with the log


def test_a_followed_run_keeps_its_ends_extremes_and_newest_values(tmp_path):
    steps = 200_000
    values = np.full(steps, 5.0, np.float32)
    values[[0, 777, 150_001, steps - 1]] = [1.0, 99.0, -99.0, 2.0]
    story = [
        Metrics(start=n, values={"a/loss": array("f", values[n : n + 500].tobytes())}) for n in range(0, steps, 500)
    ]
    run = make(tmp_path, "r", *story)
    view, whole = RunView(run, points=4000), RunView(run)
    view.read_all(), whole.read_all()
    curve = view.series["a/loss"]
    assert len(whole.series["a/loss"]) == steps == view.step and 1000 <= len(curve) <= 2000
    assert (curve.values[0], curve.values[-1]) == (1.0, 2.0) and curve.extremes() == (-99.0, 99.0)
    assert np.array_equal(curve.steps[-900:], np.arange(steps - 899, steps + 1))
    older = curve.steps[curve.steps < steps - 3000]
    assert len(older) > 300 and np.diff(older).max() < 5 * steps / len(older)  # the past is there evenly
    assert whole.series["a/loss"].extremes() == (-99.0, 99.0)


def test_a_value_in_memory_takes_twelve_bytes():
    curve = Series(dtype=np.float32)
    curve.append(np.arange(1000), np.arange(1000) / 3)
    assert curve.steps.itemsize + curve.values.itemsize == 12
    assert curve.ema(0.9).dtype == np.float32
    assert np.allclose(curve.ema(0.9), Series("", np.arange(1000), np.arange(1000) / 3).ema(0.9))


def test_lists_and_names_without_an_end_are_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr("tui_gen.view.MOST", 100)
    monkeypatch.setattr("tui_gen.view.MOST_CURVES", 50)
    story = [Note(t=float(n), text=str(n)) for n in range(1001)]
    story += [Metrics(start=0, values={f"m{n}": [1.0]}) for n in range(60)]
    story += [events.Sample(step=n, path=f"samples/{n}") for n in range(500)]
    view = RunView(make(tmp_path, "r", *story))
    view.read_all()
    assert view.log_offset + len(view.log) == 1001 and view.log[-1][2] == "1000" and len(view.log) <= 100
    assert len(view.series) == 50 and view.garbage == 10
    assert len(view.samples) <= 100 and view.samples[-1].step == 499


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 3), st.integers(1, 20)), max_size=12), st.booleans())
def test_values_that_come_one_by_one_make_the_same_curves(tmp_path_factory, parts, resumed):
    story: list[events.Event] = []
    plain = Series()
    for number, (start, stride, count) in enumerate(parts):
        column = [float(number * 100 + n) for n in range(count)]
        story.append(Metrics(start=start, stride=stride, values={"a": column}))
        plain.append_stride(start + 1, stride, column)
        if resumed and number % 3 == 2:
            story.append(events.Resume(step=start + 1))
            plain.truncate(start + 1)
    view = RunView(make(tmp_path_factory.mktemp("x"), "r", *story))
    view.read_all()
    found = view.series.get("a", Series())
    assert (found.steps.tolist(), found.values.tolist()) == (plain.steps.tolist(), plain.values.tolist())


# -- what a list shows of a config


@pytest.mark.parametrize(
    "text",
    [
        'name = "a"\n[model]\nname = "vae"\n[dataset]\nname = "digits"\n[train]\nsteps = 50\n',
        'name = "a \\"b\\" é"\n[model]\nname = "vae" # x\n', "[model]\nname = 'literal'\n", 'model.name = "dotted"\n',
        'name = "a"\nnotes = """\n[model]\nname = "no"\n"""\n[model]\nname = "yes"\n', 'model = {name = "inline"}',
        '[model]\nsizes = [\n  [1, 2],\n]\nname = "after"\n', '[[edits]]\nname = "no"\n[model]\nname = "vae"\n',
        '[ model ]\nname="tight"\n[train]\nsteps=1_000\n', '"name" = "quoted"\n[model]\nname = "m"\n', "name = 5\n",
        '[model]\nname = "m"\n[train.phases.x]\nsteps = 7\nname = "no"\n[train]\nsteps = 0\n',
    ],
)  # fmt: skip
def test_a_config_s_headline_is_what_parsing_all_of_it_finds(tmp_path, text):
    (tmp_path / "c").write_text(text, encoding="utf-8")
    tables = tomllib.loads(text)
    found = headline(str(tmp_path / "c"))
    assert found == _parsed(text.encode())
    if isinstance(tables.get("model"), dict):
        assert found.get("model") == tables["model"].get("name")


def test_thousands_of_runs_are_listed_without_parsing_their_configs(tmp_path, monkeypatch):
    text = (fake_worker.make_run() / "config.toml").read_text()
    for number in range(30):
        run = make(tmp_path, f"r{number:02}", State(state="finished", step=number))
        (run / "config.toml").write_text(text)
        os.utime(run / "config.toml", (time.time() - number, time.time() - number))
    tables = tomllib.loads(text)
    monkeypatch.setattr(toml, "loads", lambda _: pytest.fail("parsed"))
    found = {(row.name, row.model, row.dataset, row.steps) for row in runs.list_runs(tmp_path)}
    assert found == {("vae-digits", "vae", "digits", tables["train"]["steps"])}
    monkeypatch.setattr("tui_gen.runs.headline", lambda _: pytest.fail("read a config"))
    assert runs.find(tmp_path, "latest").name == "r00" and runs.find(tmp_path, "r07").name == "r07"
    assert runs.live_runs(tmp_path) == []
