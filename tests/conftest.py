"""Every test in a world of its own: its own settings, caches, runs and sockets; no worker outlives its test."""

from __future__ import annotations

import contextlib
import gc
import importlib
import itertools
import os
import random
import re
import resource
import shutil
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.attack import forked

settings.register_profile(
    "tui-gen", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tui-gen")  # the same examples every time, however busy the machine is

MARK = "TUI_GEN_TEST"
"""In the environment of everything that a test starts, so that it can be found again."""
OURS = (b"tui_gen", b"tui-gen", b"tests.fake_worker", b"tests/fake_worker")
CLEARED = re.compile(
    r"NO_COLOR|FORCE_COLOR|CLICOLOR.*|COLORTERM|TERM_PROGRAM.*|TMUX.*|STY|ZELLIJ.*|DVTM.*|SSH_.*|LINES|COLUMNS"
    r"|TEXTUAL_(?!ANIMATIONS|SMOOTH).*|TUI_GEN_(?!TEST).*|VISUAL|EDITOR|LC_.*|LANGUAGE"
    r"|PYTHON(IOENCODING|UTF8|WARNINGS|SAFEPATH)|(SLURM|PBS|LSB|OAR|FLUX|_CONDOR|SGE|PJM)_.*|(https?|ftp|all|no)_proxy",
    re.IGNORECASE,
)
"""What an environment tells programs of their terminal, link, language, job and network: each test says it itself."""
# Before anything is imported that reads them once, as Textual does: in which order files are collected must not matter.
for variable in filter(CLEARED.fullmatch, list(os.environ)):
    del os.environ[variable]
os.environ |= {
    "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1", "TEXTUAL_ANIMATIONS": "none",
    "TEXTUAL_SMOOTH_SCROLL": "0",
}  # fmt: skip
# Before anything imports PyTorch: spinning threads of several processes would starve each other.
os.environ.setdefault("GOMP_SPINCOUNT", "0")
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # tests read exports with ONNX Runtime themselves

FIRST = (
    "test_compiling.py", "test_readme.py", "test_must_hold_survival.py", "test_worker.py", "test_models_quality.py",
    "test_every_recipe.py",
)  # fmt: skip
"""Files with the tests that take longest: begun last, they would keep one process busy and the others idle."""
DERIVED = Path("cache/tui-gen/derived")
"""What is made of files that are the same for all tests (`tui_gen.derived`)."""
SHARED = "TUI_GEN_TEST_SHARED"
"""Names the folder of what is made once for all tests, whichever of pytest's processes they run in."""
_numbers = itertools.count()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--shuffle SEED`: another order of the files, and of the tests in each, for each number."""
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run files, and the tests in each, in random order")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long ones first, or any order that is asked for; the same in each of pytest's processes."""
    seed = config.getoption("--shuffle")
    if seed is None:
        order = {name: place for place, name in enumerate(FIRST)}
        items.sort(key=lambda item: order.get(item.path.name, len(FIRST)))
        return
    dice = random.Random(seed)
    files = sorted({item.path for item in items})
    order = {path: place for place, path in enumerate(dice.sample(files, len(files)))}
    dice.shuffle(items)
    items.sort(key=lambda item: order[item.path])  # stable: each file's own tests stay shuffled


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Look for no garbage while everything is imported, and less often than by default after that."""
    gc.disable()
    try:
        _import_in_turn(session)
        return (yield)
    finally:
        # A workbench makes tens of thousands of objects, and each search goes through many that stay. Those are not
        # frozen: Python searches everything when what is new is a quarter of the rest, which would be little then.
        gc.set_threshold(10_000, 10, 10)
        gc.enable()


def _import_in_turn(session: pytest.Session) -> None:
    """Have each of pytest's processes begin with other files: in a fresh checkout, where they have to be compiled, each
    then compiles some, and finds the others done, where all would compile all.
    """
    given = getattr(session.config, "workerinput", None)
    here = Path(__file__).resolve().parent
    if given is None or [Path(one).resolve() for one in session.config.args] != [here]:
        return
    names = sorted(path.stem for path in here.glob("test_*.py"))
    first = int(given["workerid"].removeprefix("gw")) * len(names) // given["workercount"]
    for name in [*names[first:], *names[:first]]:
        with contextlib.suppress(Exception, pytest.skip.Exception):  # whatever it is, it comes again, and is told then
            importlib.import_module(f"tests.{name}")


def pytest_configure(config: pytest.Config) -> None:
    """Make the shared folder, in the process that starts the others."""
    if not hasattr(config, "workerinput"):
        os.environ[SHARED] = tempfile.mkdtemp(prefix="tg-", dir="/tmp")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove it."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(SHARED), ignore_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many processes `-n auto` runs tests in: one more than cores, as much of a test's time is waiting."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each process one test after another, and the files that ask for a group as a whole to one of them.

    pytest-xdist 3.8 marks groups in a place where pytest 9.2 has no more look: each process made what is made once.
    """
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    together = {path.name for path in Path(__file__).parent.glob("test_*.py") if b".xdist_group(" in path.read_bytes()}

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            name = nodeid.partition("::")[0].rpartition("/")[2]
            return name if name in together else nodeid

    return Scheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def _session_world() -> Iterator[Path]:
    """What fixtures of wider scope than a test see; and what is read of all recipes and packages, for every test."""
    from tui_gen import catalog

    base = Path(tempfile.mkdtemp(prefix="tg-", dir="/tmp"))
    with pytest.MonkeyPatch.context() as patch:
        mark = _furnish(base / "s", patch)
        catalog.read()
        yield base
        kill_marked(mark)
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(autouse=True)
def world(_session_world: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """This test's private folder, under which lie `config`, `cache`, `run` (sockets) and `runs`."""
    base = _session_world / f"t{next(_numbers)}"  # short: a socket's path has room for about 100 bytes
    mark = _furnish(base, monkeypatch)
    if (_session_world / "s" / DERIVED).exists():  # else the checkout is too young to be relied on
        shutil.copytree(_session_world / "s" / DERIVED, base / DERIVED, copy_function=os.link)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    yield base
    forked.end_all()
    if has_started(used):
        kill_marked(mark)
    shutil.rmtree(base, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    """Beside what failed, show the last words of the workers that the test started: they write into files."""
    report = yield
    if report.failed and report.when == "call":
        runs = Path(os.environ.get("TUI_GEN_RUNS", "/nowhere"))
        for log in sorted(runs.glob("**/worker.log")):
            with contextlib.suppress(OSError):
                words = log.read_bytes()[-3000:].decode(errors="replace")
                report.sections.append((str(log.relative_to(runs)), words or "(empty)"))
    return report


def _furnish(base: Path, patch: pytest.MonkeyPatch) -> str:
    for variable in filter(CLEARED.fullmatch, list(os.environ)):  # set by a test, or by what it called
        patch.delenv(variable)
    for variable, name in (
        ("XDG_CONFIG_HOME", "config"),
        ("XDG_CACHE_HOME", "cache"),
        ("XDG_RUNTIME_DIR", "run"),
        ("TUI_GEN_RUNS", "runs"),
    ):
        (base / name).mkdir(parents=True, mode=0o700)
        patch.setenv(variable, str(base / name))
    (base / "cache" / "tui-gen").mkdir()
    (base / "config" / "tui-gen").mkdir()
    (base / "config" / "tui-gen" / "settings.toml").write_text("tour = true\n")  # nobody is shown around
    for name in ("catalogs", "quality"):  # catalogues and feature networks: their caches know what they were made from
        kept = Path(os.environ[SHARED]) / name
        kept.mkdir(exist_ok=True)
        (base / "cache" / "tui-gen" / name).symlink_to(kept)
    mark = f"{os.getpid()}-{base.name}"
    patch.setenv(MARK, mark)
    return mark


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line in this process: (exit status, standard output, standard error)."""

    from tui_gen import cli

    def run(*arguments: str) -> tuple[int, str, str]:
        status = cli.main(list(arguments))
        out, err = capsys.readouterr()
        return status, out, err

    return run


def has_started(used: resource.struct_rusage) -> bool:
    """Whether this process has children, or waited for one since its children had `used` so much.

    Whatever a test starts is one at first, also what then goes on alone. Most tests start nothing, and to look at
    every process of the machine after each of thousands takes long.
    """
    if not hasattr(os, "waitid"):
        return True
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return True
    return resource.getrusage(resource.RUSAGE_CHILDREN) != used


def kill_marked(mark: str) -> list[int]:
    """SIGKILL the workers and workbenches that the test with this mark started and left behind; their ids."""
    wanted, found = f"{MARK}={mark}\0".encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            if wanted not in (entry / "environ").read_bytes() + b"\0":
                continue
            command = (entry / "cmdline").read_bytes()
            if int(entry.name) != os.getpid() and any(word in command for word in OURS):
                os.kill(int(entry.name), signal.SIGKILL)
                found.append(int(entry.name))
    return found
