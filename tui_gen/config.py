"""The complete, validated description of one run: typed structs ⇄ TOML, overrides, exact error messages.

Reading never stops at the first problem: `ConfigError.problems` lists every one, each with its key path, the value,
what is allowed and the nearest valid name. Hyperparameters of models are checked against the catalogue, so nothing
here needs PyTorch.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import msgspec

from tui_gen import datasets, params, toml
from tui_gen.contradictions import contradictions
from tui_gen.datasets import DatasetEntry
from tui_gen.dotted import get_key as get_key
from tui_gen.dotted import set_key as set_key
from tui_gen.params import Param, Problem, hyper
from tui_gen.text import deeper_than
from tui_gen.toml_writer import dump_toml

FORMAT = 1
"""The version of the config format; a config that states a higher one comes from a newer tui-gen."""


class Optim(msgspec.Struct):
    """One phase's optimiser: `[train.phases.NAME]`."""

    RARE = ("beta1", "beta2", "weight_decay", "schedule", "warmup", "clip_norm")
    WHEN = {"beta2": "optimizer=adam|adamw|nadam|rmsprop"}
    optimizer: Annotated[Literal["adam", "adamw", "nadam", "rmsprop", "sgd"], hyper("The update rule")] = "adam"
    lr: Annotated[float, hyper("Learning rate", gt=0, le=10, live=True)] = 1e-3
    beta1: Annotated[float, hyper("Decay of the gradient average (momentum for RMSprop and SGD)", ge=0, lt=1)] = 0.9
    beta2: Annotated[float, hyper("Decay of the squared-gradient average", ge=0, lt=1)] = 0.999
    weight_decay: Annotated[float, hyper("L2 penalty (decoupled for AdamW)", ge=0, le=1, live=True)] = 0.0
    schedule: Annotated[
        Literal["constant", "linear", "cosine", "exponential"],
        hyper("How the learning rate falls over the run, to 0 (linear, cosine) or to 1 % (exponential)"),
    ] = "constant"
    warmup: Annotated[int, hyper("Steps of linear warm-up from 0", ge=0, le=1_000_000, unit="steps")] = 0
    clip_norm: Annotated[float, hyper("Largest gradient norm; 0 is no clipping", ge=0, le=1e6, live=True)] = 0.0


class TrainConfig(msgspec.Struct):
    """The `[train]` table; exactly one of `steps`, `epochs` and `minutes` is above 0."""

    RARE = (
        "accumulate", "precision", "compile", "deterministic", "threads", "processes", "ema", "validate_every",
        "on_nan", "rollbacks",
    )  # fmt: skip
    WHEN = {"rollbacks": "on_nan=rollback"}
    steps: Annotated[
        int, hyper("Length in steps; 0 where another length is set", ge=0, le=1_000_000_000, unit="steps")
    ] = 0
    epochs: Annotated[
        float, hyper("Length in passes over the data; 0 where another length is set", ge=0, le=1e6, unit="epochs")
    ] = 0.0
    minutes: Annotated[
        float, hyper("Length in training time; 0 where another length is set", ge=0, le=1e6, unit="minutes")
    ] = 0.0
    batch_size: Annotated[int, hyper("Examples per step", ge=1, le=65536)] = 128
    accumulate: Annotated[
        int, hyper("Micro-batches a batch is computed in, for less memory; batch statistics are theirs", ge=1, le=65536)
    ] = 1
    seed: Annotated[int, hyper("Seed of every random draw", ge=0, le=2**31 - 1)] = 0
    device: Annotated[str, hyper("auto, cpu, cuda, cuda:1, mps")] = "auto"
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"], hyper("Autocast; auto is bfloat16 on GPUs that have it")
    ] = "auto"
    compile: Annotated[
        Literal["auto", "on", "off"], hyper("torch.compile; auto measures once per machine and model whether it pays")
    ] = "auto"
    deterministic: Annotated[bool, hyper("On GPUs, too, only algorithms that give the same bits each time")] = False
    threads: Annotated[int, hyper("CPU threads, of all processes of a machine; 0 is all cores", ge=0, le=1024)] = 0
    processes: Annotated[
        int, hyper("Processes that share each batch, one a GPU or some cores each", ge=1, le=4096)
    ] = 1
    ema: Annotated[float, hyper("Decay of the averaged weights that previews use; 0 is none", ge=0, lt=1)] = 0.0
    validate_every: Annotated[
        int, hyper("Steps between validations; 0 is once an epoch", ge=0, le=10**9, live=True)
    ] = 0
    health_every: Annotated[
        int, hyper("Steps between measurements of gradients, updates, dead units; 0 is off", ge=0, le=10**9, live=True)
    ] = 100
    on_nan: Annotated[
        Literal["stop", "continue", "rollback"], hyper("What to do when a loss stops being finite", live=True)
    ] = "stop"
    rollbacks: Annotated[
        int, hyper("Rollbacks made by itself (on_nan = rollback) before it stops", ge=0, le=1000, live=True)
    ] = 3
    phases: dict[str, Optim] = {}


