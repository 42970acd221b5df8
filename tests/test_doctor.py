"""`tui-gen doctor`: what it says of any terminal, machine and folder, and when it calls something broken."""

from __future__ import annotations

import json
import os
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from tests.test_draw_terminal import ANSWERS, FakeTerminal
from tui_gen import cli
from tui_gen.draw.terminal import Replies, decide, throughput
from tui_gen.report import doctor
from tui_gen.report.commands import doctor as command
from tui_gen.report.commands.options import byte_rate

FACTS = {
    "python": "3.11.7", "torch": "2.9.0", "cuda": "", "threads": 2, "cpus": 2, "vectors": "AVX2", "compiler": "g++",
    "accelerators": [],
}  # fmt: skip


def terminal(environ, replies=None, round_trip=0.004):
    replies = replies or Replies(fence=True, truecolor=True, name="foot", version="1.20")
    return decide(replies, "auto", "", {"LANG": "C.UTF-8", "TERM": "xterm-256color"} | environ, True, round_trip)


@pytest.mark.parametrize(
    ("environ", "replies", "more", "expected"),
    [
        ({}, None, {}, []),
        ({}, None, {"link": "mosh"}, ["mosh passes text on"]),
        ({}, None, {"link": "ssh", "throughput": 40e3}, ["tui-gen attach", "At 40 kB/s pictures are slow"]),
        ({}, None, {"link": "ssh", "throughput": 4e6}, ["tui-gen attach"]),
        ({"TMUX": "/t,1,0"}, None, {"link": "ssh", "throughput": 4e6}, ["allow-passthrough"]),
        ({"TMUX": "/t,1,0"}, Replies(fence=True, name="tmux", version="3.3a"), {}, ["256 col", "passthrough"]),
        ({"TMUX": "/t,1,0"}, None, {"escape_time": 500}, ["escape-time 10", "allow-passthrough"]),
        ({"STY": "1.pts"}, Replies(fence=True), {}, ["GNU screen has no pictures"]),
        ({}, Replies(), {"round_trip": None}, ["answers no questions"]),
        ({}, None, {"round_trip": 0.4}, ["Every key waits"]),
    ],
)
def test_the_advice_is_that_of_this_terminal_and_no_other(environ, replies, more, expected):
    more = dict(more)
    found = terminal(environ, replies, more.pop("round_trip", 0.004))
    part = doctor.of_terminal(found, more.pop("link", ""), more.pop("throughput", None), environ, **more)
    assert len(part.advice) == len(expected) and not part.faults
    for words in expected:
        assert any(words in advice for advice in part.advice), words
    assert dict(part.rows)["pictures"].startswith(found.graphics)


def test_nothing_is_said_of_a_terminal_that_is_none():
    part = doctor.of_terminal(terminal({}, Replies(), None), "ssh", None, {}, tty=False)
    assert part.advice == [] and len(part.rows) == 2


@pytest.mark.parametrize(
    ("facts", "driver", "rows", "advice", "fault"),
    [
        ({}, "", "none; runs train on the CPU", "", ""),
        ({}, "NVRM 580.1", "NVRM 580.1", "built without CUDA", ""),
        ({"cuda": "13.0"}, "NVRM 580.1", "NVRM", "built for CUDA 13.0 and finds no device", ""),
        ({"compiler": ""}, "", "none", "no C++ compiler", ""),
        ({"accelerators": [{"id": "cuda:0", "name": "H", "memory": 9e9, "free": 5e9}]}, "", "5.0 GB of 9.0 GB", "", ""),
        ({"accelerators": [{"id": "cuda:0", "name": "T", "memory": 1, "fault": "no code"}]}, "", "T", "", "no code"),
    ],
)
def test_machines(facts, driver, rows, advice, fault):
    part = doctor.of_machine(FACTS | facts, driver)
    assert rows in "\n".join(value for _, value in part.rows)
    assert advice in "\n".join(part.advice) and bool(advice) == bool(part.advice)
    assert fault in "\n".join(part.faults) and bool(fault) == bool(part.faults)


