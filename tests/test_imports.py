"""Who may import whom: looked up in the sources, and seen in fresh processes."""

import ast
import functools
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from textual.app import App

from tui_gen.app.terminal import private

pytestmark = pytest.mark.xdist_group("imports")  # every file is read and parsed once for all
ROOT = Path(__file__).resolve().parents[1]
PACKAGE, MODELS = ROOT / "tui_gen", ROOT / "models"
TORCH = {"torch", "torchvision", "safetensors"}
TEXTUAL = {"textual", "textual_image"}
SCREEN = ("app",)
"""Rooms that show: Textual may be imported in these, and PyTorch must not."""
READERS = ("draw", "report", "log", "history", "queue", "verdicts")
TRAINERS = ("train", "models", "model", "sharing")
CONTRACTS = sorted({path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__", *TRAINERS})
"""Modules that everybody may import: neither PyTorch nor Textual at import time."""


def sources(*parts: str) -> list[Path]:
    found = []
    for part in parts:
        folder = MODELS if part == "models" else PACKAGE / part
        found += sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{part}.py"]
    return found


def module_name(path: Path) -> str:
    if path.is_relative_to(MODELS):
        parts = ("tui_gen", "models", *path.relative_to(MODELS).with_suffix("").parts)
    else:
        parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def imported(path: Path, also_inside: bool = True, for_types: bool = False) -> set[str]:
    """Full names of what a file imports; without `also_inside`, only what importing it would import at once.

    What is imported for type checkers alone counts only with `for_types`.
    """
    return imported_by(source(path), package_of(path), also_inside, for_types)


def package_of(path: Path) -> tuple[str, ...]:
    """The names of the packages around a file."""
    package = (*module_name(path).split("."),)
    return package if path.name == "__init__.py" else package[:-1]


@functools.cache
def source(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@functools.lru_cache(maxsize=8)  # the same file is asked about in several ways, one after the other
def parsed(code: str) -> ast.Module:
    """A file's syntax tree; never to be changed."""
    return ast.parse(code)


def imported_by(code: str, package: Sequence[str], also_inside: bool = True, for_types: bool = False) -> set[str]:
    """As `imported`, for source text in a package."""
    return {
        name
        for name, inside, typed in imports_of(code, (*package,))
        if (also_inside or not inside) and (for_types or not typed)
    }


@functools.cache
def imports_of(code: str, package: tuple[str, ...]) -> set[tuple[str, bool, bool]]:
    """Names that source text imports, each with whether it does so in a function, and for type checkers alone."""
    found: set[tuple[str, bool, bool]] = set()

    def visit(node: ast.AST, inside: bool, typed: bool) -> None:
        if isinstance(node, ast.Import):
            found.update((alias.name, inside, typed) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            name = ".".join([*base, *([node.module] if node.module else [])])
            found.update((one, inside, typed) for one in (name, *(f"{name}.{alias.name}" for alias in node.names)))
        elif isinstance(node, ast.expr):
            return
        checked = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for child in ast.iter_child_nodes(node):
            visit(
                child,
                inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef),
                typed or (checked and child in node.body),
            )

    visit(parsed(code), False, False)
    return found


def under(names: set[str], roots: set[str]) -> set[str]:
    return {name for name in names if any(name == root or name.startswith(f"{root}.") for root in roots)}


WORKERS = {"tui_gen.train", "tui_gen.model", "tui_gen.models.vae", "tui_gen.models.gan", "tui_gen.models.diffusion"}


def breaches(paths: Sequence[Path], roots: set[str], also_inside: bool = True) -> dict[str, set[str]]:
    """What each of these files imports of what it must not; files without a breach left out."""
    found = {str(path.relative_to(ROOT)): under(imported(path, also_inside), roots) for path in paths}
    return {path: names for path, names in found.items() if names}


def test_what_shows_runs_never_names_torch():
    assert not breaches(sources(*SCREEN, *READERS, *CONTRACTS), TORCH | WORKERS)


def test_only_the_workbench_imports_textual_at_once():
    assert not breaches(sources(*READERS, *CONTRACTS), TEXTUAL | {"tui_gen.app"}, also_inside=False)


def test_what_trains_never_names_textual():
    assert not breaches(sources(*TRAINERS), TEXTUAL | {"tui_gen.app", "tui_gen.report", "tui_gen.cli", "rich"})


def test_drawing_knows_no_run_and_no_widget():
    assert not breaches(sources("draw"), TEXTUAL)
    ours = breaches(sources("draw"), {"tui_gen"})
    outside = {name for names in ours.values() for name in names} - {"tui_gen"}
    assert not {name for name in outside if not name.startswith(("tui_gen.draw", "tui_gen.text"))}, ours


def private_of_others(path: Path) -> set[str]:
    """Private names that a file takes from modules and objects which are not its own."""
    tree = parsed(source(path))
    found = {name for name in imported(path) if re.match(r"(textual|rich)\.(.*\.)?_", name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and name_of(node.value) not in ("self", "cls"):
            found.add(ast.unparse(node))
        elif isinstance(node, ast.ClassDef):
            inside = [*ast.walk(node)]
            stored = [one for one in inside if isinstance(getattr(one, "ctx", None), ast.Store)]
            mine = {one.attr for one in stored if isinstance(one, ast.Attribute)}
            mine |= {one.id for one in stored if isinstance(one, ast.Name)}
            mine |= {one.name for one in inside if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
            used = {one.attr for one in inside if isinstance(one, ast.Attribute) and is_private(one.attr)}
            found |= (used - mine) | (mine & set(private.NAMES[App]))
    return found - {"os._exit", "_exit"}


def name_of(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in ("_replace", "_asdict")


def test_one_module_knows_the_private_parts_of_textual():
    known = {str(path.relative_to(PACKAGE)): private_of_others(path) for path in sources("app", "draw", "report")}
    known = {path: names for path, names in known.items() if names}
    assert list(known) == ["app/terminal/private.py"], known


def test_the_same_module_alone_puts_methods_of_ours_in_the_place_of_others():
    """The type checker asks for the remark at each such line, and for none elsewhere."""
    paths = sources("app", "draw", "report")
    replacing = [path for path in paths if re.search(r"\[(.*, )?method-assign\b", source(path))]
    assert [str(path.relative_to(PACKAGE)) for path in replacing] == ["app/terminal/private.py"]


@pytest.mark.parametrize("owner,name", [(owner, name) for owner, names in private.NAMES.items() for name in names])
def test_textual_still_has_its_private_parts(owner, name):
    """A version without one of them is found here, and not by whoever uses the workbench."""
    assert hasattr(owner, name) or re.search(rf"\bself\.{name}\b", code_of(owner))


code_of = functools.cache(inspect.getsource)


@functools.cache
def graph_of_imports() -> dict[str, set[str]]:
    """Every module of ours and those of ours that it imports, at once, in functions, and for type checkers alone."""
    paths = {module_name(path): path for folder in (PACKAGE, MODELS) for path in folder.rglob("*.py")}
    graph = {}
    for module, path in paths.items():
        names = imported(path, for_types=True)
        inner = {name for name in names if name in paths}
        # `from package import module` names both: the package counts only where something of its own is meant
        graph[module] = {
            name for name in inner if name != module and not any(one.startswith(f"{name}.") for one in inner)
        } | {name.rpartition(".")[0] for name in names - inner if name.rpartition(".")[0] in paths} - {module}
    return graph


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Sets of nodes of which each is reached from each other."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        seen, waiting = set(), [*graph[start]]
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                waiting += graph.get(node, ())
        reached[start] = seen
    return [
        {node} | {other for other in reached[node] if node in reached.get(other, ())}
        for node in graph
        if node in reached[node]
    ]


def room_of(module: str) -> str:
    """The room of a module: its folder, where that has one of its own; else the module itself."""
    folder = module.rpartition(".")[0]
    return module if folder in ("tui_gen", "tui_gen.app", "tui_gen.train", "tui_gen.models", "") else folder


def test_no_file_imports_itself_by_way_of_others():
    assert not circles(graph_of_imports())


def test_no_room_imports_itself_by_way_of_others():
    graph: dict[str, set[str]] = {}
    for module, names in graph_of_imports().items():
        room = room_of(module)
        graph.setdefault(room, set()).update({room_of(name) for name in names} - {room})
    assert not circles(graph)


def test_the_workbench_s_rooms_import_only_those_that_the_page_has_after_them():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (sentence,) = re.findall(r"each of these rooms imports only those after it: (.*?)\.", page)
    rooms = re.findall(r"`(\w+)`", sentence)
    assert {path.name for path in (PACKAGE / "app").iterdir() if (path / "__init__.py").exists()} == set(rooms)
    place = {f"tui_gen.app.{room}": number for number, room in enumerate(rooms)}

    def placed(module: str) -> int | None:
        return place.get(".".join(module.split(".")[:3]))

    for module, names in graph_of_imports().items():
        if (own := placed(module)) is not None:
            assert not [name for name in names if (other := placed(name)) is not None and other < own], module


def test_a_circle_would_be_seen():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [{"b", "c"}, {"b", "c"}]


def test_a_breach_would_be_seen():
    code = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch.fx\n"
        "def f():\n    from ..train import trainer\n    import torch.nn as nn\nimport torchmetrics\n"
    )
    names = imported_by(code, ["tui_gen", "app"])
    assert under(names, TORCH | WORKERS) == {"torch.nn", "tui_gen.train", "tui_gen.train.trainer"}
    assert not under(imported_by(code, ["tui_gen", "app"], also_inside=False), TORCH | WORKERS)


def loaded_after(statement: str) -> set[str]:
    """Top-level names in sys.modules (and tui_gen's own modules) after a statement in a fresh process."""
    code = f"import sys, json\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names = json.loads(done.stdout.splitlines()[-1])
    return {name for name in names if name.startswith("tui_gen") or "." not in name}


TRAINED = """
import torch
from tui_gen.train.run import warm
warm._warm_up()
from tui_gen.config import Optim
from tui_gen.models.nets import layers
from tui_gen.train.engine import optim
from tui_gen.models.looks.code_plots import principal
for name in ("adam", "adamw", "sgd", "nadam", "rmsprop"):
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = optim.build(Optim(optimizer=name), [weight])
    weight.square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
principal(torch.rand(5, 3), 2)
"""
"""What every run does: what a worker loads before it, steps of all optimisers, and a picture of codes."""


def importable(*parts: str) -> str:
    return "; ".join(f"import {module_name(path)}" for path in sources(*parts) if path.name != "__main__.py")


def test_importing_the_package_imports_nothing_heavy():
    assert not loaded_after("import tui_gen") & (TORCH | TEXTUAL | {"rich", "numpy"})


def test_readers_and_contracts_load_neither():
    loaded = loaded_after(importable(*READERS, *CONTRACTS))
    assert not loaded & (TORCH | TEXTUAL)
    assert not {name for name in loaded if name.startswith(("tui_gen.train", "tui_gen.model.", "tui_gen.app."))}


def test_the_workbench_loads_without_torch():
    loaded = loaded_after(f"{importable('app')}; import tui_gen.report.commands.sweep")
    assert not loaded & (TORCH | {"sklearn", "scipy", "optuna", "sqlalchemy"})
    assert not {name for name in loaded if name.startswith("tui_gen.train") or name == "tui_gen.model"}


FRAME = """
from pathlib import Path
from tui_gen.app.workbench import Workbench
async def on_ready(app): app.exit()
Workbench.on_ready = on_ready
Workbench(Path("runs")).run(headless=True, size=(120, 40))
"""


def test_the_first_frame_waits_for_nothing_that_deals_with_runs():
    loaded = loaded_after(FRAME)
    assert "textual" in loaded and "tui_gen.app.shell.workspace" in loaded
    assert not loaded & {"msgspec", "numpy", "plotext", "PIL", "tui_gen.runs", "tui_gen.catalog", "tui_gen.config"}


def test_the_worker_loads_without_textual():
    loaded = loaded_after(f"{importable('train', 'models', 'model')}; {TRAINED}")
    assert "torch" in loaded
    assert not loaded & TEXTUAL
    assert not loaded & {"sympy", "triton", "sklearn", "scipy"}, "PyTorch's compiler, say, is a second of every start"
    assert not {name for name in loaded if name.startswith("tui_gen.app")}