class PreviewConfig(msgspec.Struct):
    """The `[preview]` table; with both cadences 0 there are previews at the start and the end only."""

    RARE = ("count", "seed")
    WHEN = {"every_seconds": "every_steps=0", "raw": "train.ema"}
    every_steps: Annotated[int, hyper("Steps between previews; 0 is by time", ge=0, le=10**9, live=True)] = 0
    every_seconds: Annotated[float, hyper("Seconds between previews", ge=0, le=1e6, live=True)] = 5.0
    count: Annotated[int, hyper("Images in the grid", ge=1, le=1024)] = 64
    seed: Annotated[int, hyper("Seed of the pinned noise", ge=0, le=2**31 - 1)] = 0
    raw: Annotated[bool, hyper("Draw samples of raw weights beside averaged ones", live=True)] = False


class CheckpointConfig(msgspec.Struct):
    """The `[checkpoint]` table; there is always one when a run stops or ends."""

    RARE = ("every_steps", "keep_last", "keep_best", "best")
    every_steps: Annotated[int, hyper("Steps between checkpoints; 0 is by time", ge=0, le=10**9, live=True)] = 0
    every_minutes: Annotated[float, hyper("Minutes between checkpoints; 0 is none", ge=0, le=1e6, live=True)] = 2.0
    keep_last: Annotated[int, hyper("Newest checkpoints kept", ge=1, le=10_000, live=True)] = 2
    keep_best: Annotated[int, hyper("Best checkpoints kept as well", ge=0, le=10_000, live=True)] = 1
    best: Annotated[str, hyper("The validation metric that ranks them; empty is the first")] = ""


class QualityConfig(msgspec.Struct):
    """The `[quality]` table: figures of samples while training; off unless `every_seconds` or `at_end` says so."""

    RARE = ("share", "samples", "at_end", "seed")
    WHEN = dict.fromkeys(("every_seconds", "share", "samples", "at_end", "seed"), "model.draws=image|points")
    every_seconds: Annotated[
        float, hyper("Seconds between measurements of samples' quality; 0 is none", ge=0, le=1e6, live=True)
    ] = 0.0
    share: Annotated[
        float, hyper("At most this share of the training time goes into them", gt=0, le=0.5, live=True)
    ] = 0.05
    samples: Annotated[int, hyper("Samples that are measured", ge=50, le=100_000, live=True)] = 2000
    at_end: Annotated[bool, hyper("Measure when the run finishes, whatever time it takes", live=True)] = False
    seed: Annotated[int, hyper("Seed of these samples' noise", ge=0, le=2**31 - 1)] = 1


class ModelTable(msgspec.Struct):
    """The `[model]` table: a name and that model's hyperparameters."""

    name: str
    values: dict[str, Any] = {}


class DatasetTable(msgspec.Struct):
    """The `[dataset]` table: a name and that dataset's settings.

    `unused` are settings that only other datasets have, stated all the same with a value that would do something.
    """

    name: str
    values: dict[str, Any] = {}
    unused: dict[str, Any] = {}

    @property
    def root(self) -> str:
        """Where the data are, for a dataset that reads files; empty where nothing was said."""
        return str(self.values.get("root", ""))

    @root.setter
    def root(self, path: str) -> None:
        if "root" in self.values:
            self.values["root"] = path


class RunConfig(msgspec.Struct):
    """One run, complete: every default written out."""

    model: ModelTable
    dataset: DatasetTable
    train: TrainConfig
    preview: PreviewConfig
    checkpoint: CheckpointConfig
    quality: QualityConfig = msgspec.field(default_factory=QualityConfig)
    name: str = ""
    notes: str = ""
    tags: list[str] = []
    model_dirs: list[str] = []
    edits: list[dict[str, Any]] = []
    """Live edits to make at their step, `{step, key, value}`: how a run that was steered is run again."""
    skips: list[int] = []
    """Steps before which a batch of the data is passed over: how a run that was rolled back is run again."""


