"""What holds a run up, judged by where its time went, and what to do about it. Knows neither PyTorch nor a screen."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tui_gen import config as configs
from tui_gen.params import show
from tui_gen.quantities import duration, moment, size
from tui_gen.usage import (
    CHECKPOINT,
    DATA,
    GRADIENTS,
    LOG,
    OPTIMISER,
    PREVIEW,
    QUALITY,
    ROOM,
    STEP_PARTS,
    VALIDATION,
    WRITABLE,
    Load,
    Spent,
)

if TYPE_CHECKING:
    from tui_gen.events import Plan, Usage
    from tui_gen.view import RunView

LATELY = 60.0
"""Seconds of training that tell how a live run does now."""
LEAST = 4.0
"""Seconds of training of which something can be said."""
COSTLY, CHEAP = 0.05, 0.02
"""The share of the time from which what is done between steps is too much, and that which is advised."""
WAITING = 0.3
"""The share of a step that may go into waiting for its batch."""
SILENT = 20.0
"""Seconds without a word after which a run that trains has stalled; as many steps' time, if that is longer."""
GROWTH, LEAST_GROWTH = 0.15, 200e6
"""Memory creeps where so much of it, and so many bytes, came in the later half of the run."""
HOUR = 3600.0
MOST_PREVIEWS = 10
"""Previews by time wait for so many times as long as the last ones took, whatever the setting says."""

PARTS = {
    DATA: "data",
    GRADIENTS: "forward/backward",
    OPTIMISER: "optimiser",
    PREVIEW: "previews",
    VALIDATION: "validation",
    CHECKPOINT: "checkpoints",
    QUALITY: "quality",
    LOG: "log",
    ROOM: "full disk",
    WRITABLE: "not writable",
}
"""What the parts are called on every screen."""


class Bottleneck(NamedTuple):
    """What holds a run up: a word for it, how bad that is (`good`, `watch` or `bad`), a sentence, what to do next.

    `key` is the setting that mends it, where there is one, and `value` what it should be: a live one, or with `later`
    one of the next run.
    """

    kind: str
    level: str
    sentence: str
    advice: str
    key: str = ""
    value: Any = None
    later: bool = False


class Cadence(NamedTuple):
    """Something that is done every so often: the settings that say when, of which that by steps comes first."""

    part: str
    words: str
    by_steps: str
    by_time: str = ""
    unit: float = 1.0
    """Seconds in one of what `by_time` counts."""


CADENCES = (
    Cadence(PREVIEW, "previews are", "preview.every_steps", "preview.every_seconds"),
    Cadence(VALIDATION, "validation is", "train.validate_every"),
    Cadence(CHECKPOINT, "checkpoints are", "checkpoint.every_steps", "checkpoint.every_minutes", 60.0),
)
SETTINGS = (*(key for cadence in CADENCES for key in (cadence.by_steps, cadence.by_time) if key), "quality.share")
NO_KNOB: tuple[str, Any, bool] = ("", None, False)
ROTATE = "dataset.rotate"
"""The dearest augmentation, which images have."""


def of_view(view: RunView, settings: Mapping[str, Any] | None = None, silent: float = 0.0) -> Bottleneck | None:
    """What holds this run up, lately where it is live, else all in all; None before anything is known.

    `settings` are those of `settings_of`, `silent` the seconds since anything was heard of a run that trains.
    """
    settings = settings_of(view) if settings is None else settings
    remaining = view.eta if view.live else None
    return judge(view.usage, settings, view.plan, live=view.live, silent=silent, remaining=remaining)


def settings_of(view: RunView) -> dict[str, Any]:
    """The settings that say how often things are done, as they are now, written, and edited since; and ROTATE."""
    settings: dict[str, Any] = {}
    try:
        tables = configs.read_toml(view.path / "config.toml")
    except configs.ConfigError:
        tables = {}
    for key in SETTINGS:
        table, _, name = key.partition(".")
        default = next(param.default for param in configs.TABLE_PARAMS[table] if param.name == name)
        try:
            value = configs.get_key(tables, key)
        except KeyError:
            value = default
        settings[key] = value if isinstance(value, int | float) else default
    with contextlib.suppress(KeyError):
        settings[ROTATE] = configs.get_key(tables, ROTATE)
    return settings | {edit.key: edit.new for edit in view.edits if edit.key in SETTINGS}


def recent(accounts: Sequence[Usage], seconds: float = LATELY) -> Spent:
    """What the last accounts say together, of so many seconds or a little more; all of them with `math.inf`."""
    spent = Spent()
    for usage in reversed(accounts):
        if spent.seconds >= seconds:
            break
        spent += usage.spent
    return spent


