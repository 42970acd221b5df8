"""What people keep about runs: written by anybody at any time, lost by nobody, shown everywhere."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil

import pytest

from tests import fake_worker
from tui_gen import remarks, runs
from tui_gen.remarks import RemarkError


@pytest.fixture
def run(world):
    return fake_worker.record(fake_worker.make_run(None, "vae-digits", 'tags=["first"]'))


def test_everything_that_is_kept_is_listed_and_found(run):
    remarks.rename(run, "  the  good one ")
    remarks.star(run)
    remarks.tag(run, ["baseline", "b2"], ["nothing"])
    remarks.note(run, "blurry")
    remarks.note(run, "a spike\nhere", step=40)
    sample = next((run / "samples").iterdir()).name
    remarks.note(run, "a seven", sample=f"samples/{sample}")
    info = runs.info_of(run)
    assert (info.name, info.star, info.tags, info.notes) == ("the good one", True, ["first", "baseline", "b2"], 3)
    assert runs.find(runs.default_root(), "the good one") == run == runs.find(runs.default_root(), "vae-digits")
    assert [note.where for note in remarks.of(run).notes] == ["", "at step 40", f"on samples/{sample}"]
    remarks.remove_note(run, 1)
    remarks.tag(run, [], ["first"])
    remarks.rename(run, "")
    assert not remarks.star(run).star
    info = runs.info_of(run)
    assert (info.name, info.star, info.tags, info.notes) == ("vae-digits", False, ["baseline", "b2"], 2)


def test_a_note_is_on_a_step_that_the_run_has_made(run, call):
    reached = runs.info_of(run).step
    assert call("note", run.name, "its end", "--step", str(reached))[0] == 0
    status, _, err = call("note", run.name, "beyond", "--step", str(reached + 1))
    assert status == 2 and f"there is no step {reached + 1} in {run.name}: it came to {reached}" in err
    assert [note.step for note in remarks.of(run).notes] == [reached]
    for words in (["note", run.name, "x"], ["sample", run.name], ["quality", run.name], ["walk", run.name]):
        for step in ("1O", "-1", "1.5"):
            status, _, err = call(*words, "--step", step)
            assert status == 2 and f"{step!r} is not a step, a whole number from 0 up" in err
    status, _, err = call("note", run.name, "--remove", "one")
    assert status == 2 and "'one' is not a whole number from 1" in err


def test_a_copy_has_them_and_deleting_takes_them_along(run, world):
    remarks.star(run)
    copy = shutil.copytree(run, world / "copy")
    assert runs.info_of(copy).star
    runs.delete(copy)
    assert not copy.exists()


def test_they_are_written_while_somebody_trains(run):
    with runs.claim(run):
        assert remarks.note(run, "now").notes[0].text == "now"


def test_what_cannot_be_kept_is_refused_with_nothing_lost(run):
    remarks.note(run, "stays")
    before = (run / remarks.FILE).read_bytes()
    for call in (
        lambda: remarks.note(run, "  \n "),
        lambda: remarks.note(run, "x" * 5000),
        lambda: remarks.note(run, "x", step=-1),
        lambda: remarks.note(run, "x", sample="../../etc/passwd"),
        lambda: remarks.note(run, "x", sample="samples/none.png"),
        lambda: remarks.tag(run, ["two words"], []),
        lambda: remarks.tag(run, ["-x"], []),
        lambda: remarks.tag(run, [f"t{number}" for number in range(80)], []),
        lambda: remarks.rename(run, "a\x1b[2Jb"),
        lambda: remarks.rename(run, "x" * 200),
        lambda: remarks.remove_note(run, 2),
        lambda: remarks.remove_note(run, 0),
        lambda: remarks.star(run / "samples" / "none"),
    ):
        with pytest.raises(RemarkError):
            call()
    assert (run / remarks.FILE).read_bytes() == before


def test_damage_is_no_trouble_to_readers_and_never_written_over(run):
    file = run / remarks.FILE
    for content in (b"{", b"[1]", b'{"tags": 3}', b"\xff", b'{"notes": [{"t": 1e300, "text": "x"}]}', b"[" * 100000):
        file.write_bytes(content)
        assert remarks.of(run) == remarks.NONE and runs.info_of(run).name == "vae-digits"
        with pytest.raises(RemarkError, match=r"remarks\.json cannot be read"):
            remarks.star(run)
        assert file.read_bytes() == content
    file.unlink()
    os.mkfifo(file)
    assert remarks.of(run) == remarks.NONE


def test_nothing_in_them_steers_a_terminal(run):
    hostile = {"name": "a\x1b[2J", "tags": ["\x1b]0;x\x07"], "notes": [{"t": 1, "text": "\x9b2Jok", "sample": "\x1bc"}]}
    (run / remarks.FILE).write_text(json.dumps(hostile))
    own = remarks.of(run)
    words = [own.name, *own.tags, own.notes[0].text, own.notes[0].sample]
    assert all(word.isprintable() for word in words) and own.notes[0].text


def test_what_a_newer_version_keeps_stays(run):
    (run / remarks.FILE).write_text('{"version": 9, "colour": "red", "star": false}')
    remarks.star(run)
    held = json.loads((run / remarks.FILE).read_text())
    assert held["colour"] == "red" and held["star"] is True


def _write(path, number):
    for _ in range(5):
        remarks.note(path, f"from {number}")


def test_several_who_write_at_once_lose_nothing(run):
    processes = [multiprocessing.get_context("fork").Process(target=_write, args=(run, i)) for i in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    expected = sorted(f"from {i}" for i in range(3) for _ in range(5))
    assert sorted(note.text for note in remarks.of(run).notes) == expected


def test_words_may_stand_on_both_sides_of_an_option(call):
    """As people write them: `tui-gen note RUN --step 40 at this step`."""
    made = [fake_worker.record(fake_worker.make_run()) for _ in range(2)]
    one, other = (run.name for run in made)
    assert call("note", one, "--step", "40", "at", "this step")[0] == 0
    assert [(note.step, note.text) for note in remarks.of(made[0]).notes] == [(40, "at this step")]
    assert call("star", one, "--runs", str(made[0].parent), other)[0] == 0
    assert all(remarks.of(run).star for run in made)
    status, _, error = call("rename", one, "--runs", str(made[0].parent), "another", "word")
    assert (status, error.splitlines()[0]) == (2, "tui-gen: unrecognized arguments: word")


def test_the_command_line(run, call):
    name = run.name
    assert call("note", name, "first", "words")[:2] == (0, f"note 1 of {name}\n")
    assert call("note", name, "at a step", "--step", "40")[0] == 0
    sample = next((run / "samples").iterdir())
    assert call("note", name, "on it", "--sample", str(sample))[0] == 0
    assert remarks.of(run).notes[2].sample == f"samples/{sample.name}"
    status, out, _ = call("note", name)
    assert status == 0 and "first words" in out and "at step 40" in out and f"on samples/{sample.name}" in out
    assert call("note", name, "--remove", "1")[0] == 0 and call("note", name, "--remove", "7")[0] == 2
    assert call("note", name, "x", "--sample", "none.png")[0] == 2
    assert call("tag", name, "+new", "-first", "b")[1] == f"{name}: new b\n"
    assert call("tag", name, "-b", "--runs", str(run.parent))[1] == f"{name}: new\n"
    assert call("tag", name, "+a,b")[0] == 2
    assert call("star", name)[0] == 0 and runs.info_of(run).star
    assert call("star", name, "--off")[0] == 0 and not runs.info_of(run).star
    assert call("rename", name, "Ünïcode")[1] == f"{name} is called Ünïcode\n"
    status, out, _ = call("runs", "Ünïcode")
    assert status == 0 and "Ünïcode" in out and "new" in out and "note 1" in out