TABLES: dict[str, type[msgspec.Struct]] = {
    "train": TrainConfig,
    "preview": PreviewConfig,
    "checkpoint": CheckpointConfig,
    "quality": QualityConfig,
}
TABLE_PARAMS: dict[str, list[Param]] = {name: params.describe(struct) for name, struct in TABLES.items()}
OPTIM_PARAMS: list[Param] = params.describe(Optim)
DATASET_NAME = Param("name", "str", datasets.DEFAULT, "Which data")
TOP = [
    Param("name", "str", "", "What this run is called"),
    Param("notes", "str", "", "Anything worth remembering"),
    Param("tags", "list", [], "Words to find it by", item="str", max_items=64),
    Param("model_dirs", "list", [], "Folders with model files of your own", item="str", max_items=64),
]


class ConfigError(Exception):
    """A config that cannot be used: `source` (a file or a name) and every `Problem` in it."""

    def __init__(self, source: str, problems: list[Problem]) -> None:
        self.source = source
        self.problems = problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{source}: {count}\n" + "\n".join(f"  {problem}" for problem in problems))


DEEPEST = 32
"""Levels of tables and lists; a config has four, and code that walks over them may recurse."""


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file's tables. Raises ConfigError where it cannot be read or is not TOML."""
    try:
        with open(path, "rb") as file:  # which may be a pipe, but one of any length
            text = file.read(4 * toml.MOST).decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError:
        raise ConfigError(str(path), [Problem("file", None, "is not UTF-8 text")]) from None
    except (OSError, ValueError) as error:  # ValueError: a path with NUL in it
        raise ConfigError(str(path), [Problem("file", None, getattr(error, "strerror", "") or str(error))]) from None
    return parse_toml(text, str(path))


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """TOML text as tables. Raises ConfigError with the line where it stops being TOML."""
    try:
        tables = toml.loads(text)
    except RecursionError:  # how deep that is differs between versions of Python; it is far more than DEEPEST
        raise ConfigError(source, [Problem("file", None, f"has tables more than {DEEPEST} deep")]) from None
    except ValueError as error:  # also a number of thousands of digits
        raise ConfigError(source, [Problem("file", None, f"is not valid TOML: {error}")]) from None
    if deeper_than(tables, DEEPEST):
        raise ConfigError(source, [Problem("file", None, f"has tables more than {DEEPEST} deep")])
    return tables


class ModelSettings(Protocol):
    """What a model declares that a config can set."""

    @property
    def params(self) -> list[Param]:
        """Its hyperparameters."""

    @property
    def phases(self) -> dict[str, Optim]:
        """Its phases with their default optimisers."""


class Declarations(Protocol):
    """What a config is checked against, by the names of models and datasets: a `tui_gen.catalog.Catalog`."""

    @property
    def models(self) -> Mapping[str, ModelSettings]:
        """The models that are known."""

    @property
    def datasets(self) -> Mapping[str, DatasetEntry]:
        """The datasets that are known."""


def load(tables: dict[str, Any], catalog: Declarations, source: str = "config") -> RunConfig:
    """Check tables (as TOML gives them) and fill in every default.

    Raises ConfigError that lists every problem.
    """
    version = tables.get("format", FORMAT)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ConfigError(source, [Problem("format", version, f"needs a whole number, 1 ≤ x ≤ {FORMAT}")])
    if version > FORMAT:
        message = f"was written by a newer tui-gen; this one reads up to format {FORMAT}"
        raise ConfigError(source, [Problem("format", version, message, "upgrade tui-gen to use it")])
    problems: list[Problem] = []
    top, wrong = params.check(TOP, tables, "", also=("format", "model", "dataset", "recipe", "edits", "skips", *TABLES))
    problems += wrong
    model_name, entry = "", None
    values: dict[str, Any] = {}
    table = tables.get("model", {})
    if isinstance(table, dict):
        model_name = table.get("name", "")
        entry = catalog.models.get(model_name) if isinstance(model_name, str) else None
        if entry is None:
            if model_name == "":
                problems.append(
                    Problem("model.name", None, "is missing", f"known: {', '.join(sorted(catalog.models))}")
                )
            else:
                hint = params.nearest(model_name, catalog.models) or f"known: {', '.join(sorted(catalog.models))}"
                problems.append(Problem("model.name", model_name, "no such model", hint))
        else:
            values, wrong = params.check(entry.params, table, "model", also=("name",))
            problems += wrong
    else:
        problems.append(Problem("model", table, "must be a table", "write it as [model]"))
    data, wrong = dataset_table(tables.get("dataset", {}), catalog)
    problems += wrong
    structs: dict[str, Any] = {}
    for key, struct in TABLES.items():
        also = ("phases",) if key == "train" else ()
        fields, wrong = params.check(TABLE_PARAMS[key], tables.get(key, {}), key, also=also)
        problems += wrong
        structs[key] = struct(**fields)
    train: TrainConfig = structs["train"]
    train_table = tables.get("train", {})
    if entry is not None and isinstance(train_table, dict):
        train.phases, wrong = _phases(train_table.get("phases", {}), entry.phases)
        problems += wrong
    wrong_keys = {problem.key for problem in problems}
    problems += contradictions(structs["train"], lengths_valid=wrong_keys.isdisjoint({"train", *LENGTHS}))
    edits: list[dict[str, Any]] = []
    if entry is not None:
        edits, wrong = _edits(tables.get("edits", []), keys(model_name, data.name, catalog))
        problems += wrong
    skips = tables.get("skips", [])
    if not isinstance(skips, list) or not all(type(step) is int and 0 <= step < 2**63 for step in skips):
        problems.append(Problem("skips", skips, "must be a list of steps"))
    if problems:
        raise ConfigError(source, problems)
    return RunConfig(model=ModelTable(model_name, values), dataset=data, edits=edits, skips=skips, **structs, **top)


