"""What a report says in words and tables: what the run is, its settings, what happened, its figures, its machine."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tui_gen import __version__, checkpoints, config, hosts, proof, quality, remarks, rollbacks, toml
from tui_gen.catalog import Catalog, ModelEntry
from tui_gen.draw.canvas import Mark
from tui_gen.events import Plan
from tui_gen.files import read_regular
from tui_gen.headline import MOST
from tui_gen.history import provenance
from tui_gen.params import show
from tui_gen.progress import epoch, per_process, place
from tui_gen.quantities import count, duration, metric, rate, size
from tui_gen.report.page.markup import Markup, element, section, table, together
from tui_gen.states import VERDICTS, state_look
from tui_gen.verdicts import health
from tui_gen.verdicts.goals import Goal
from tui_gen.view import RunView

Words = Callable[[str], str]
"""What becomes of a text that somebody wrote, or a machine."""
ROWS = 200
"""Rows of a table of what happened; of more the last are there."""
LOG_LINES = 200
NEWEST = 12
"""Checkpoints that are named."""
PLACES = ("dataset.root", "model_dirs")
"""Settings that say where something is on a machine."""


def tables_of(view: RunView) -> dict[str, Any]:
    """A run's settings as they are written in it; none where they cannot be read."""
    try:
        return toml.loads(read_regular(view.path / "config.toml", MOST).decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}


def listing(rows: Mapping[str, str]) -> Markup:
    """Names and what they are, side by side; without those that are empty."""
    pairs = [element("div", element("dt", name), element("dd", value)) for name, value in rows.items() if value]
    return element("dl", *pairs)


def overview(view: RunView, tables: dict[str, Any], goal: Goal | None, figure: str, words: Words) -> Markup:
    """The name, the verdict, the figure, and the run in a few numbers."""
    own = remarks.of(view.path)
    name = own.name or str(tables.get("name") or view.path.name)
    model, data = config.named(tables, "model"), config.named(tables, "dataset")
    begun = time.strftime("%d %B %Y, %H:%M", time.localtime(view.begun)) if view.begun else ""
    lead = " · ".join(filter(None, (f"{model} on {data}" if model else "", begun, view.path.name)))
    star = " ★" if own.star else ""
    parts = [element("h1", words(name + star)), element("p", words(lead), class_="lead")]
    verdict = health.verdict(view)
    if verdict is not None:
        look = VERDICTS[verdict.level]
        line = element("b", f"{look.sign} {verdict.level}: ")
        more = [f" ({verdict.number})" if verdict.number else "", f". {verdict.advice}" if verdict.advice else ""]
        sentence = element("p", line, words(verdict.sentence), *map(words, more))
        parts.append(element("div", sentence, class_=f"verdict {verdict.level}"))
    notes = str(tables.get("notes") or "")
    if notes:
        parts.append(element("p", words(notes)))
    plan, system = view.plan, view.system
    reason = f": {words(view.reason)}" if view.reason else ""
    tags = own.tags if own.tags is not None else tables.get("tags")
    proved = proof.of(view.path)
    rows = {
        "State": f"{state_look(view.state).sign} {view.state}{reason}",
        "Trained for": f"{place(view)} {epoch(view)}".strip(),
        "Training time": duration(system.seconds) if system is not None and system.seconds else "",
        "Speed": f"{rate(system.steps_per_second)} steps/s" if system is not None and system.steps_per_second else "",
        "Figure it should reach": figure,
        "Best of what it is judged by": _best(view, goal),
        "Batch size": _batch(plan) if plan is not None else "",
        "Parameters": count(plan.parameters) if plan is not None and plan.parameters else "",
        "Live edits": count(len(view.edits)) if view.edits else "",
        "Resumed": f"{count(len(view.resumes))} times" if len(view.resumes) > 1 else "once" if view.resumes else "",
        "Went back": "; ".join(words(rollbacks.words(event)) for event in view.rollbacks),
        "Resume": words(proved.words) if proved is not None else "",
        "Tags": words(", ".join(map(str, tags))) if isinstance(tags, list) else "",
    }
    return together([*parts, listing(rows)])


