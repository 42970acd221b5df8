"""What the command line refuses before anything is started: options of other commands, files of other kinds."""

import pytest

from tests import fake_worker
from tui_gen import cli
from tui_gen.report.commands import options


@pytest.mark.parametrize(
    ("words", "hint", "help_of"),
    [
        (["sample", "latest", "--sapce", "x"], "'--step'", "tui-gen sample"),  # --space is sweep's
        (["--sapce", "x"], "'--set'", "tui-gen"),
        (["zoo", "check", "--jbos", "2"], "'--jobs'", "tui-gen zoo check"),
        (["runs", "--jbos", "2"], "'--json'", "tui-gen runs"),
        (["--runs", "/r", "sweep", "--sapce", "x"], "'--space'", "tui-gen sweep"),
        (["sweep", "one", "two"], "", "tui-gen sweep"),
        (["--run", "vae-digits", "runs"], "", "tui-gen"),
    ],
)
def test_what_is_no_option_of_a_command_is_told_with_the_nearest_of_that_command(call, words, hint, help_of):
    status, _, err = call(*words)
    assert status == 2 and (f"did you mean {hint}?" in err if hint else "did you mean" not in err), err
    assert err.endswith(f"see {help_of} --help\n")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [([], []), (["attach"], ["attach"]), (["runs", "attach"], ["runs"]), (["atach"], None), (["--json", "runs"], None)],
)
def test_options_are_put_together_only_for_the_commands_that_words_may_mean(words, wanted):
    every = [command.name for command in cli.COMMANDS]
    assert [command.name for command in cli._wanted(words)] == (every if wanted is None else wanted)


@pytest.mark.parametrize(
    ("command", "name", "endings"),
    [("sample", "x.xyz", ".png or .txt"), ("sample", "a.b/x.jpg", ".png or .txt"), ("walk", "x.mp4", ".gif")],
)
def test_an_ending_that_nothing_is_written_with_is_told_before_anything_is_started(call, command, name, endings):
    status, out, err = call(command, "any", "-o", name)
    assert (status, out) == (2, "") and f"'{name}' ends in .{name.split('.')[-1]}; what is written is {endings}" in err


@pytest.mark.parametrize("name", ["grid", "GRID.PNG", "../a.b/grid"])
def test_other_names_of_files_are_as_good_as_ever(name):
    assert options.file_of(".png", ".txt")(name) == name


@pytest.mark.parametrize(
    "words", [[], ["attach", "first"], ["compare", "first", "second", "--open"], ["replay", "first"]]
)
def test_a_budget_holds_at_every_door_of_the_workbench(monkeypatch, world, words):
    from tui_gen.app import main

    root, asked = world / "runs", []
    for name in ("first", "second"):
        fake_worker.record(fake_worker.make_run(root, "vae-digits", f"name={name}"))
    monkeypatch.setattr(main, "refusal", lambda: "")
    monkeypatch.setattr(main, "run_workbench", lambda *_, **more: asked.append(more) or 0)
    assert cli.main([*words, "--budget", "20K"]) == 0
    assert asked[0]["budget"] == 20e3