def _edits(table: Any, settings: dict[str, Param]) -> tuple[list[dict[str, Any]], list[Problem]]:
    if not isinstance(table, list):
        return [], [Problem("edits", table, "must be a list of {step, key, value}")]
    edits, problems = [], []
    for number, edit in enumerate(table):
        where = f"edits[{number}]"
        step = edit.get("step") if isinstance(edit, dict) else None
        whole = isinstance(step, int) and not isinstance(step, bool) and 0 <= step < 2**63
        if not isinstance(edit, dict) or set(edit) != {"step", "key", "value"} or not whole:
            problems.append(Problem(where, None, 'must be {step = 100, key = "train.phases.vae.lr", value = 1e-4}'))
            continue
        key = params.show(edit["key"])
        value, message = check_edit(key, edit["value"], settings)
        if message:
            problems.append(Problem(f"{where}.{key}", edit["value"], message))
        else:
            edits.append({"step": step, "key": key, "value": value})
    return edits, problems


def check_edit(key: str, value: Any, settings: dict[str, Param]) -> tuple[Any, str]:
    """Whether a setting may be changed to a value while a run trains: the value to use, and what is wrong if not."""
    param = settings.get(key)
    if param is None:
        meant = params.meant(key, list(settings))
        return value, f"no such setting ({meant})" if meant else "no such setting"
    if not param.live:
        live = ", ".join(name for name, other in settings.items() if other.live)
        return value, f"cannot be changed while training; these can: {live}"
    return params.check_value(param, value)


def _phases(table: Any, optims: dict[str, Optim]) -> tuple[dict[str, Optim], list[Problem]]:
    phases = {name: msgspec.structs.replace(optim) for name, optim in optims.items()}
    if not isinstance(table, dict):
        return phases, [Problem("train.phases", table, "must be a table", "write it as [train.phases.NAME]")]
    problems = []
    for name, values in table.items():
        where = f"train.phases.{name}"
        if name not in optims:
            hint = params.nearest(name, optims) or f"this model has: {', '.join(optims)}"
            problems.append(Problem(where, None, "no such phase", hint))
            continue
        base = msgspec.structs.asdict(optims[name])
        defaults = [msgspec.structs.replace(param, default=base[param.name]) for param in OPTIM_PARAMS]
        fields, wrong = params.check(defaults, values, where)
        problems += wrong
        phases[name] = Optim(**fields)
    return phases, problems


def dataset_table(table: Any, catalog: Declarations) -> tuple[DatasetTable, list[Problem]]:
    """The `[dataset]` table with its defaults filled in, and what is wrong with it."""
    if not isinstance(table, dict):
        return DatasetTable(datasets.DEFAULT), [Problem("dataset", table, "must be a table", "write it as [dataset]")]
    name = table.get("name", datasets.DEFAULT)
    entry = catalog.datasets.get(name) if isinstance(name, str) else None
    others = datasets.elsewhere(entry, catalog.datasets)
    strange = {key: table[key] for key in others if key in table}
    other_values, wrong = params.check([others[key] for key in strange], strange, "dataset")
    if entry is None:
        hint = params.nearest(name, catalog.datasets) or f"known: {', '.join(catalog.datasets)}"
        problem = Problem("dataset.name", name, "no such dataset", hint)
        return DatasetTable(params.show(name)), [problem, *wrong]
    values, problems = params.check(entry.params, table, "dataset", also=("name", *strange))
    if entry.reads and not values["root"] and not any(problem.key == "dataset.root" for problem in problems):
        words = f"is missing: {name} reads a {entry.reads}"
        problems.append(Problem("dataset.root", None, words, f"set it to that {entry.at_root}'s path"))
    unused = {key: value for key, value in other_values.items() if value != others[key].default}
    return DatasetTable(name, values, unused), problems + wrong


