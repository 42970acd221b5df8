"""The log of a run: what is written is read back, whatever happens to the file in between."""

from __future__ import annotations

import errno
import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.waiting import wait_for
from tui_gen import belongings, events, pictures, quality, usage
from tui_gen.events import Alert, Edit, Metrics, Note, Progress, Sample, State, decode, encode
from tui_gen.log import event_log
from tui_gen.log.event_log import EventWriter, Follower

KINDS = {kind.__struct_config__.tag: kind for kind in events.Event.__subclasses__()}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
WHOLE = st.integers(-(2**63), 2**64 - 1)
STEP, COUNT, AMOUNT = st.integers(-1, 10**15), st.integers(0, 10**15), st.floats(0, 1e15)
SHARE = st.none() | st.floats(0, 1)
PATH = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=3, max_size=30)
PLAIN = st.recursive(
    st.none() | st.booleans() | WHOLE | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
VALUES = {
    "str": TEXT, "bool": st.booleans(), "Any": PLAIN, "Name": TEXT, "list[Name]": st.lists(TEXT, max_size=3),
    "When": st.floats(0, 2.5e11), "Step": STEP, "Count": COUNT, "Amount": AMOUNT, "Small": st.integers(0, 10**6),
    "Step | None": st.none() | STEP, "Amount | None": st.none() | AMOUNT, "FilePath": PATH,
    "tuple[Small, Small]": st.tuples(*[st.integers(0, 10**6)] * 2),
    "Stride": st.integers(1, 10**9),
    "Rates": st.dictionaries(TEXT, AMOUNT, max_size=3), "Names": st.lists(TEXT, max_size=3),
    "Changes": st.dictionaries(TEXT, st.lists(PLAIN, min_size=2, max_size=2), max_size=3),
    "Steps": st.lists(STEP, max_size=3),
    "Plans": st.lists(
        st.fixed_dictionaries({"step": st.integers(0, 10**15), "key": TEXT, "value": st.none() | NUMBER}), max_size=3
    ),
    "Groups": st.lists(st.lists(TEXT, max_size=3), max_size=3),
    "Report": st.builds(
        quality.Report, STEP, COUNT, COUNT, COUNT, TEXT,
        st.lists(st.builds(quality.Figure, TEXT, *[st.none() | NUMBER] * 4, TEXT, TEXT), max_size=3),
        AMOUNT, st.lists(TEXT, max_size=2),
    ),
    "Tiles": st.builds(
        pictures.Tiles, st.integers(0, 10**6), st.tuples(*[st.integers(0, 10**6)] * 2),
        *[st.lists(TEXT, max_size=3).map(tuple)] * 3,
        st.lists(st.tuples(st.just("#0a1b2c"), TEXT), max_size=2).map(tuple),
        st.lists(st.tuples(TEXT, NUMBER, NUMBER), max_size=2).map(tuple),
    ),
    "Spent": st.builds(
        usage.Spent, AMOUNT, COUNT, st.dictionaries(TEXT, AMOUNT, max_size=3), st.dictionaries(TEXT, COUNT, max_size=3),
        COUNT, COUNT,
    ),
    "Load": st.builds(
        usage.Load, TEXT, AMOUNT, AMOUNT, SHARE, COUNT, COUNT, COUNT,
        st.none() | st.builds(usage.Gpu, TEXT, SHARE, COUNT, COUNT, COUNT, AMOUNT, AMOUNT),
    ),
    "Columns": st.dictionaries(TEXT, st.lists(st.none() | NUMBER, max_size=4), max_size=3),
}  # fmt: skip


@st.composite
def any_event(draw: st.DrawFn) -> events.Event:
    kind = draw(st.sampled_from([one for one in KINDS.values() if one is not events.Packed]))
    hints = {"t": "When"} | vars(kind)["__annotations__"]
    fields = {name: draw(VALUES[hint]) for name, hint in hints.items()}
    if kind is events.Rollback:
        fields["to"] = min(fields["to"], fields["step"])
    return kind(**fields)


@given(any_event())
def test_every_event_is_read_back_as_it_was_written(event):
    line = encode(event)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert decode(line) == event
    plain = json.loads(line)
    assert KINDS[plain["type"]] is type(event) and plain["t"] == event.t


def test_every_type_has_its_word():
    assert sorted(KINDS) == [
        "alert", "checkpoint", "edit", "fork", "host", "metrics", "note", "packed", "plan", "progress", "quality",
        "resume", "rollback", "sample", "state", "system", "usage", "uses",
    ]  # fmt: skip


def test_what_is_not_finite_is_null():
    column = [1.0, math.nan, math.inf, -math.inf, None, 1e-300]
    assert decode(encode(Metrics(start=3, values={"a": column}))).values == {"a": [1.0, None, None, None, None, 1e-300]}
    assert decode(encode(Edit(step=1, key="lr", old=math.nan, new=math.inf))).new is None


def test_text_that_is_not_unicode_is_written_all_the_same():
    name = os.fsdecode(b"caf\xe9.png")
    for event in (Note(text=name), Edit(step=1, key="k", old=[name], new={name: 1}), Sample(step=1, path=name)):
        assert b"caf?.png" in encode(event) and type(decode(encode(event))) is type(event)


@pytest.mark.parametrize(
    "line",
    [
        b"", b"{}", b"[]", b"null", b"{", b"garbage", b"\0\0\0", b"\xff\xfe", b'"\xff"', b"[" * 200_000,
        b'{"type":"dance","t":1}', b'{"type":"state"}', b'{"type":"state","t":1,"state":5,"step":1}',
        b'{"type":"metrics","t":1,"start":0,"values":{"a":["x"]}}', b'{"type":"note","t":NaN,"text":"x"}',
        b'{"type":"note","t":1e999,"text":"x"}', b'{"type":["note"],"t":1}', b'{"type":"note","t":1,"text":"\xff"}',
    ],
    ids=range(18),
)  # fmt: skip
def test_what_is_no_event_is_none(line):
    assert decode(line) is None


@given(st.binary(max_size=60) | st.binary(max_size=20).map(lambda tail: encode(Note(text="x"))[:-10] + tail))
def test_no_line_raises(line):
    assert decode(line) is None or isinstance(decode(line), events.Event)


def test_fields_of_a_newer_version_are_passed_over():
    line = b'{"type":"note","t":5,"text":"hello","colour":"red","nested":{"a":[1]}}'
    assert decode(line) == Note(t=5.0, text="hello")


# -- the writer


def numbered(first: int, last: int) -> list[Note]:
    return [Note(t=0.0, text=str(number)) for number in range(first, last)]


def texts(found: list[events.Event]) -> list[str]:
    return [event.text for event in found if isinstance(event, Note)]


def read(path: Path) -> list[str]:
    return texts(Follower(path).poll())


def test_a_torn_line_is_ended_before_the_first_event(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(encode(Note(text="0")) + b'{"type":"note","t":1,"te')
    writer = EventWriter(path)
    assert path.read_bytes().endswith(b"\"te")
    assert writer.write(*numbered(1, 3))
    writer.close()
    follower = Follower(path)
    assert texts(follower.poll()) == ["0", "1", "2"] and follower.garbage == 1


def test_two_writers_after_each_other_append(tmp_path):
    path = tmp_path / "events.jsonl"
    for first in (0, 5):
        writer = EventWriter(path)
        writer.write(*numbered(first, first + 5))
        writer.close()
    assert read(path) == [str(number) for number in range(10)]


@given(st.lists(st.sampled_from(["write", "full", "part", "nothing"]), max_size=20), st.randoms())
def test_a_disk_that_fills_and_empties_loses_nothing(tmp_path_factory, story, dice):
    path = tmp_path_factory.mktemp("run") / "events.jsonl"
    writer, real, mode, number = EventWriter(path), os.write, "write", 0

    def write(fd: int, data: bytes) -> int:
        if mode == "full":
            raise OSError(dice.choice(sorted(event_log.FULL)), "No space left on device")
        return real(fd, data[: dice.randrange(len(data))] if mode == "part" else data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", write)
        for mode in story:
            if mode == "nothing":
                mode = "write"
                assert writer.flush() and not writer.trouble
                continue
            reached = writer.write(*numbered(number, number + 2))
            number += 2
            assert reached == (mode == "write") == (not writer.trouble)
            if mode != "write":
                assert str(path) in writer.trouble
            so_far = read(path)
            assert so_far == [str(one) for one in range(len(so_far))]
        mode = "write"
        writer.close()
    assert read(path) == [str(one) for one in range(number)]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EBADF])
def test_whatever_keeps_a_log_from_being_written_is_told_and_loses_nothing(tmp_path, monkeypatch, number):
    writer = EventWriter(tmp_path / "events.jsonl")

    def fail(fd: int, data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        assert not writer.write(Note(text="1")) and not writer.flush()
        assert writer.error.errno == number and os.strerror(number) in writer.trouble
    assert writer.write(Note(text="2")) and not writer.trouble
    writer.close()
    assert texts(Follower(writer.path).poll()) == ["1", "2"]


def test_a_log_that_its_server_knows_no_more_by_number_is_opened_by_name(tmp_path, monkeypatch):
    writer, write = EventWriter(tmp_path / "events.jsonl"), os.write
    stale = writer._file

    def fail(fd: int, data: bytes) -> int:
        if fd == stale:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return write(fd, data)

    writer.write(Note(text="1"))
    other = os.open("/dev/null", os.O_RDONLY)  # so that the new number is not the old one again
    monkeypatch.setattr(os, "write", fail)
    assert writer.write(Note(text="2"))
    os.close(other)
    writer.close()
    assert texts(Follower(writer.path).poll()) == ["1", "2"]


def test_a_log_that_was_deleted_is_told_and_can_be_had_back(tmp_path, monkeypatch):
    writer = EventWriter(tmp_path / "events.jsonl")
    writer.write(Note(text="1"))
    writer.path.unlink()
    assert writer.removed and not writer.write(Note(text="2")) and writer.error.errno == errno.ENOENT
    assert not writer.path.exists()
    seen = []

    def fail(aside: Path, place: Path) -> None:
        seen.append(aside.name)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full, pytest.raises(OSError, match="No space"):
        full.setattr(os, "replace", fail)
        writer.restore()
    assert not list(tmp_path.iterdir())
    (tmp_path / seen[0]).touch()  # what a kill leaves
    assert not belongings.foreign(tmp_path)
    (tmp_path / seen[0]).unlink()
    writer.restore()
    assert writer.flush() and not writer.removed and not writer.trouble
    writer.close()
    assert texts(Follower(writer.path).poll()) == ["1", "2"]


# -- the follower


def test_an_absent_file_gives_nothing_until_it_is_there(tmp_path):
    follower = Follower(tmp_path / "run" / "events.jsonl")
    assert follower.poll() == [] and not follower.trouble
    (tmp_path / "run").mkdir()
    follower.path.write_bytes(encode(Note(text="x")))
    assert texts(follower.poll()) == ["x"] and follower.poll() == [] and not follower.restarted


def test_a_torn_last_line_is_left_for_later(tmp_path):
    follower, line = Follower(tmp_path / "e"), encode(Note(text="whole"))
    with open(follower.path, "wb", buffering=0) as file:
        for place in range(1, len(line)):
            file.write(line[place - 1 : place])
            assert follower.poll() == []
        file.write(b"\n")
        assert texts(follower.poll()) == ["whole"] and follower.garbage == 0


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(1, 200), st.randoms())
def test_garbage_between_lines_hides_none_of_them(tmp_path_factory, garbage, limit, dice):
    parts = [encode(note) for note in numbered(0, 5)] + [
        one.replace(b"\n", b"?") + b"\n" for one in garbage if decode(one.replace(b"\n", b"?")) is None
    ]
    order = parts[5:]
    for place, line in enumerate(parts[:5]):
        order.insert(dice.randint(order.index(parts[place - 1]) + 1 if place else 0, len(order)), line)
    follower = Follower(tmp_path_factory.mktemp("run") / "e")
    follower.path.write_bytes(b"".join(order))
    found: list[str] = []
    for _ in range(2 * len(b"".join(order)) // limit + 2):
        found += texts(follower.poll(max(limit, 64)))
    assert found == ["0", "1", "2", "3", "4"]
    assert follower.garbage == sum(1 for one in parts[5:] if one.strip())


def test_a_huge_line_is_garbage_and_what_follows_is_read(tmp_path):
    follower = Follower(tmp_path / "e")
    follower.path.write_bytes(encode(Note(text="before")) + b"x" * 5000 + b"\n" + encode(Note(text="after")))
    found: list[str] = []
    for _ in range(10):
        found += texts(follower.poll(limit=1000))
    assert found == ["before", "after"] and follower.garbage > 0
    large = Note(text="y" * 5000)
    with open(follower.path, "ab") as file:
        file.write(encode(large))
    assert texts(follower.poll()) == [large.text]


@pytest.mark.parametrize("how", ["truncated", "replaced by a longer one", "rewritten", "deleted and made anew"])
def test_another_file_is_read_from_its_beginning(tmp_path, how):
    follower = Follower(tmp_path / "e")
    follower.path.write_bytes(b"".join(encode(note) for note in numbered(0, 10)) + b"garbage\n")
    follower.poll()
    assert follower.garbage == 1
    new = b"".join(encode(Note(t=1.0, text=f"new {number}")) for number in range(2 if how == "truncated" else 40))
    if how == "replaced by a longer one":
        (tmp_path / "aside").write_bytes(new)
        os.replace(tmp_path / "aside", follower.path)
    elif how == "deleted and made anew":
        follower.path.unlink()
        follower.path.write_bytes(new)
    else:
        follower.path.write_bytes(new)
    found = texts(follower.poll())
    assert follower.restarted and follower.garbage == 0
    assert len(found) == new.count(b"\n") and found[0] == "new 0"
    assert follower.poll() == [] and not follower.restarted


def test_a_file_that_cannot_be_read_is_told_and_read_once_it_can_be(tmp_path, monkeypatch):
    follower = Follower(tmp_path / "e")
    follower.path.mkdir()
    assert follower.poll() == [] and "Is a directory" in follower.trouble
    follower.path.rmdir()
    follower.path.write_bytes(encode(Note(text="x")))

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", refuse)
        assert follower.poll() == [] and follower.trouble == f"cannot read {follower.path}: Permission denied"
    assert texts(follower.poll()) == ["x"] and not follower.trouble


def test_a_reader_keeps_up_with_a_writer_in_another_process(tmp_path):
    path, count = tmp_path / "events.jsonl", 3000
    code = (
        "import os, random, sys\n"
        "from pathlib import Path\n"
        "from tui_gen.log.event_log import EventWriter\nfrom tui_gen.events import Note\n"
        "real = os.write\n"
        "dice = random.Random(0)\n"
        "os.write = lambda fd, data: real(fd, data[: dice.randint(0, 2 * len(data))])\n"  # the kernel may take a part
        "writer = EventWriter(Path(sys.argv[1]))\n"
        f"for number in range({count}):\n"
        "    writer.write(Note(text=str(number)))\n"
        "while not writer.flush():\n"
        "    pass\n"
        "writer.close()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)])
    follower, found = Follower(path), []
    try:
        polls = wait_for(lambda: found.extend(texts(follower.poll(4096))) or len(found) >= count, 60, "every event")
    finally:
        process.kill()
        process.wait(120)
    assert polls and found == [str(number) for number in range(count)] and follower.garbage == 0


def test_polling_what_does_not_grow_opens_nothing(tmp_path, monkeypatch):
    follower = Follower(tmp_path / "e")
    follower.path.write_bytes(encode(Note(text="x")))
    follower.poll()
    monkeypatch.setattr("builtins.open", lambda *_, **__: pytest.fail("opened"))
    assert follower.poll() == []


def test_events_keep_their_order_and_their_kinds(tmp_path):
    logged = [
        State(state="running", step=0), Progress(what="x", done=1, total=2), Alert(step=1, level="error", what="w"),
        Metrics(start=0, stride=2, values={"b": [1.0], "a": [2.0]}), Sample(step=2, path="s.png", tile=(8, 8)),
    ]  # fmt: skip
    random.Random(0).shuffle(logged)
    writer = EventWriter(tmp_path / "e")
    writer.write(*logged)
    assert Follower(tmp_path / "e").poll() == logged
    assert msgspec.json.decode((tmp_path / "e").read_bytes().split(b"\n")[0])["type"] in KINDS