def test_folders(tmp_path, monkeypatch):
    part = doctor.of_folders(tmp_path / "new" / "runs")
    assert part.faults == [] and "0 runs, 0 live" in part.rows[1][1]
    monkeypatch.setattr(doctor, "file_system", lambda path: "nfs4")
    assert any("lie on nfs4" in advice for advice in doctor.of_folders(tmp_path).advice)
    (tmp_path / "file").write_text("")
    assert doctor.of_folders(tmp_path / "file").faults, "a file is no folder of runs"


def test_the_file_system_is_that_of_the_deepest_mount(tmp_path):
    assert doctor.file_system(tmp_path) == doctor.file_system(tmp_path / "x" / "y")
    if os.path.exists("/proc/self/mounts"):
        assert doctor.file_system(tmp_path) and doctor.file_system(Path("/proc/self")) == "proc"


def test_the_link_is_known_by_who_started_this():
    assert doctor.link_of({}, ["bash", "mosh-server"]) == "mosh"
    assert doctor.link_of({"SSH_CONNECTION": "a 1 b 2"}, ["bash", "sshd"]) == "ssh"
    assert doctor.link_of({}, ["bash"]) == ""
    if os.path.exists("/proc/self/stat"):
        assert doctor.ancestors(os.getpid())


def test_as_json_with_a_status_that_tells_whether_anything_can_be_trained(monkeypatch, capfd, tmp_path):
    monkeypatch.setattr(command, "machine", lambda: dict(FACTS))
    assert cli.main(["doctor", "--json", "--runs", str(tmp_path)]) == 0
    parts = json.loads(capfd.readouterr().out)
    assert [part["title"] for part in parts] == ["Terminal", "Notices", "Machine", "Folders"]
    monkeypatch.setattr(command, "machine", lambda: {"error": "ImportError: libcudart"})
    assert cli.main(["doctor", "--runs", str(tmp_path)]) == 1
    assert "! PyTorch does not load: ImportError: libcudart" in capfd.readouterr().out
    assert cli.main(["doctor", "--graphics", "holograms"]) == 2
    assert "invalid choice: 'holograms'" in capfd.readouterr().err


def test_a_machine_is_asked_in_a_process_of_its_own(monkeypatch):
    facts = command.machine()
    assert facts["torch"] and facts["cpus"] >= 1
    monkeypatch.setattr(command.children, "command", lambda *_: ["false"])
    assert "without a word" in command.machine()["error"]


@pytest.mark.parametrize("graphics", ["kitty", "sixel", "iterm2", "halfblock", "ascii"])
def test_the_card_is_drawn_in_the_way_that_was_chosen(graphics, capsys):
    shown = decide(Replies(fence=True, cell=(8, 16)), graphics, "--graphics", {"TERM": "xterm"}, True)
    command.show_card(command.stdout.standard()[0], shown)
    begins = {"kitty": "\x1b_Ga=T", "sixel": "\x1bP0;1;0q", "iterm2": "\x1b]1337;File=", "halfblock": "▀", "ascii": "@"}
    assert begins[graphics] in capsys.readouterr().out


def test_throughput_is_measured_with_a_fence_and_leaves_nothing_in_the_input():
    with FakeTerminal(ANSWERS, 0.01) as fake:
        found = fake.probe()
        speed = throughput(found, fake.slave, fake.slave)
        assert speed and speed > 0
        assert fake.left_over() == b""
    with FakeTerminal({}) as mute:
        assert throughput(decide(Replies(), "auto", "", {}, True), mute.slave, mute.slave) is None


@pytest.mark.parametrize(("text", "rate"), [("20K", 20e3), ("1.5m", 1.5e6), ("30000", 30e3)])
def test_budgets(text, rate):
    assert byte_rate(text) == rate


@pytest.mark.parametrize("text", ["", "K", "fast", "20G", "-3K", "999", "1e9", "nan", "9" * 30 + "M"])
def test_no_budget_is_told_with_an_example(text):
    with pytest.raises(ArgumentTypeError, match="such as 20K"):
        byte_rate(text)
