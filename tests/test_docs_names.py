"""The texts for whoever carries on name only files, classes and functions that there are."""

from __future__ import annotations

import ast
import fnmatch
import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.test_contributing import files_in

ROOT = Path(__file__).parent.parent
PAGES = ("docs/architecture.md", "CONTRIBUTING.md", "docs/tuned.md")
NOT_OURS = {"import torch", "torch.optim.Adam", "state_dict", ".venv", ". .venv/bin/activate"}
"""PyTorch's names, and what a checkout makes."""
VALUES = {"pruned", "measured here", "on"}
"""What is written into files."""
COMMAND = re.compile(r"(?:[A-Z_]+=\S+ )?(tui-gen( |$)|python -m |\.venv/bin/|queue |--?\w|train\.\w+ = )")
"""What one types: these have tests of their own."""


def files_and_folders() -> set[str]:
    """Every file, and every folder that has one, as a page would write it."""
    tops = ("tui_gen", "models", "themes", "tests", "docs")
    paths = {path.relative_to(ROOT) for top in tops for path in (ROOT / top).rglob("*.*")}
    return {str(path) for path in paths} | {f"{folder}/" for path in paths for folder in path.parents}


def definitions() -> dict[str, dict[str, list[str] | None]]:
    """What each module and class defines, by its name and then theirs; of functions, the names of their arguments.

    Modules and classes that are called alike count as one, and a package as one with its `__init__.py`.
    """
    found: dict[str, dict[str, list[str] | None]] = defaultdict(dict)
    for top in ("tui_gen", "models"):
        for path in (ROOT / top).rglob("*.py"):
            above, owner = path.parent.parent.name, path.parent.name
            if path.stem != "__init__":
                above, owner = owner, path.stem
            found[above if above != ROOT.name else "tui_gen"][owner] = None
            _define(found, owner, ast.parse(path.read_text(encoding="utf-8")).body)
    return found


def _define(found: dict[str, dict[str, list[str] | None]], owner: str, body: list[ast.stmt]) -> None:
    for node in body:
        if isinstance(node, ast.ClassDef):
            found[owner][node.name] = None
            _define(found, node.name, node.body)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found[owner][node.name] = [one.arg for one in node.args.args if one.arg not in ("self", "cls")]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [name for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
            found[owner] |= {name.id: None for name in names}


FILES, DEFINED = files_and_folders(), definitions()
TEXTS = [(ROOT / path).read_text(encoding="utf-8") for path in FILES if re.match(r"tui_gen/.*\.py$", path)]


def exists(word: str) -> bool:
    """Whether a page may name this: a file, a folder, a make target, or what code defines."""
    if word.startswith("make "):
        return re.search(rf"^{word[5:]}:", (ROOT / "Makefile").read_text(), re.M) is not None
    if "/" in word or re.search(r"\.(py|md)$", word):
        return any(fnmatch.fnmatch(path, pattern) for path in FILES for pattern in (word, f"*/{word}"))
    if re.search(r"\.(json|jsonl|toml)$|^[A-Z_]+=", word):  # of a run, of the user, of the environment
        return any(f'"{word.partition("=")[0]}"' in text for text in TEXTS)
    called = re.fullmatch(r"([\w.]+)(?:\(([^)]*)\)|=\w+)?", word.strip("[]"))
    if not called:
        return False
    *owners, name = called[1].split(".")
    arguments = [part.strip() for part in (called[2] or "").split(",") if part.strip(" …")]
    places = [DEFINED.get(owners[-1], {})] if owners else DEFINED.values()
    found = [place[name] or [] for place in places if name in place]
    return any(arguments == taken[: len(arguments)] for taken in found)


def names(page: str) -> set[str]:
    """What stands in backticks, outside of code, but for commands and for files that the page has one write."""
    text = (ROOT / page).read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    words = {" ".join(word.split()) for word in re.findall(r"`([^`]+)`", prose)}
    words -= NOT_OURS | VALUES | files_in(text).keys()
    return {word for word in words if not COMMAND.match(word)}


@pytest.mark.parametrize("page", PAGES)
def test_whatever_it_names_is_there(page):
    named = names(page)
    assert len(named) > 20 and [word for word in sorted(named) if not exists(word)] == []
    renamed = {re.sub(r"[^\W_](?=[^\w ]*$|\(|=|\.\w+$|\*)", "qx", word, count=1) for word in named}
    assert not renamed & named and [word for word in sorted(renamed) if exists(word)] == []
