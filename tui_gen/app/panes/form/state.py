"""What a form of hyperparameters holds, without any widget: texts, values, marks, undo, problems.

The form is generated from the declarations (`config.keys`), so a user's own model gets one too. Every field is kept as
the text that stands in it together with the value that text means; a field nobody touched keeps its exact value,
however its text is shortened for reading.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from tui_gen import config, params
from tui_gen.app.panes.form import as_written
from tui_gen.app.panes.form.steps import stepped
from tui_gen.catalog import Catalog
from tui_gen.config import ConfigError
from tui_gen.datasets import DEFAULT
from tui_gen.params import Param, Problem

UNDO_DEPTH = 200


class Cell(NamedTuple):
    """One field: its text, and the value it means (the text itself where it means none)."""

    text: str
    value: Any


class Section(NamedTuple):
    """A group of fields: `name` is the TOML table (`train.phases.vae`), `keys` its dotted keys in order."""

    name: str
    title: str
    keys: list[str]


class _Snapshot(NamedTuple):
    cells: dict[str, Cell]
    aside: dict[tuple[str, str], dict[str, Cell]]
    dataset: str
    base: dict[str, Any]
    source: str
    edits: list[Any]


class FormState:
    """The texts of a form, the recipe they are compared with, and the way back.

    `catalog` is what can be trained. With `live`, the form shows a run that is training: only what is declared live
    may be edited, and `asked`, `notes` and `refused` tell what became of each edit (by key). With `unread`, the reason
    why a run's tables could not be checked, they are shown as they were written, and nothing may be edited.
    """

    def __init__(
        self,
        catalog: Catalog,
        tables: dict[str, Any] | None = None,
        source: str = "",
        live: bool = False,
        unread: str = "",
    ) -> None:
        self.catalog = catalog
        self.live = live
        self.unread = unread
        self.ended = False
        """Whether the run shown has no worker any more; nothing may be edited then."""
        self.source = source
        self.pending: dict[str, Any] = {}
        self.notes: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self.params: dict[str, Param] = {}
        self._cells: dict[str, Cell] = {}
        self._base: dict[str, Any] = {}
        self._aside: dict[tuple[str, str], dict[str, Cell]] = {}
        self.dataset = ""
        """The dataset whose settings are shown: the last that was named and exists."""
        self._edits: list[Any] = []
        self._undo: list[_Snapshot] = []
        self._redo: list[_Snapshot] = []
        self._typing: str | None = None
        self._own_problems: list[Problem] = []
        self._all_problems: list[Problem] | None = None
        self._take(tables or {}, source)

    @property
    def model(self) -> str:
        """The model named in the form (not necessarily one that exists)."""
        return self._cells["model.name"].text if "model.name" in self._cells else ""

    def sections(self) -> list[Section]:
        """The fields in groups: model, dataset, training, one per phase's optimiser, then previews and what follows."""
        groups: dict[str, list[str]] = {}
        for key in self.params:
            groups.setdefault(key.rpartition(".")[0], []).append(key)
        phases = [name for name in groups if name.startswith("train.phases.")]
        order = ["model", "dataset", "train", *phases, "preview", "checkpoint", "quality", ""]
        order += [name for name in groups if name not in order]
        return [Section(name, _title(name), groups[name]) for name in order if name in groups]

    def text(self, key: str) -> str:
        """The text in a field."""
        return self._cells[key].text

    def value(self, key: str) -> Any:
        """What a field means; its text where it means nothing allowed."""
        return self._cells[key].value

    def baseline(self, key: str) -> Cell:
        """What the recipe (or file, or run) that was loaded says here; the declared default where it says nothing."""
        return self._baseline(key, self.params[key])

    def modified(self, key: str) -> bool:
        """Whether a field differs from what was loaded."""
        return not same(self.baseline(key).value, self._cells[key].value)

    def changed(self) -> list[str]:
        """The keys of every modified field."""
        return [key for key in self.params if self.modified(key)]

    def editable(self, key: str) -> bool:
        """Whether a field may be edited now: in a run that is training, only what is declared live."""
        return not self.live or (self.params[key].live and not self.ended and not self.unread)

    def unlimited(self, key: str) -> bool:
        """Whether a field is a length that does not end the run, as another one does."""
        if key not in config.LENGTHS or self._cells[key].value != 0:
            return False
        return any(self._cells[key].value not in (0, None, "") for key in config.LENGTHS)

    def tables(self) -> dict[str, Any]:
        """The form as nested tables, complete, as TOML gives them; unreadable texts stand in as they are."""
        if self.unread:
            return copy.deepcopy(self._base)
        tables: dict[str, Any] = {"format": config.FORMAT}
        for key in sorted(self.params, key=lambda key: "." in key):
            value = self._cells[key].value
            if key == "edits":
                tables |= {"edits": copy.deepcopy(self._edits)} if value is True else {}
            elif value is not None:
                config.set_key(tables, key, list(value) if isinstance(value, list) else value)
        return tables

    # -- problems

    def problems(self) -> list[Problem]:
        """Everything wrong with the form as it stands."""
        if self._all_problems is None and self.unread:
            self._all_problems = []
        if self._all_problems is None:
            faults: list[Problem] = []
            try:
                config.load(self.tables(), self.catalog, self.source)
            except ConfigError as error:
                faults = list(error.problems)
            keys = {problem.key for problem in faults}
            others = (*self._mismatch(), *self._own_problems)
            self._all_problems = faults + [problem for problem in others if problem.key not in keys]
        return self._all_problems

    def add_problems(self, problems: list[Problem]) -> None:
        """Show problems found elsewhere (by the model itself, on this data) until the form changes."""
        self._own_problems = list(problems)
        self._all_problems = None

    def placed(self) -> dict[str, str]:
        """Key of a field → the words to show at it: what is wrong with it, or why a run refused it."""
        words: dict[str, str] = {}
        for problem in self.problems():
            text = problem.message + (f"; {problem.hint}" if problem.hint else "")
            key = self.place(problem)
            if not self.editable(key):
                continue  # a run shows what it was started with; nothing there can be mended
            words[key] = f"{words[key]}; {text}" if key in words else text
        return words | self.refused

    def place(self, problem: Problem) -> str:
        """The key of the field at which a problem is shown; that of a whole table goes to one of its fields."""
        if problem.key in self.params:
            return problem.key
        if problem.key == "train":
            return next((key for key in config.LENGTHS if self._cells[key].value), config.LENGTHS[0])
        if problem.key.startswith("edits[") and "edits" in self.params:
            return "edits"
        inside = (key for key in self.params if key.startswith(f"{problem.key}."))
        return next(inside, "model.name")

    def _mismatch(self) -> list[Problem]:
        entry = self.catalog.models.get(self.model)
        data = self.catalog.datasets.get(self._cells["dataset.name"].text)
        if entry is None or data is None or data.kind in entry.kinds:
            return []
        message = f"{entry.name} trains on {' or '.join(entry.kinds)} data, this is {data.kind} data"
        fits = [dataset.name for dataset in self.catalog.datasets.values() if dataset.kind in entry.kinds]
        return [Problem("dataset.name", data.name, message, f"one of {', '.join(fits)}" if fits else "")]

    # -- changes

    def load(self, tables: dict[str, Any], source: str) -> list[Problem]:
        """Take tables as the new starting point; one step of undo.

        Returns what could not be taken over (settings that do not exist). Raises ConfigError, and changes nothing,
        where the tables come from a newer version.
        """
        before: list[Problem] = []
        try:
            config.load(tables, self.catalog, source)
        except ConfigError as error:
            if any(problem.key == "format" for problem in error.problems):
                raise
            before = error.problems
        self._remember(None)
        self._take(tables, source)
        return self._left_out(before)

    def replace(self, tables: dict[str, Any]) -> list[Problem]:
        """Take tables as the form's texts, still compared with what was loaded; otherwise like `load`."""
        base, source, aside = self._base, self.source, self._aside
        left_out = self.load(tables, source)
        self._base, self._aside = base, aside
        return left_out

    def _left_out(self, before: list[Problem]) -> list[Problem]:
        after = {(problem.key, problem.message) for problem in self.problems()}
        old = [problem for problem in before if (problem.key, problem.message) not in after]
        return [problem for problem in old if problem.key not in self.params]

    def renew(self, catalog: Catalog) -> None:
        """Use a catalogue that was built anew; texts stay, and where the model has new settings they have defaults."""
        self.catalog = catalog
        if "dataset.name" in self._cells and (name := self.text("dataset.name")) in catalog.datasets:
            self.dataset = name
        self.params = self._declared(self.model)
        fresh = {key: self._baseline(key, param) for key, param in self.params.items()}
        self._cells = fresh | {
            key: cell for key, cell in self._cells.items() if key in fresh and not same(cell.value, fresh[key].value)
        }
        self._undo.clear()
        self._redo.clear()
        self._settle()

    def set_text(self, key: str, text: str) -> bool:
        """Put a text into a field, as typed; whether anything changed.

        Texts typed into one field one after another are one step of undo. Naming one of steps, epochs and minutes
        sets the others to 0; naming another model or dataset keeps the values that carry over.
        """
        if key not in self.params or not self.editable(key) or text == self._cells[key].text:
            return False
        self._remember(key)
        self._put(key, read_cell(self.params[key], text))
        return True

    def _put(self, key: str, cell: Cell) -> None:
        self.refused.pop(key, None)
        self.notes.pop(key, None)
        if key in SWITCHES:
            self._switch(key, cell.text)
            return
        cells = self._cells | {key: cell}
        if key in config.LENGTHS and not isinstance(cell.value, str) and cell.value > 0:
            for other in config.LENGTHS:
                if other != key and not same(cells[other].value, 0):
                    cells[other] = read_cell(self.params[other], "0")
        self._cells = cells
        self._settle()

    def step(self, key: str, direction: int, big: bool = False) -> bool:
        """One step up (+1) or down (-1): numbers along their scale, choices to the next, switches over."""
        text = stepped(self.params[key], self._cells[key].value, direction, big)
        return text is not None and self.set_text(key, text)

    def reset(self, key: str) -> bool:
        """Put back what was loaded, in one field; whether anything changed."""
        self.refused.pop(key, None)
        if not self.editable(key) or not self.modified(key):
            return False
        self._remember(None)
        if key in SWITCHES:
            self._switch(key, self.baseline(key).text)
        else:
            self._cells = self._cells | {key: self.baseline(key)}
            self._settle()
        return True

    def reset_all(self) -> bool:
        """Put back everything that was loaded; whether anything changed."""
        self.refused.clear()
        if not self.changed():
            return False
        self._remember(None)
        self._take(self._base, self.source)
        return True

    def close(self) -> None:
        """Typing in a field ended: what is typed next is a step of undo of its own."""
        if self._typing is not None and self._undo and self._undo[-1] == self._snapshot():
            self._undo.pop()
        self._typing = None

    def take_back(self) -> None:
        """Undo what was typed since the last `close`, as if it had never been."""
        if self._typing is not None and self._undo:
            self._restore(self._undo.pop())
        self._typing = None

    def undo(self) -> bool:
        """Go back one step; whether there was one."""
        self.close()
        if not self._undo:
            return False
        self._redo.append(self._snapshot())
        self._restore(self._undo.pop())
        return True

    def redo(self) -> bool:
        """Take back the last undo; whether there was one."""
        self.close()
        if not self._redo:
            return False
        self._undo.append(self._snapshot())
        self._restore(self._redo.pop())
        return True

    # -- a run that is training

    def follow(self, tables: dict[str, Any]) -> None:
        """Take the run's values as they are now; texts being edited or asked for stay."""
        cells = {key: self._cells[key] for key in self.params if self.params[key].live and self.modified(key)}
        self._take(tables, self.source)
        self._cells = self._cells | {key: cell for key, cell in cells.items() if key in self.params}

    def ask(self, key: str) -> bool:
        """Mark a field's value as asked for; False where it is wrong, or what the run has already."""
        wrong = {self.place(problem) for problem in self.problems()}
        if not self.live or not self.editable(key) or key in wrong or not self.modified(key):
            return False
        self.close()
        self.refused.pop(key, None)
        self.notes.pop(key, None)
        self.pending[key] = self._cells[key].value
        return True

    def acknowledge(self, key: str, value: Any, step: int) -> None:
        """The run took an edit, ours or another's: its value now, from which step on."""
        if key not in self.params:
            return
        draft = self.modified(key) and key not in self.pending
        self.pending.pop(key, None)
        self.refused.pop(key, None)
        self.notes[key] = f"took effect at step {step}"
        self._base = copy.deepcopy(self._base)
        config.set_key(self._base, key, value)
        if not draft:
            self._cells = self._cells | {key: self.baseline(key)}
        self._undo.clear()
        self._redo.clear()
        self._typing = None
        self._settle()

    def refuse(self, key: str, message: str) -> None:
        """The run refused an edit; the words are shown at the field until it changes."""
        self.pending.pop(key, None)
        self.notes.pop(key, None)
        if key in self.params:
            self.refused[key] = message

    # -- inner

    def _take(self, tables: dict[str, Any], source: str) -> None:
        self._base, self.source, self._aside = tables, source, {}
        edits = tables.get("edits")
        self._edits = edits if isinstance(edits, list) and not self.live else []
        model = params.show(_at(tables, "model.name", ""))
        self.dataset = config.named(tables, "dataset", DEFAULT)
        self.params = self._declared(model)
        self._cells = {"model.name": Cell(model, model)}
        self._cells = {key: self._baseline(key, param) for key, param in self.params.items()}
        self._settle()

    def _declared(self, model: str) -> dict[str, Param]:
        if self.unread:
            return as_written.declared(self._base)
        names = Param("name", "choice", "", "The model that is trained", choices=list(self.catalog.models))
        fields = {"model.name": names} | config.keys(model, self.dataset, self.catalog)
        datasets = list(self.catalog.datasets)
        fields["dataset.name"] = msgspec.structs.replace(fields["dataset.name"], kind="choice", choices=datasets)
        if self._edits:
            keys = ", ".join(params.show(edit.get("key", "?")) for edit in self._edits if isinstance(edit, dict))
            words = f"Make the {len(self._edits)} live edits of the run this came from again, at their steps: {keys}"
            fields["edits"] = Param("edits", "bool", True, words)
        return fields

    def _baseline(self, key: str, param: Param) -> Cell:
        model = params.show(_at(self._base, "model.name", ""))
        foreign = _of_model(key) and model != self.model and model in self.catalog.models
        value = param.default if foreign or key == "edits" else _at(self._base, key, param.default)
        clean, wrong = params.check_value(param, value)
        if wrong and _of_dataset(key) and self.dataset != config.named(self._base, "dataset", DEFAULT):
            clean, wrong = param.default, ""  # said of another dataset, whose setting of this name is another
        return read_cell(param, params.show(value)) if wrong else Cell(params.show(clean), clean)

    def _switch(self, switch: str, name: str) -> None:
        """Another model or dataset, by the key that names it: shared settings stay, its own come back as they were
        left, edits carry over where they fit. A dataset that there is none of leaves the settings as they are."""
        if switch == "dataset.name" and name not in self.catalog.datasets:
            self._cells = self._cells | {switch: Cell(name, name)}
            self._settle()
            return
        own = SWITCHES[switch]
        mine = {key: cell for key, cell in self._cells.items() if own(key)}
        edits = {key: cell for key, cell in mine.items() if self.modified(key)}
        before = self._aside.get((switch, name), {})
        self._aside = self._aside | {(switch, self.model if switch == "model.name" else self.dataset): mine}
        self._cells = self._cells | {switch: Cell(name, name)}
        if switch == "dataset.name":
            self.dataset = name
        self.params = self._declared(self.model)
        cells = {}
        for key, param in self.params.items():
            if not own(key):
                cells[key] = self._cells[key]
                continue
            cells[key] = before.get(key) or self._baseline(key, param)
            if key in edits:
                clean, wrong = params.check_value(param, edits[key].value)
                if not wrong:
                    cells[key] = Cell(edits[key].text, clean)
        self._cells = cells
        self._settle()

    def _settle(self) -> None:
        self._all_problems, self._own_problems = None, []

    def _snapshot(self) -> _Snapshot:
        return _Snapshot(self._cells, self._aside, self.dataset, self._base, self.source, self._edits)

    def _restore(self, snapshot: _Snapshot) -> None:
        self._cells, self._aside, self.dataset, self._base, self.source, self._edits = snapshot
        self.params = self._declared(self.model)
        self.refused.clear()
        self._settle()

    def _remember(self, key: str | None) -> None:
        if key is None or key != self._typing:
            self.close()
            self._undo.append(self._snapshot())
            del self._undo[:-UNDO_DEPTH]
        self._redo.clear()
        self._typing = key