def _best(view: RunView, goal: Goal | None) -> str:
    curve = view.series.get(goal.curve) if goal is not None else None
    best = goal.best(curve) if goal is not None and curve is not None else None
    if goal is None or best is None:
        return ""
    return f"{goal.curve} {metric(best[1])} at step {count(best[0])}"


def settings(tables: dict[str, Any], entry: ModelEntry | None, catalog: Catalog, view: RunView, words: Words) -> Markup:
    """What differs from the defaults, then all of it as it is in the run."""
    known = config.keys(entry.name, config.named(tables, "dataset"), catalog) if entry is not None else {}
    rows, same = [], 0
    for key, param in known.items():
        try:
            value = config.get_key(tables, key)
        except KeyError:
            continue
        if key in ("name", "notes", "tags") or (key in PLACES and not value):
            continue
        if value == param.default:
            same += 1
        else:
            default = show(param.default) if param.default is not None else "–"
            unit = f" {param.unit}" if param.unit and isinstance(value, int | float) else ""
            rows.append((element("code", key), f"{words(show(value))}{unit}", default, param.help))
    parts = [element("p", f"The model is {config.named(tables, 'model')}.", class_="note")] if not known else []
    if rows:
        parts.append(table(("setting", "value", "default", "what it is"), rows, "Other than the defaults"))
        parts.append(element("p", f"{count(same)} more settings have their defaults.", class_="note"))
    elif known:
        parts.append(element("p", "Every setting has its default."))
    whole = element("pre", words(_written(view)))
    parts.append(element("details", element("summary", "All settings, as config.toml has them"), whole))
    return section("Settings", *parts, name="settings")


def _written(view: RunView) -> str:
    try:
        return read_regular(view.path / "config.toml", MOST).decode("utf-8", "replace")
    except OSError as error:
        return f"(config.toml cannot be read: {error.strerror or error})"


def happened(view: RunView, marks: list[Mark], words: Words) -> Markup:
    """Edits, alerts, and where training was taken up again; then the log."""
    parts = []
    if view.edits:
        rows = [(count(e.step), element("code", e.key), words(show(e.old)), words(show(e.new))) for e in view.edits]
        parts.append(table(("from step", "setting", "was", "became"), rows[-ROWS:], _caption("Live edits", len(rows))))
    if view.alerts:
        alerts = [
            (count(alert.at), alert.level, words(alert.words),
             words(alert.advice))
            for alert in view.alerts
        ]  # fmt: skip
        heads = ("step", "level", "what", "what to try")
        parts.append(table(heads, alerts[-ROWS:], _caption("Alerts", len(alerts))))
    others = [(count(int(mark.step)), mark.kind, words(mark.text)) for mark in marks
              if mark.kind not in ("edit", "alert", "checkpoint", "sample", "note")]  # fmt: skip
    if others:
        title = _caption("Taken up again, forked, rolled back", len(others))
        parts.append(table(("step", "what", "in words"), others[-ROWS:], title))
    if notes := remarks.of(view.path).notes:
        note_rows = [(note.where or "on the run", words(note.text)) for note in notes]
        parts.append(table(("note", "what it says"), note_rows[-ROWS:], _caption("Notes", len(note_rows))))
    if view.checkpoints:
        steps = [f"{count(checkpoint.step)} ({checkpoint.reason})" for checkpoint in view.checkpoints[-NEWEST:]]
        number = len(view.checkpoints)
        begin = "One checkpoint was made" if number == 1 else f"{count(number)} checkpoints were made"
        begin += ", at step " if number <= NEWEST else f", the last {NEWEST} at step "
        parts.append(element("p", words(f"{begin}{', '.join(steps)}.")))
    if not parts:
        parts.append(element("p", "Nothing was changed while it trained, and there were no alerts."))
    lines = [f"{time.strftime('%H:%M:%S', time.localtime(t))} {level:<7} {text}" for t, level, text in view.log]
    last = element("pre", "\n".join(map(words, lines[-LOG_LINES:])))
    parts.append(element("details", element("summary", _caption("Log", len(lines))), last))
    return section("What happened", *parts, name="happened")


