"""What people keep about a run: a name of their own for it, a star, tags, and notes on the run, a step or a sample.

`remarks.json` in the run's folder. It is no part of the training: whoever may write there may write it at any time,
also while a worker trains, whose lock is not needed. Two who write at once wait for each other (the folder itself is
locked for that moment). What a newer version keeps in the file stays there.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from tui_gen import bounds, quantities
from tui_gen.files import read_regular, written_aside
from tui_gen.headline import headline
from tui_gen.text import clean, cleaned

FILE = "remarks.json"
MOST = 1 << 20
"""The largest file that is read, in bytes."""
LONGEST_NAME, LONGEST_TAG, LONGEST_NOTE = 80, 40, 4000
"""In characters."""
MOST_TAGS, MOST_NOTES = 50, 1000
MOST_CACHED = 64
"""Runs whose remarks are remembered for `at_hand`."""
PATIENCE = 3.0
"""Seconds that somebody else who writes is waited for."""


class RemarkError(Exception):
    """Something that cannot be kept about a run; the text says what, why and what to do."""


class Remark(msgspec.Struct, omit_defaults=True):
    """A note: on a step of the run or one of its samples (`path`, relative to the run), else on the run itself."""

    t: bounds.When
    text: str
    step: bounds.Step | None = None
    sample: str = ""

    @property
    def where(self) -> str:
        """`at step 40`, `on samples/000040.png`, or nothing for the run itself."""
        place = f"on {self.sample}" if self.sample else ""
        return place or (f"at step {self.step:,}" if self.step is not None else "")


class Remarks(msgspec.Struct, omit_defaults=True):
    """All that is kept about one run. `name` is what people call it, empty for the name in its config; `tags` is None
    for those in its config.
    """

    name: str = ""
    star: bool = False
    tags: list[str] | None = None
    notes: list[Remark] = []


NONE = Remarks()
"""Of a run that nobody has said anything about; not to be changed."""
_decoder = msgspec.json.Decoder(dict[str, Any])


def of(path: Path | str) -> Remarks:
    """What is kept about a run; nothing where the file is absent, or damaged."""
    try:
        data = read_regular(f"{path}/{FILE}", MOST)
    except (OSError, ValueError):
        return NONE
    try:
        return _read(data)[0]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return NONE


_cache: dict[str, tuple[int, int, Remarks]] = {}


def at_hand(path: Path | str) -> Remarks:
    """The same for who asks with every frame: the file is read again only where it is another one."""
    place = f"{path}/{FILE}"
    try:
        status = os.stat(place)
    except (OSError, ValueError):
        return NONE
    before = _cache.get(place)
    if before is not None and before[:2] == (status.st_mtime_ns, status.st_ino):
        return before[2]
    if len(_cache) > MOST_CACHED:
        _cache.clear()
    _cache[place] = status.st_mtime_ns, status.st_ino, of(path)
    return _cache[place][2]


def change(path: Path | str, edit: Callable[[Remarks], None]) -> Remarks:
    """Read, change and write what is kept about a run, alone for that moment. Raises RemarkError, with nothing lost."""
    file = Path(path) / FILE
    try:
        with _alone(path):
            try:
                remarks, others = _read(read_regular(file, MOST))
            except FileNotFoundError:
                remarks, others = Remarks(), {}
            edit(remarks)
            data = msgspec.json.encode(others | {"version": 1} | msgspec.to_builtins(remarks))
            if len(data) > MOST:
                raise RemarkError(f"{file} would be larger than {quantities.size(MOST)}; remove some notes first")
            with written_aside(file) as aside, open(aside, "wb") as target:
                target.write(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RemarkError(f"{file} cannot be read ({error}); mend it, or remove it and begin anew") from None
    except OSError as error:
        raise RemarkError(f"cannot write {file}: {error.strerror or error}") from None
    return remarks


def _read(data: bytes) -> tuple[Remarks, dict[str, Any]]:
    """What a file holds, fit to be shown, and what else is in it. Raises MsgspecError, UnicodeDecodeError."""
    raw = _decoder.decode(data)
    remarks = msgspec.convert(raw, Remarks, strict=False)
    remarks.name = clean(remarks.name)[:LONGEST_NAME]
    if remarks.tags is not None:
        remarks.tags = [clean(tag)[:LONGEST_TAG] for tag in remarks.tags[:MOST_TAGS]]
    for note in remarks.notes:
        note.text, note.sample = cleaned(note.text)[:LONGEST_NOTE], clean(note.sample)
    return remarks, {key: value for key, value in raw.items() if key not in Remarks.__struct_fields__}


@contextlib.contextmanager
def _alone(path: Path | str) -> Iterator[None]:
    """Keep others from writing meanwhile. Raises OSError; where the file system has no locks, nobody is kept."""
    # Not filelock's: the folder itself is locked, so that no file more lies in every run.
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    break
            if time.monotonic() > deadline:
                raise OSError(errno.EBUSY, "somebody else keeps writing it; try again")
            time.sleep(0.01)
        yield
    finally:
        os.close(folder)


def rename(path: Path | str, name: str) -> Remarks:
    """Call a run by a name; an empty one gives it the name in its config back. Its folder stays what it is."""
    name = " ".join(name.split())
    if len(name) > LONGEST_NAME or clean(name) != name:
        raise RemarkError(f"a run's name has up to {LONGEST_NAME} characters that can be shown")

    def edit(remarks: Remarks) -> None:
        remarks.name = name

    return change(path, edit)


def star(path: Path | str, on: bool | None = None) -> Remarks:
    """Give a run a star, take it away, or (None) whichever it has not."""

    def edit(remarks: Remarks) -> None:
        remarks.star = not remarks.star if on is None else on

    return change(path, edit)


def tag(path: Path | str, add: list[str], remove: list[str]) -> Remarks:
    """Add tags to a run and take others away."""
    for word in add:
        check_tag(word)

    def edit(remarks: Remarks) -> None:
        before = remarks.tags if remarks.tags is not None else headline(f"{path}/config.toml").get("tags", [])
        tags = [word for word in dict.fromkeys([*before, *add]) if word not in remove]
        if len(tags) > MOST_TAGS:
            raise RemarkError(f"a run has up to {MOST_TAGS} tags; remove some first")
        remarks.tags = tags

    return change(path, edit)


def check_tag(word: str) -> None:
    """Raise RemarkError where a word cannot be a tag."""
    if not word or len(word) > LONGEST_TAG or clean(word) != word or word[0] in "+-" or set(word) & set(' ,"'):
        raise RemarkError(
            f"{clean(word)!r} is no tag: one word of up to {LONGEST_TAG} characters, without commas or quotes, that "
            "does not begin with + or -"
        )


def note(path: Path | str, text: str, step: int | None = None, sample: str = "") -> Remarks:
    """Add a note on a run, on one of its steps, or on one of its samples (a file of it, named from the run's folder).

    Raises RemarkError where the text is empty or too long, the step cannot be, or there is no such sample.
    """
    text = cleaned(text).strip()
    if not text or len(text) > LONGEST_NOTE:
        raise RemarkError(f"a note has from 1 to {LONGEST_NOTE} characters; this one has {len(text)}")
    if step is not None and not 0 <= step <= 10**15:
        raise RemarkError(f"there is no step {step}")
    if sample and not (bounds.is_inside(sample) and os.path.isfile(f"{path}/{sample}")):
        raise RemarkError(f"{clean(sample)} is no file of {Path(path).name}; see its folder samples")

    def edit(remarks: Remarks) -> None:
        if len(remarks.notes) >= MOST_NOTES:
            raise RemarkError(f"a run has up to {MOST_NOTES} notes; remove some first")
        remarks.notes.append(Remark(time.time(), text, step, sample))

    return change(path, edit)


def remove_note(path: Path | str, number: int) -> Remarks:
    """Remove a note by its place, from 1. Raises RemarkError where there is no such note."""

    def edit(remarks: Remarks) -> None:
        if not 1 <= number <= len(remarks.notes):
            words = f"it has {len(remarks.notes)}" if remarks.notes else "it has none"
            raise RemarkError(f"{Path(path).name} has no note {number}: {words}")
        del remarks.notes[number - 1]

    return change(path, edit)