def judge(
    accounts: Sequence[Usage],
    settings: Mapping[str, Any],
    plan: Plan | None = None,
    *,
    live: bool = True,
    silent: float = 0.0,
    remaining: float | None = None,
) -> Bottleneck | None:
    """What holds a run up, by its accounts, the most pressing first; None where too little is known.

    `plan` says what it trains on, `remaining` how many seconds are to come.
    """
    spent = recent(accounts, LATELY if live else math.inf)
    if live and silent > max(SILENT, SILENT * spent.per_step, 3 * _longest(spent)):
        return Bottleneck(
            "stalled", "bad", f"stalled: nothing was heard for {duration(silent)}",
            "The status bar says what it waits for, if it can tell; a stop (F9) loses nothing that is in a checkpoint.",
        )  # fmt: skip
    if not accounts or spent.seconds < LEAST or not spent.steps:
        return None
    load = accounts[-1].load
    cause = _memory(accounts, load, plan, remaining) if live else None
    cause = cause or _between(spent, settings, plan)
    cause = cause or _crowded(load, plan) or _input(spent, settings) or _launches(spent, load, plan)
    if cause is not None:
        return cause
    return Bottleneck(
        "compute", "good", f"compute-bound: {spent.share(*STEP_PARTS):.0%} of the time goes into steps",
        "Nothing to do.",
    )  # fmt: skip


def _longest(spent: Spent) -> float:
    """Seconds that the longest thing takes that is done between steps."""
    return max((spent.parts.get(part, 0.0) / count for part, count in spent.counts.items() if count), default=0.0)


def _between(spent: Spent, settings: Mapping[str, Any], plan: Plan | None) -> Bottleneck | None:
    """What is done between steps, and takes too much of the time."""
    wait, waited = max((ROOM, WRITABLE), key=spent.share), spent.share(ROOM, WRITABLE)
    if waited > 2 * COSTLY:
        why = "the disk was full" if wait == ROOM else "nothing could be written"
        return Bottleneck(
            wait, "bad" if waited > 4 * COSTLY else "watch", f"{why}: {waited:.0%} of the time went into waiting",
            f"{'Make room' if wait == ROOM else 'The log says why'}; --runs, or TUI_GEN_RUNS, has runs elsewhere.",
        )  # fmt: skip
    costly = []
    for cadence in CADENCES:
        count = spent.counts.get(cadence.part, 0)
        share = spent.share(cadence.part)
        if share > COSTLY and count >= 2:  # the first and the last come of themselves
            cost = spent.parts[cadence.part] / count
            key, value, each = _seldom(cadence, cost, spent, settings, plan)
            if key and cost / (each + cost) > COSTLY:
                costly.append((share, cadence.part, cadence.words, key, value))
    if spent.share(QUALITY) > 2 * COSTLY and settings.get("quality.share", 0) > COSTLY:
        costly.append((spent.share(QUALITY), QUALITY, "measuring quality is", "quality.share", COSTLY))
    if costly:
        share, part, words, key, value = max(costly)
        now = show(settings.get(key, 0))
        goal = "" if part == QUALITY else f" brings that to {CHEAP:.0%}"
        return Bottleneck(
            part, "bad" if share > 4 * COSTLY else "watch", f"{words} too costly: {share:.0%} of the time",
            f"{key} = {show(value)}{goal} (it is {now}).", key, value,
        )  # fmt: skip
    if spent.share(LOG) > 2 * COSTLY:
        return Bottleneck(
            LOG, "watch", f"the disk is slow: {spent.share(LOG):.0%} of the time goes into writing the log",
            "Keep runs on a local disk: --runs, or TUI_GEN_RUNS, says where.",
        )  # fmt: skip
    return None


def _seldom(
    cadence: Cadence, cost: float, spent: Spent, settings: Mapping[str, Any], plan: Plan | None
) -> tuple[str, Any, float]:
    """The setting by which something of this cost comes seldom enough, its value, and the seconds between two now."""
    spacing = cost * (1 - CHEAP) / CHEAP
    step = spent.per_step
    steps = settings.get(cadence.by_steps, 0)
    if not steps and cadence.part == VALIDATION and plan is not None:
        steps = plan.steps_per_epoch
    if steps and steps > 0 and step > 0:
        return cadence.by_steps, round(_round_up(spacing / step)), steps * step
    every = settings.get(cadence.by_time, 0) * cadence.unit
    if cadence.part == PREVIEW and every:
        every = max(every, MOST_PREVIEWS * cost)
    if cadence.by_time and every > 0:
        return cadence.by_time, _round_up(spacing / cadence.unit), every
    return "", None, math.inf


