"""No character that a terminal would obey comes from a run directory, a reply, a name, a config or a model file."""

import io
import json
import threading

import msgspec
import pytest

from tests import hostile
from tests.shell import screen_text, until, workbench
from tui_gen import children, cli, control, places, remedy, text
from tui_gen.app.shell import guard
from tui_gen.report import stdout
from tui_gen.report.records import Record, Result


class Screen(io.StringIO):
    """A terminal that keeps what is written to it."""

    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture
def screen(monkeypatch):
    """Standard output and error are a terminal."""
    monkeypatch.setenv("TERM", "xterm-256color")
    there = Screen()
    monkeypatch.setattr(stdout, "standard", lambda: (stdout.Outlet(there), stdout.Outlet(there)))
    return there


@pytest.fixture
def run(world):
    hostile.add_model(places.config_dir())
    return hostile.make_run(world / "runs")


COMMANDS = [
    ["runs"], ["runs", "--json"], ["attach", "RUN", "--plain"], ["attach", "RUN", "--json"], ["stop", "RUN"],
    ["stop"], ["stop", "--all"], ["sample", "RUN"], ["quality", "RUN"], ["quality", "RUN", "--json"],
    ["models"], ["models", hostile.TEXT], ["models", "x" + hostile.TEXT], ["recipes"], ["recipe", "evil"],
    ["recipe", hostile.TEXT], ["datasets", hostile.TEXT], ["delete", "RUN"], ["delete", hostile.TEXT],
    ["export", "RUN"], ["export", "RUN", "--as", "npz"], ["export", "RUN", "--as", "tensorboard"],
    ["export", "RUN", "--as", "parquet"], ["export", "RUN", "--as", hostile.TEXT],
    ["zoo", "table", "--record", "RECORD"], ["zoo", "table", "--json", "--record", "RECORD"],
    ["zoo", "table", "--markdown", "--record", "RECORD"], ["zoo", "check", "--only", hostile.TEXT],
    ["--resume", "RUN"], ["--resume", hostile.TEXT], ["--resume", "RUN", "--set", f"{hostile.TEXT}=1"],
    ["--run", "RUN"], ["--run", hostile.TEXT], ["--run", "FILE"], ["--run", "evil"],
    ["--run", "vae-digits", "--set", f"train.steps={hostile.TEXT}"], ["--graphics", hostile.TEXT],
    ["runs", f"--{hostile.TEXT}"], [hostile.TEXT], ["--models", f"/{hostile.TEXT}"],
    ["sample", "RUN", "-n", hostile.TEXT],
]  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=range(len(COMMANDS)))
def test_no_command_lets_it_through(run, call, tmp_path, monkeypatch, words):
    def child(module, *words, **more):
        raise control.ControlError(hostile.TEXT) if module == "tui_gen.train.run" else OSError(5, hostile.TEXT)

    def said(module, *words, **more):
        return children.subprocess.CompletedProcess([], 1, hostile.TEXT, f"{hostile.TEXT}\nerror: {hostile.TEXT}\n")

    class Process:
        stderr, returncode = [f"{hostile.TEXT}\n", f"error: {hostile.TEXT}\n"], 1
        stdout = io.StringIO(json.dumps(hostile.TEXT))
        __enter__, __exit__ = lambda self: self, lambda *_: None

    quality = "quality" in words
    monkeypatch.setattr(children, "start", (lambda *_, **__: Process()) if quality else child)
    monkeypatch.setattr(children, "run", said)
    record, file = tmp_path / "record.json", tmp_path / "c.toml"
    result = msgspec.structs.replace(hostile.filled(Result), recipe="evil")
    record.write_bytes(msgspec.json.encode(Record(small={"evil": result})))
    file.write_text('name = "\\u001b]0;a\\u0007"\nmodel = "\\u009b5;6;7m"\n"\\u001b[5;6;7m" = 1\n[train]\nsteps = 5\n')
    names = {"RUN": str(run), "RECORD": str(record), "FILE": str(file)}
    status, out, err = call(*(names.get(word, word) for word in words))
    assert status in (0, 1, 2) and (out + err).strip()
    assert hostile.found_in(out) == [] and hostile.found_in(err) == []
    if "--json" in words and status == 0:
        assert all(json.loads(line) is not None for line in out.splitlines())


