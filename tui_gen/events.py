"""The typed events of a run; their writer and follower are in `event_log`.

`events.jsonl` holds one JSON object a line, only ever appended to. Every event has a `type` and `t`, the wall-clock
time in seconds since the epoch. A torn last line is left for later; a line that is not a known event is counted and
passed over, so a newer writer or a disk fault never blinds a reader. So is an event that cannot be true (a step or a
time out of all bounds, a path that leaves the run): `decode` is the one check, its readers need none of their own.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from tui_gen import bounds, columns
from tui_gen.bounds import (
    Amount,
    Changes,
    Columns,
    Count,
    FilePath,
    Groups,
    Name,
    Names,
    Plans,
    Rates,
    Step,
    Steps,
    Stride,
    When,
)
from tui_gen.pictures import UNKNOWN, Small, Tiles
from tui_gen.quality import Report
from tui_gen.text import characters, deeper_than
from tui_gen.usage import Load, Spent

LONG = 1 << 16
"""The longest line that may hold anything but metrics; of longer notes, states and alerts the words are cut."""
MOST_WORDS = 10_000
"""The longest text of an event, in characters: of an error message of megabytes the beginning is what tells."""
DEEPEST = 8
"""Levels of lists that a setting may have, and more than any has."""
SHORT = 8
"""Columns of fewer values are written as plain numbers: packed they would not be smaller."""


class Event(msgspec.Struct, tag_field="type", kw_only=True):
    """What every event has: `t`, seconds since the epoch."""

    t: When = msgspec.field(default_factory=time.time)


def made(index: Any) -> Any:
    """How many steps had been made once that of this index had, for a number or an array of them.

    The log counts steps from 0 where it names one by itself: metrics and alerts. People see how many had been made, as
    checkpoints, samples and everything else count; here the one becomes the other.
    """
    return index + 1


def index(made: Any) -> Any:
    """The other way: the index, from 0, of the last of so many steps."""
    return made - 1


class Metrics(Event, tag="metrics", kw_only=True):
    """Some steps' values, columnar: metric → one value a step; steps are `start, start + stride, …`.

    A value that was NaN or infinite is `null`. Names are `phase/metric` (`vae/elbo`), with `val/` in front when
    they come from the validation split. In memory a column may be an `array('f')` with NaN for `null`: those of a few
    steps or more are written as a `Packed` event, which is read back as this one.
    """

    start: Step
    stride: Stride = 1
    values: Columns

    @property
    def begin(self) -> int:
        """How many steps had been made at its first value."""
        step: int = made(self.start)
        return step

    @property
    def end(self) -> int:
        """How many steps had been made at its last value."""
        longest = max((len(column) for column in self.values.values()), default=1)
        return self.begin + max(0, longest - 1) * self.stride


class Packed(Event, tag="packed", kw_only=True, omit_defaults=True):
    """Metrics in a third of the room: the columns of `names`, one after the other, as `columns.pack` packs them.

    In JSON `data` is base64. Unpacked, in bytes of float32: for every column the lowest byte of each of its numbers,
    then the second ones, the third ones and the highest; zlib over all of it.
    """

    start: Step
    stride: Stride = 1
    names: Annotated[list[Name], Meta(min_length=1, max_length=1000)]
    data: bytes


class State(Event, tag="state"):
    """The run went over to `state`: starting, running, paused, stopping, finished, stopped or failed."""

    state: Name
    step: Step
    reason: str = ""


class Host(Event, tag="host", kw_only=True, omit_defaults=True):
    """Where a session of the run trains, written as it starts: the machine, and the job it is part of, if any.

    `system` is the batch system (`Slurm`) and `job` what that calls the job (`123`, `120_4` for a task of an array);
    `id` is the number that no other job of its `cluster` has, the same each time it is started; `restarts` is how often
    it was started again.
    """

    host: Name
    system: Name = ""
    cluster: Name = ""
    job: Name = ""
    id: Name = ""
    restarts: Count = 0


class Resume(Event, tag="resume"):
    """Training goes on from `step` (a checkpoint's): whatever the log says of later steps was lost and is redone."""

    step: Step

    @property
    def start(self) -> int:
        """The step from which what follows in the log is made again."""
        return self.step


class Fork(Event, tag="fork"):
    """The run is a fork of another: it has that one's past, and may differ from it from step `step` on.

    It stands first in the log, with the time of the first event that both have; after it comes what the other's log
    said up to step `start`, whose checkpoint the run began with (`step` where nothing else is said). `run` is the
    name of the other run's folder, `name` what that run was called. `changes` are the settings that were changed for
    the fork, as [old, new] by their keys.
    """

    step: Step
    run: FilePath
    name: Name = ""
    start: Step | None = None
    changes: Changes = {}


class Rollback(Event, tag="rollback"):
    """The run went back from `step` to its checkpoint of step `to`: whatever the log says of later steps is redone.

    `reason` says why, `by_hand` whether a person asked. `factor` is what learning rates were multiplied by (`rates` has
    the new ones by their keys); `skipped` are steps whose batch is passed over from now on. What is ahead of the run is
    stated whole, so that a resume does the same: `edits` still to be made, `skips` (steps before which a batch of the
    data is passed over, as often as they are named), and `plan`, the config's edits that these take into account.
    `kept` is the file with the offending batch, relative to the run.
    """

    step: Step
    to: Step
    reason: str = ""
    by_hand: bool = False
    factor: Amount = 1.0
    rates: Rates = {}
    skipped: Steps = []
    edits: Plans = []
    skips: Steps = []
    plan: Plans = []
    kept: FilePath = ""

    @property
    def start(self) -> int:
        """The step from which what follows in the log is made again."""
        return self.to

    @property
    def change(self) -> str:
        """What is different from here on, in words."""
        words = [f"learning rates × {self.factor:g}"] if self.rates else []
        if self.skipped:
            words.append(f"without the batch after step {', '.join(f'{step:,}' for step in self.skipped)}")
        return ", ".join(words)


class Plan(Event, tag="plan"):
    """What is going to happen: the length in steps (or None with a time limit), and the sizes readers need.

    `threads` is how many CPU threads compute; 0 where a GPU does, or where it was not written down. `judged` and
    `together` are the model's word on which plots come first, and which metrics share one. `accumulate` is how many
    micro-batches a batch is computed in, by each of `processes` processes that share it; `threads` are those of each.
    """

    steps: Step | None
    steps_per_epoch: Step
    batch_size: Step
    minutes: Amount | None = None
    device: Name = ""
    parameters: Count = 0
    phases: list[Name] = []
    compiled: bool = False
    threads: Small = 0
    judged: Names = []
    together: Groups = []
    accumulate: Small = 1
    processes: Small = 1


class Sample(Event, tag="sample"):
    """A preview was written: `path` is relative to the run directory; a PNG grid, or lines of text (`.txt`).

    `kind` is what it shows (`samples`, `reconstructions`, `trajectory`, …); `columns` × `rows` tiles of
    `tile` = (height, width) pixels, `gap` pixels between them; `tiles` says what they are. `step` counts the training
    steps the weights have seen.
    """

    step: Step
    path: FilePath
    kind: Name = "samples"
    columns: Small = 1
    rows: Small = 1
    tile: tuple[Small, Small] = (1, 1)
    gap: Small = 0
    tiles: Tiles = UNKNOWN


class Checkpoint(Event, tag="checkpoint"):
    """A checkpoint was completed: `path` is relative to the run directory; `reason` says why it was made."""

    step: Step
    path: FilePath
    reason: str = ""


class Edit(Event, tag="edit"):
    """A setting was changed while training; it took effect before step `step` was made."""

    step: Step
    key: Name
    old: Any
    new: Any


class Uses(Event, tag="uses"):
    """The run needs another: hyperparameter `key` asked for it with `asked`, `run` is its folder.

    `step` is that of the checkpoint taken; None while the other run is yet to be trained.
    """

    key: Name
    run: FilePath
    asked: FilePath = ""
    step: Step | None = None


class Alert(Event, tag="alert"):
    """Something a person should look at: what happened, where, and what to try.

    `rates` has the learning rates in force, by their keys, that led to a loss that was no number (see `remedy`).
    `kept` is the file with the batch of that step, relative to the run; empty where none was kept. `step` is the index
    of the step whose metric `where` names; of what is no metric's (weights that broke), how many had been made.
    """

    step: Step
    level: Name
    what: str
    where: Name = ""
    advice: str = ""
    rates: Rates = {}
    kept: FilePath = ""

    @property
    def words(self) -> str:
        """What happened, and of which metric where it is one's."""
        return f"{self.what} in {self.where}" if self.where else self.what

    @property
    def at(self) -> int:
        """How many steps had been made when there was what it tells of."""
        step: int = made(self.step) if self.where else self.step
        return step


class Note(Event, tag="note"):
    """A line for the log pane."""

    text: str
    level: Name = "info"


class Progress(Event, tag="progress"):
    """A long preparation (download, image cache): `done` of `total` units; the last one has done == total."""

    what: str
    done: Count
    total: Count
    unit: Name = ""


class System(Event, tag="system"):
    """How fast it goes and what it takes, every second or so: steps/s, examples/s, bytes of memory."""

    step: Step
    steps_per_second: Amount
    images_per_second: Amount
    memory: Count = 0
    device_memory: Count = 0
    seconds: Amount = 0.0
    """Time spent training so far, pauses left out, earlier sessions counted in."""


class Usage(Event, tag="usage"):
    """Where the time of the steps up to `step` went since the last such event, and what the machine was at meanwhile.

    Every few seconds at first, every half a minute in a long run.
    """

    step: Step
    spent: Spent
    load: Load


class Quality(Event, tag="quality"):
    """Samples were measured: their figures beside those of real data, of the weights after `report.step` steps."""

    report: Report


AnyEvent = (
    Metrics | Packed | State | Host | Resume | Rollback | Fork | Plan | Sample | Checkpoint | Edit | Uses | Alert | Note
    | Progress | System | Usage | Quality
)

AGAIN = (Resume, Rollback)
"""Events after which steps are made again, from their `start` on."""
E = TypeVar("E", bound=Event)
_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_WORDS = {State: ("reason",), Note: ("text",), Alert: ("what", "advice"), Rollback: ("reason",), Progress: ("what",)}
"""The texts of events that are cut where they are too long; what else is too long is no event."""


def encode(event: Event) -> bytes:
    """One line, newline included. NaN and infinities become `null`; text that is not Unicode (the name of a file,
    say) is written with `?` in the places that are not; very long words are cut.
    """
    if isinstance(event, Metrics):
        event = _packed(event)
    else:
        event = _cut(event)
    try:
        return _encoder.encode(event) + b"\n"
    except UnicodeEncodeError:
        return _encoder.encode(characters(msgspec.to_builtins(event))) + b"\n"


def _packed(event: Metrics) -> Event:
    """Metrics as they are written: packed where their columns are arrays of one length that is worth it."""
    arrays = [column for column in event.values.values() if isinstance(column, array)]
    if not arrays or len(arrays) < len(event.values):
        return plain(event)
    if len(arrays[0]) < SHORT or any(len(column) != len(arrays[0]) for column in arrays):
        return plain(event)
    data = columns.pack(arrays)
    return Packed(t=event.t, start=event.start, stride=event.stride, names=list(event.values), data=data)


def plain(event: Event) -> Event:
    """An event with plain numbers in all its columns."""
    if not isinstance(event, Metrics) or not any(isinstance(column, array) for column in event.values.values()):
        return event
    values = {key: columns.decimals(data) if isinstance(data, array) else data for key, data in event.values.items()}
    return Metrics(t=event.t, start=event.start, stride=event.stride, values=values)


def _cut(event: E) -> E:
    """The event with words of a length that can be shown."""
    long = {
        name: text[:MOST_WORDS] + f"… ({len(text)} characters)"
        for name in _WORDS.get(type(event), ())
        if len(text := getattr(event, name)) > MOST_WORDS + 40
    }
    return msgspec.structs.replace(event, **long) if long else event


def decode(line: bytes) -> Event | None:
    """The event on a line, or None where the line holds no event that this version knows or that can be true."""
    try:
        event = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if isinstance(event, Packed):
        try:
            arrays = columns.unpack(event.data, len(event.names))
        except ValueError:
            return None
        values: dict[str, Sequence[float | None]] = dict(zip(event.names, arrays))
        return Metrics(t=event.t, start=event.start, stride=event.stride, values=values)
    if isinstance(event, (Metrics, System)):
        return event
    if len(line) > MOST_WORDS:
        event = _cut(event)
        if len(line) > LONG and type(event) not in _WORDS:
            return None
    if isinstance(event, (Sample, Checkpoint)) and not bounds.is_inside(event.path):
        return None
    if isinstance(event, Edit) and deeper_than([event.old, event.new], DEEPEST):
        return None
    if isinstance(event, Rollback) and not _makes_sense(event):
        return None
    if isinstance(event, (Alert, Rollback)) and event.kept and not bounds.is_inside(event.kept):
        return None
    if isinstance(event, Fork) and not (bounds.is_folder(event.run) and not deeper_than(event.changes, DEEPEST)):
        return None
    return None if isinstance(event, Uses) and not bounds.is_possible(event.run) else event


def _makes_sense(event: Rollback) -> bool:
    """Whether it goes back, and its edits are some."""
    if event.to > event.step or deeper_than([event.edits, event.plan], DEEPEST):
        return False
    return all(
        set(edit) == {"step", "key", "value"}
        and type(edit["step"]) is int
        and 0 <= edit["step"] < 2**63
        and isinstance(edit["key"], str)
        for edit in (*event.edits, *event.plan)
    )