def keys(model: str, dataset: str, catalog: Declarations) -> dict[str, Param]:
    """Every dotted key of a model's config on a dataset with its declaration, in the order a form shows them."""
    entry, data = catalog.models.get(model), catalog.datasets.get(dataset)
    settings = {f"model.{param.name}": param for param in (entry.params if entry else [])}
    settings |= {f"dataset.{param.name}": param for param in (DATASET_NAME, *(data.params if data else ()))}
    for table, table_params in TABLE_PARAMS.items():
        settings |= {f"{table}.{param.name}": param for param in table_params}
    for phase, optim in (entry.phases if entry else {}).items():
        base = msgspec.structs.asdict(optim)
        for param in OPTIM_PARAMS:
            settings[f"train.phases.{phase}.{param.name}"] = msgspec.structs.replace(param, default=base[param.name])
    return settings | {param.name: param for param in TOP}


def may_be_stated(model: str, dataset: str, catalog: Declarations) -> dict[str, Param]:
    """`keys`, and the settings of other datasets: those may be stated, too."""
    others = datasets.elsewhere(catalog.datasets.get(dataset), catalog.datasets)
    return keys(model, dataset, catalog) | {f"dataset.{name}": param for name, param in others.items()}


def named(tables: dict[str, Any], table: str, default: str = "") -> str:
    """The name in a table of a config that nobody has checked yet; empty where it is none."""
    inner = tables.get(table, {})
    name = inner.get("name", default) if isinstance(inner, dict) else ""
    return name if isinstance(name, str) else ""


def override(tables: dict[str, Any], assignments: Iterable[str], catalog: Declarations) -> dict[str, Any]:
    """Apply `key=value` overrides to tables, in order; a new dict. Values are TOML, or bare words for text.

    `train.steps`, `train.epochs` and `train.minutes` exclude each other: setting one sets the others to 0.
    Raises ConfigError listing every assignment that names no key.
    """
    tables = copy.deepcopy(tables)
    problems, wrong = [], set()
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        key = key.strip()
        if not equals or not key:
            problems.append(Problem("--set", assignment, "must look like key=value", "for example train.steps=500"))
            continue
        if key == "model.name":
            set_key(tables, key, params.parse(Param(key, "str"), text))
            continue
        settings = may_be_stated(named(tables, "model"), named(tables, "dataset", datasets.DEFAULT), catalog)
        if key not in settings:
            problems.append(Problem("--set", assignment, "names no setting", params.meant(key, list(settings))))
            continue
        value = params.parse(settings[key], text)
        if key in LENGTHS:
            if params.check_value(settings[key], value)[1]:
                wrong.add(key)  # stays, to be told: another length after it does not put it out of sight
            for other in LENGTHS:
                if value and other not in wrong:
                    set_key(tables, other, 0)
        set_key(tables, key, value)
    if problems:
        raise ConfigError("command line", problems)
    return tables


LENGTHS = ("train.steps", "train.epochs", "train.minutes")


def to_tables(config: RunConfig) -> dict[str, Any]:
    """A config as nested plain tables, the inverse of `load`."""
    tables: dict[str, Any] = {"format": FORMAT, "name": config.name, "notes": config.notes, "tags": list(config.tags)}
    tables["model_dirs"] = list(config.model_dirs)
    if config.edits:
        tables["edits"] = [dict(edit) for edit in config.edits]
    if config.skips:
        tables["skips"] = list(config.skips)
    tables["model"] = {"name": config.model.name} | config.model.values
    tables["dataset"] = {"name": config.dataset.name} | config.dataset.values | config.dataset.unused
    for key in TABLES:
        tables[key] = msgspec.to_builtins(getattr(config, key))
    return tables


def dumps(config: RunConfig, catalog: Declarations | None = None) -> str:
    """A config as TOML text; with a catalogue every line carries its help text as a comment."""
    notes = keys(config.model.name, config.dataset.name, catalog) if catalog is not None else {}
    return dump_toml(to_tables(config), notes)