def test_what_a_recipe_says_of_itself_stays_in_its_comments(run, call):
    from tui_gen import toml_writer
    from tui_gen.catalog import Recipe
    from tui_gen.config import parse_toml
    from tui_gen.params import Param
    from tui_gen.report.records import Record
    from tui_gen.report.tables import recipe_header

    for end in ("\n", "\r", "\r\n", "\v", "\x1e", "\x85", "\u2028"):
        words = f"a{end}name = 'injected'{end}[train]{end}steps = 5"
        recipe = Recipe(f"r{end}x = 1", *[words] * 4, {}, "", source=words)
        assert parse_toml(recipe_header(recipe, Record()), "the header") == {}
        text = toml_writer.dump_toml({"a": 1}, {"a": Param("a", "int", help=words, unit=words)})
        assert parse_toml(text, "a config") == {"a": 1}
    _, out, _ = call("recipe", "evil")
    assert parse_toml(out, "the recipe")["name"] == "evil"


def test_json_says_it_in_escapes_that_read_back(run, call):
    _, out, _ = call("runs", "--json")
    [row] = json.loads(out)
    assert row["path"] == str(run) and row["name"] == hostile.TEXT


@pytest.mark.parametrize("words", [["attach", "RUN"], ["runs"]], ids=" ".join)
def test_nor_does_the_live_display_nor_a_summary_in_colour(run, screen, monkeypatch, words):
    from tui_gen.report import headless

    if words[0] == "attach":
        assert headless.attach(run, headless.Style()) in (1, 4)
    else:
        assert cli.main(words) == 0
    shown = screen.getvalue()
    assert "\x1b[" in shown and hostile.SHOWN in shown
    assert hostile.found_in(shown, drawn=True) == []


def test_a_reply_of_a_worker_is_clean_when_it_is_read(world):
    server = control.Server(control.socket_path("hostile"))
    answers = [{"error": hostile.TEXT}, {"trouble": hostile.TEXT, hostile.TEXT: [{"a": hostile.TEXT}], "n": 5}]

    def answer():
        server.inbox.get(timeout=30).refuse(answers[0]["error"])
        server.inbox.get(timeout=30).answer(b"\x1b", **answers[1])

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    with pytest.raises(control.ControlError) as refused:
        control.ask(server.path, "status")
    reply = control.ask(server.path, "status")
    thread.join(120)
    server.close()
    assert hostile.found_in(str(refused.value)) == [] and hostile.SHOWN in str(refused.value)
    assert hostile.found_in("".join(map(str, [*reply.data, *reply.data.values()]))) == []
    assert reply.data["n"] == 5 and reply.blob == b"\x1b"


async def test_no_pane_toast_or_dialog_of_the_workbench_lets_it_through(run, monkeypatch):
    monkeypatch.setattr(guard.Guard, "apply", lambda self, segments, background: segments)  # where texts come from
    seen = []

    def shown(app):
        words = screen_text(app)
        seen.append(words)
        assert hostile.found_in(words) == []
        return words

    async with workbench(monkeypatch, size=(110, 36), open_run=run) as (app, pilot):
        await until(pilot, lambda: app.view is not None and app.view.log, "the run")
        for name in ("models", "form", "losses", "samples", "runs", "log"):
            app.action_go_to_pane(name)
            app.action_maximise()
            await pilot.pause()
            shown(app)
            if name == "log":
                await pilot.press("o")
                await until(pilot, lambda: hostile.SHOWN in shown(app), "the worker's output")
            if name == "samples":
                await pilot.press("t", "k")
                await pilot.pause()
                shown(app)
            if name == "models":
                app.workspace.pane("models").query_one("#tree").action_cursor_up()
                await pilot.pause()
                shown(app)
            app.action_maximise()
        app.notices.tell(hostile.TEXT, "error")
        app.notify(hostile.TEXT, title=hostile.TEXT, markup=False)
        assert not hostile.found_in("".join(f"{one.title}{one.message}" for one in app._notifications))
        app.notices.say(hostile.TEXT)
        await until(pilot, lambda: hostile.SHOWN in shown(app).splitlines()[-2], "the status bar")
        from tui_gen.app.widgets import dialogs
        from tui_gen.params import Problem

        for made in (
            dialogs.ended_dialog(hostile.TEXT, hostile.TEXT, hostile.TEXT, [hostile.TEXT], None),
            dialogs.broken_dialog(hostile.TEXT, hostile.TEXT, remedy.smaller({hostile.TEXT: 0.5}, 3), None),
            dialogs.quit_dialog([(hostile.TEXT, "running")]),
            dialogs.problems_dialog(hostile.TEXT, [Problem(hostile.TEXT, hostile.TEXT, hostile.TEXT, hostile.TEXT)]),
        ):
            app.push_screen(made)
            await until(pilot, lambda made=made: app.screen is made and hostile.SHOWN in shown(app), "it")
            await pilot.press("escape")
        app.caption(hostile.TEXT)
        app.notices.fault_in(app.workspace.pane("log"), ValueError(hostile.TEXT))
        await pilot.pause()
        shown(app)
    assert sum(hostile.SHOWN in words for words in seen) > 8