def read_cell(param: Param, text: str) -> Cell:
    """What a text in a field means. Text fields keep it as it is; lists of words part at commas only."""
    value: Any
    if param.kind == "str":
        value = None if text == "" and param.optional else text
    else:
        value = params.parse(param, text)
    clean, wrong = params.check_value(param, value)
    return Cell(text, text if wrong else clean)


def _of_model(key: str) -> bool:
    return (key.startswith("model.") and key != "model.name") or key.startswith("train.phases.")


def _of_dataset(key: str) -> bool:
    return key.startswith("dataset.") and key != "dataset.name"


SWITCHES: dict[str, Callable[[str], bool]] = {"model.name": _of_model, "dataset.name": _of_dataset}
"""Fields that decide which others there are, and which those are."""


def _at(tables: dict[str, Any], key: str, default: Any) -> Any:
    try:
        return config.get_key(tables, key)
    except KeyError:
        return default


def same(a: Any, b: Any) -> bool:
    return a == b and isinstance(a, bool) == isinstance(b, bool) and isinstance(a, str) == isinstance(b, str)


def _title(name: str) -> str:
    phase = name.removeprefix("train.phases.")
    if phase != name:
        return f"Optimiser: {phase}"
    titles = {"train": "Training", "preview": "Previews", "checkpoint": "Checkpoints", "": "Run"}
    return titles.get(name, name.capitalize())