def _caption(title: str, number: int) -> str:
    return f"{title} (the last {ROWS} of {count(number)})" if number > ROWS else f"{title} ({count(number)})"


def quality_section(view: RunView) -> Markup:
    """The figures of the last measurement, and why some cannot be trusted."""
    if not view.quality:
        return Markup("")
    report = view.quality[-1]
    heads, *rows = quality.rows(report, with_help=True)
    notes = [element("p", line, class_="note") for line in quality.footnotes(report)]
    return section("Quality", table(heads, rows, quality.heading(report).capitalize()), *notes, name="quality")


def figures(view: RunView, names: list[str]) -> Markup:
    """First, last, lowest and highest value of every metric, as a table that needs no picture."""
    rows = []
    for name in names:
        curve = view.series[name]
        finite = curve.values[np.isfinite(curve.values)]
        if len(finite):
            ends = (curve.values[0], curve.values[-1], *curve.extremes())
            rows.append((element("code", name), *(metric(float(value)) for value in ends)))
    if not rows:
        return Markup("")
    inner = table(("metric", "first", "last", "lowest", "highest"), rows)
    return element("details", element("summary", f"All {count(len(rows))} metrics as numbers"), inner)


def _model_code(code: provenance.Provenance | None, words: Words) -> str:
    """The commit of the model's own repository, where that is another one, and what its files were."""
    if code is None:
        return ""
    parts = [words(code.model_code.words)] if code.model_code is not None and code.model_code != code.work else []
    return ", ".join([*parts, *([f"SHA-256 {code.sha256[:16]}…"] if code.sha256 else [])])


def _batch(plan: Plan) -> str:
    share = f" ({per_process(plan.batch_size, plan.processes)})" if plan.processes > 1 else ""
    return count(plan.batch_size) + share


def environment(view: RunView, words: Words, personal: bool) -> Markup:
    """What it was trained on and with, as far as the run tells."""
    plan, load = view.plan, view.usage[-1].load if view.usage else None
    machine: dict[str, str] = {}
    for checkpoint in reversed(checkpoints.found(view.path)):
        if checkpoint.meta is not None:
            machine = dict(checkpoint.meta.machine)
            break
    device = machine.pop("device", "") or (plan.device if plan is not None else "")
    gpu = load.gpu if load is not None else None
    code = provenance.of(view.path)
    rows = {
        "Device": words(gpu.name if gpu is not None and gpu.name else device),
        "GPU memory": size(gpu.total) if gpu is not None and gpu.total else "",
        "CPUs": f"{load.cpus:g}" if load is not None and load.cpus else "",
        "Processes": count(plan.processes) if plan is not None and plan.processes > 1 else "",
        "Threads": count(plan.threads * plan.processes) if plan is not None and plan.threads else "",
        "Memory of the machine": size(load.total) if load is not None and load.total else "",
        "Memory of the run": size(load.memory) if load is not None and load.memory else "",
        "Compiled": "with torch.compile" if plan is not None and plan.compiled else "",
        **{("CPU instructions" if name == "CPU" else name): words(value) for name, value in machine.items()},
        "Trained with": f"tui-gen {words(code.version)}" if code is not None else "",
        "Code": words(code.work.words) if code is not None and code.work is not None else "",
        "Model's code": _model_code(code, words),
        "Jobs": words(hosts.jobs(view.hosts)),
        "Host": load.host if personal and load is not None else "",
        "Folder": str(view.path) if personal else "",
        "This report": f"tui-gen {__version__}, Python {platform.python_version()}",
    }
    return section("Environment", listing(rows), name="environment")