def test_what_somebody_forgets_is_left_out_of_every_line_that_is_drawn():
    from rich.segment import ControlType, Segment
    from textual.color import Color

    control_code = Segment("\x1b[1A", None, [(ControlType.CURSOR_UP, 1)])
    given = [Segment("x\u0302 漢"), Segment(hostile.TEXT), control_code]
    plain, cleaned, kept = guard.Guard().apply(given, Color(0, 0, 0))
    assert plain == given[0] and kept is control_code
    assert not hostile.FORBIDDEN.search(cleaned.text) and "A" in cleaned.text
    assert guard.Guard().apply(given[:1], Color(0, 0, 0)) == given[:1]


# -- the one function


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("plain", "plain"),
        ("x\u0302\u0301 हिन्दी שָׁלוֹם", "x\u0302\u0301 हिन्दी שָׁלוֹם"),
        ("\u0301a", "a"),
        ("a" + "\u0301" * 20, "a" + "\u0301" * text.MARKS),
        ("a\tb\nc\r\nd\u2028e", "a b c d e"),
        ("a\u00a0b\u3000c", "a b  c"),
        ("\x1b[1;31mred\x1b[0m \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "red link"),
        ("\x9b2Ja\x90q\x9cb\x9d0;t\x07c", "abc"),
        ("a\x1b]0;never ends\nb", "a b"),
        ("a\x1b", "a"),
        ("a\u202eb\u2066c\u200f\u061cd\ufeffe", "abcde"),
        ("a\ud800b\x00", "ab"),
    ],
)
def test_clean_text_is_one_line_of_characters_that_print(given, kept):
    assert text.clean(given) == kept and text.clean(kept) == kept
    assert not hostile.FORBIDDEN.search(text.clean(hostile.TEXT * 3))


def test_the_ends_of_lines_become_what_was_asked_for():
    assert text.clean("one\ntwo", "\n") == "one\ntwo" and text.clean("one\ntwo", "↵") == "one↵two"
    assert text.clean("▲ é\r\n\x1b[31mtwo\x07\u2028three\x00", "\n") == "▲ é\ntwo\nthree"
    assert text.clean("one\ntwo") == "one two"


def test_lines_and_values_stay_what_they_are():
    assert text.clean_lines("a\x1b[K\n\tb\n") == ["a", "    b"] and text.clean_lines("") == [""]
    assert text.cleaned({"k\x07": ["a\nb\x1b[K", 5, None, {"x": "\x9b1m"}]}) == {"k": ["a\nb", 5, None, {"x": ""}]}
    assert text.clean("a\x1bb", escaped=True) == "a\\x1bb"


def test_what_does_not_print_reads_back_from_json_and_toml():
    import tomllib

    from tui_gen.params import quote

    for given in (hostile.TEXT, "\x7f\x9b\U000e0001\u2028é漢", "\x00\t\n\"\\"):
        assert json.loads(text.json_text({"a": given})) == {"a": given}
        assert text.json_text(given).isprintable()
        assert tomllib.loads(f"a = {quote(given)}") == {"a": given} and quote(given).isprintable()
    assert json.loads(text.json_text(["x\udcff"])) == ["x?"]
