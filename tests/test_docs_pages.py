"""The pages under docs/ for users: every command line parses, what can run here runs, and the image can be built."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests import bench, dockerfiles, fake_worker
from tui_gen import batch, cli
from tui_gen.report import follow

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHERS = ("architecture.md", "attacks.md", "figures.md", "own-data.md", "tuned.md")
"""Pages without commands for users; own-data.md's are tested with the README's."""
PAGES = [path for path in TEXTS[2:] if path.name not in OTHERS]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"```(?:sh|bash)\n(.*?)```", re.S)
ELSEWHERE = {"attach", "queue", "doctor", "checkpoint", "stop"}
"""Commands that need a live run or a terminal, or start processes of their own: they have their own tests."""


def blocks(page: Path) -> list[str]:
    """The shell code of a page."""
    return FENCE.findall(page.read_text(encoding="utf-8"))


def commands(code: str) -> list[list[str]]:
    """The arguments of each call of tui-gen in shell code, whatever calls it (docker, ssh, srun, exec)."""
    lines = code.replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines if not line.startswith("docker build")]
    calls = [(line, [place for place, word in enumerate(line) if word == "tui-gen"]) for line in words]
    return [_to_the_end(line[places[-1] + 1 :]) for line, places in calls if places]


def _to_the_end(words: list[str]) -> list[str]:
    """The words of one command, without what a shell makes of the rest."""
    ends = [place for place, word in enumerate(words) if word in (">", ">>", "2>", "|", "||", "&&", ";", "&", "<")]
    return words[: ends[0]] if ends else words


def local(code: str) -> list[list[str]]:
    """Those that this machine can run: what is called by docker, ssh or srun is left out."""
    lines = "\n".join(line for line in code.splitlines() if line.startswith("tui-gen "))
    return [words for words in commands(lines) if words and words[0] not in ELSEWHERE]


CODE = [pytest.param(code, id=f"{page.stem}-{number}") for page in PAGES for number, code in enumerate(blocks(page))]


@pytest.mark.parametrize("page", TEXTS[2:], ids=lambda page: page.name)
def test_the_readme_leads_to_it(page):
    assert f"](docs/{page.name})" in README


def test_every_page_that_is_to_have_commands_has_some():
    assert {page.name for page in PAGES if any(map(commands, blocks(page)))} >= {
        "gpu-box.md",
        "slurm.md",
        "preemption.md",
        "container.md",
        "shared-folder.md",
        "many-processes.md",
        "remote.md",
    }


def anchors(page: Path) -> set[str]:
    """What a link can name in a page: its headings, as the usual viewers write them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_its_links_lead_somewhere(page):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("code", CODE)
def test_its_shell_code_parses_and_so_do_the_command_lines_in_it(code):
    done = subprocess.run(["bash", "-n"], input=code, text=True, capture_output=True, check=False)
    assert not done.returncode, done.stderr
    for words in commands(code):
        parser = cli.build_parser()
        cli._check_combination(parser, parser.parse_args(words))


def test_the_service_begins_the_run_or_goes_on_with_it_and_calls_each_status_what_it_is():
    """Statuses that only would come again start nothing, those of a stop are no failure, and the worker's death is."""
    (text,) = re.findall(r"```ini\n(.*?)```", (ROOT / "docs" / "preemption.md").read_text(), re.S)
    unit = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    program, *words = shlex.split(unit["ExecStart"])
    args = cli.build_parser().parse_args(words)
    assert Path(program).name == "tui-gen" and args.run and args.run_name and args.resume_if_begun
    again = [int(word) for word in unit["RestartPreventExitStatus"].split()]
    assert again == [follow.FAILED, 2]
    assert [int(word) for word in unit["SuccessExitStatus"].split()] == [follow.STOPPED, batch.TERMINATED]
    assert follow.INTERRUPTED not in again and unit["Restart"] == "on-failure"


@pytest.mark.parametrize("code", [part for part in CODE if local(str(part.values[0]))])
def test_what_can_run_here_runs_as_written(code, tmp_path, monkeypatch, call):
    """With a stand-in for workers."""
    fake_worker.install(monkeypatch, steps=20, rate=1000)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.toml").write_text(call("recipe", "vae-digits")[1])
    for words in local(code):
        status, out, err = call(*words)
        assert not status, f"{words}: {out[-500:]} {err[-500:]}"


# -- the image

BUILD = dockerfiles.instructions(ROOT / "Dockerfile")


def of(name: str) -> list[str]:
    """What stands after each instruction of that name."""
    return [words for word, words in BUILD if word == name]


def test_an_image_has_all_files_of_the_package_and_no_other_than_those():
    context = set(dockerfiles.context(ROOT))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = project["package-dir"]
    for package in project["packages"]:
        folder = ROOT / folders.get(package, package.replace("tui_gen.models", "models").replace(".", "/"))
        wanted = [*folder.glob("*.py")]
        wanted += [path for pattern in project["package-data"].get(package, []) for path in folder.glob(pattern)]
        assert wanted and {str(path.relative_to(ROOT)) for path in wanted} <= context, package
    tops = {path.partition("/")[0] for path in context}
    assert tops == {"tui_gen", "models", "themes", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"}
    assert not any("__pycache__" in path for path in context)


def test_a_builder_can_follow_the_dockerfile():
    known = {"FROM", "COPY", "RUN", "ARG", "ENV", "USER", "WORKDIR", "VOLUME", "ENTRYPOINT"}
    assert {name for name, _ in BUILD} <= known and BUILD[0][0] == "FROM"
    stages = [words.partition(" AS ")[2] for words in of("FROM")]
    for words in of("FROM"):
        assert re.fullmatch(r"python:3\.1[1-9]-slim( AS \w+)?", words), "an official image, by its name alone"
    context = dockerfiles.context(ROOT)
    for words in of("COPY"):
        *sources, _ = words.split()
        if sources[0].startswith("--from="):
            assert sources[0].removeprefix("--from=") in stages
        else:
            assert all(source == "." or source in context for source in sources), words
    for words in of("RUN"):
        done = subprocess.run(["sh", "-n"], input=words, text=True, capture_output=True, check=False)
        assert not done.returncode, f"{words}: {done.stderr}"
        assert not re.search(r"https?:|--extra-index", words)
    named = {words.partition("=")[0] for words in of("ARG")}
    page = (ROOT / "docs" / "container.md").read_text()
    assert set(re.findall(r"--build-arg (\w+)=", page)) <= named


def test_what_an_image_runs_is_our_command_line_as_nobody_special():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    (words,) = of("ENTRYPOINT")
    assert set(json.loads(words)) == set(scripts) == {"tui-gen"}
    last = [name for name, _ in BUILD][::-1]
    assert of("USER")[-1] not in ("root", "0") and "RUN" not in last[: last.index("USER")]
    assert any(f"TUI_GEN_RUNS={volume}" in words for volume in of("VOLUME") for words in of("ENV"))


def test_every_benchmark_that_a_page_names_is_there():
    """All of them can be loaded, too: nothing else imports them."""
    known = bench.benchmarks()
    named = re.findall(r"tests\.bench((?: [a-z][a-z0-9-]*)+)", "\n".join(path.read_text() for path in TEXTS))
    names = [name for words in named for word in words.split() for name in bench.grouped(word, known)]
    assert {"cold", "probing", "tuned-ddpm"} <= set(names) <= set(known)