def _round_up(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 5, 7 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    rungs = (first * power for first in (1, 1.5, 2, 3, 5, 7, 10))
    return float(f"{next(rung for rung in rungs if rung >= value * 0.999):.6g}")


def _memory(
    accounts: Sequence[Usage], load: Load, plan: Plan | None, remaining: float | None
) -> Bottleneck | None:
    """Memory that becomes ever more, or is nearly used up: the process's, or what it holds of the GPU's."""
    kinds = [("memory", [usage.load.memory for usage in accounts], load.free)]
    if load.gpu is not None and load.gpu.total:
        own_sizes = [usage.load.gpu.own if usage.load.gpu is not None else 0 for usage in accounts]
        kinds.append(("GPU memory", own_sizes, load.gpu.total - load.gpu.used))
    for words, sizes, free in kinds:
        rate = _creeping(sizes, [usage.spent.seconds for usage in accounts])
        if rate:
            until = free / rate
            bad = until < (remaining if remaining is not None else HOUR)
            end = f", and is full in {duration(until)}" if free and until < 100 * HOUR else ""
            return Bottleneck(
                "memory", "bad" if bad else "watch", f"{words} creeps: {size(rate * HOUR)} more in an hour{end}",
                "Something keeps what each step makes, a list of tensors perhaps. F8 makes a checkpoint; a resume "
                "begins with fresh memory.",
            )  # fmt: skip
    if load.total and load.free and load.free < load.total * 0.04:
        return Bottleneck(
            "memory", "bad", f"memory is nearly full: {size(load.free)} of {size(load.total)} are left",
            "End what else runs here, or raise train.accumulate in the next run.", *_accumulated(plan, 2.0),
        )  # fmt: skip
    return None


def _accumulated(plan: Plan | None, factor: float) -> tuple[str, Any, bool]:
    """`key`, `value` and `later` of so many times the micro-batches of the next run; none where a batch has fewer."""
    parts = int(plan.accumulate * factor) if plan is not None else 0
    return ("train.accumulate", parts, True) if plan is not None and 1 <= parts <= plan.batch_size else NO_KNOB


def _creeping(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Bytes a second by which memory grows, where it does so all the time; else 0."""
    if len(sizes) < 8 or sum(seconds) < LATELY:
        return 0.0
    quarter = len(sizes) // 4
    means = [sum(sizes[n * quarter : (n + 1) * quarter]) / quarter for n in range(4)]
    growth = means[3] - means[1]
    steady = means[1] < means[2] < means[3]
    if not steady or growth < max(LEAST_GROWTH, GROWTH * means[1]) or means[3] - means[2] < growth / 4:
        return 0.0
    return growth / max(sum(seconds[quarter : 3 * quarter]), 1e-6)


def _crowded(load: Load, plan: Plan | None) -> Bottleneck | None:
    """Others that take the CPUs which the run computes on."""
    threads = min(plan.threads, load.cpus) if plan is not None and load.cpus else 0
    if not threads or load.all_cpus is None or load.all_cpus < 0.9 or load.cpu > 0.7 * threads:
        return None
    cpus = f"{threads:g} CPU{'s' if threads != 1 else ''}"
    return Bottleneck(
        "crowded", "watch", f"others take the CPU: of {cpus} the run gets {load.cpu:.1f}",
        "Wait for the others, or stop them; the Runs pane shows those of this folder.",
    )  # fmt: skip


def _input(spent: Spent, settings: Mapping[str, Any]) -> Bottleneck | None:
    """Batches that are waited for."""
    steps = sum(spent.parts.get(part, 0.0) for part in STEP_PARTS)
    waiting = spent.parts.get(DATA, 0.0) / steps if steps else 0.0
    if waiting <= WAITING:
        return None
    knob: tuple[str, Any, bool] = (ROTATE, 0.0, True) if settings.get(ROTATE) else NO_KNOB
    return Bottleneck(
        "input", "bad" if waiting > 0.5 else "watch", f"input-bound: {waiting:.0%} of a step waits for its batch",
        "Next run: less augmentation (dataset.rotate is the dearest), or a dataset.size or dataset.limit that fits "
        "into memory.", *knob,
    )  # fmt: skip


def _launches(spent: Spent, load: Load, plan: Plan | None) -> Bottleneck | None:
    """Operations so small that starting them takes the time."""
    if spent.looks >= 8:
        is_bound = spent.idle / spent.looks > 0.6
        busy = load.gpu.busy if load.gpu is not None else None
        words = f"the GPU waits for the next operation{'' if busy is None else f' ({busy:.0%} busy)'}"
    else:
        threads = min(plan.threads, load.cpus) if plan is not None else 0
        is_bound = threads >= 2 and load.cpu < 1.3 and (load.all_cpus or 0) < 0.9 and 0 < spent.per_step < 0.005
        words = f"steps of {moment(spent.per_step)} keep {load.cpu:.1f} of {threads:g} CPUs busy"
    if not is_bound:
        return None
    is_compiled = plan is not None and plan.compiled
    first = "" if is_compiled else 'train.compile = "on", or '
    parts = plan.accumulate if plan is not None else 1
    larger = f"train.accumulate = {parts // 2}" if parts > 1 else "a larger train.batch_size"
    key, value, later = ("train.compile", "on", True) if not is_compiled else _accumulated(plan, 0.5)
    return Bottleneck("launch", "watch", f"launch-bound: {words}", f"Next run: {first}{larger}.", key, value, later)


def breakdown(spent: Spent) -> str:
    """Where the time went, in one line: `forward/backward 71 %, optimiser 13 %, data 5 %, previews 6 %, rest 5 %`."""
    shares = [(spent.share(part), words) for part, words in PARTS.items()]
    parts = [f"{words} {share:.0%}" for share, words in sorted(shares, key=lambda pair: -pair[0]) if share >= 0.005]
    rest = spent.rest / spent.seconds if spent.seconds else 0.0
    return ", ".join([*parts, *([f"rest {rest:.0%}"] if rest >= 0.005 else [])])
