"""The commands that look: runs, attach, stop, sample, models, recipes, datasets, recipe, delete, export."""

import csv
import json
import os
import shutil
import socket
import sys

import msgspec

from tests import fake_cli, fake_worker, form_host
from tests.waiting import wait_until_listening
from tui_gen import catalog as catalogs
from tui_gen import children, cli, columns, events, launch, runs
from tui_gen import config as configs
from tui_gen.report import exports, headless
from tui_gen.report.commands import COMMANDS, Command


def test_runs_of_every_state(call):
    assert call("runs") == (0, "", f"no runs in {runs.default_root()}; start one with tui-gen --run vae-digits\n")
    made = {}
    for state in ("finished", "stopped", "failed"):
        made[state] = fake_worker.record(fake_worker.make_run(), steps=60, state=state)
    made["interrupted"] = fake_worker.make_run(None, "vae-digits", "name=bold")
    fake_worker.record(made["interrupted"], steps=60, state="running")
    gone = runs.WorkerInfo(pid=os.getpid(), host=socket.gethostname(), started="before", socket="")
    (made["interrupted"] / "worker.json").write_bytes(msgspec.json.encode(gone))
    process = fake_worker.start(live := fake_worker.make_run())
    process.poll()
    wait_until_listening(live)
    (live / "bogus").mkdir()
    (runs.default_root() / "no-run").mkdir()
    status, out, _ = call("runs")
    assert status == 0 and "\x1b" not in out
    rows = {line.split()[-1]: line.split()[0] for line in out.splitlines()[1:]}
    assert rows == {path.name: state for state, path in made.items()} | {live.name: rows[live.name]}
    assert rows[live.name] in ("starting", "running")
    assert "60/20,000" in out and "vae" in out and "digits" in out and "ago" in out
    status, out, _ = call("runs", "--json")
    found = {row["path"]: row for row in json.loads(out)}
    assert found[str(live)]["live"] is True and found[str(made["failed"])]["live"] is False
    launch.ask_run(live, "stop")
    process.wait(120)


def test_runs_elsewhere_and_options_before_or_after(call, tmp_path):
    run = fake_worker.record(fake_worker.make_run(tmp_path / "other"), steps=60)
    for arguments in (["runs", "--runs", str(tmp_path / "other")], ["--runs", str(tmp_path / "other"), "runs"]):
        status, out, _ = call(*arguments)
        assert status == 0 and run.name in out


def test_stop_live_runs(call):
    made = [fake_worker.make_run() for _ in range(3)]
    processes = [fake_worker.start(run) for run in made]
    for run in made:
        wait_until_listening(run)
    status, out, _ = call("stop", made[0].name)
    assert status == 0 and f"{made[0].name}: stopped at step" in out and "with a checkpoint" in out
    assert list((made[0] / "checkpoints").iterdir())
    shutil.rmtree(next((made[0] / "checkpoints").iterdir()))
    assert "0 of 1 checkpoint kept" in call("runs", made[0].name)[1]
    status, out, _ = call("stop", "--all", "--no-checkpoint")
    assert status == 0 and out.count("stopped at step") == 2 and not list((made[1] / "checkpoints").iterdir())
    assert not any(row.live for row in runs.list_runs(runs.default_root()))
    status, out, err = call("stop", made[0].name)
    assert status == 1 and "is not training: stopped at step" in err
    assert call("stop", "--all")[0] == 0
    for process in processes:
        assert process.wait(120) == 0


def test_runs_that_are_missing_or_ambiguous(call):
    status, _, err = call("stop", "nothing")
    assert status == 2 and "no runs in" in err and len(err.splitlines()) == 1
    first, second = (fake_worker.record(fake_worker.make_run(), steps=60) for _ in range(2))
    for command in (["attach", "vae-digits"], ["sample", "vae-digits"], ["delete", "vae-digits", "--yes"]):
        status, _, err = call(*command)
        assert status == 2 and first.name in err and second.name in err, err
    status, _, err = call("stop", first.name[:-1] + "_")
    assert status == 2 and f"did you mean {first.name!r}?" in err


def test_a_command_that_there_is_not_is_named_as_it_was_typed(call):
    names = {"rnus": "'rnus' (did you mean 'runs'?)", "it's": '"it\'s"', "a (choose from b": "'a (choose from b'"}
    for word, said in names.items():
        status, out, err = call(word)
        assert (status, out) == (2, "") and err.startswith(f"tui-gen: no such command {said}")


def test_an_empty_name_is_no_run_s(call):
    run = fake_worker.record(fake_worker.make_run())
    for words in ("delete --yes", "stop", "sample", "--resume", "--run vae-digits --name"):
        status, out, err = call(*words.split(), "")
        assert (status, out) == (2, "") and "the name is empty" in err, words
    assert runs.is_run(run) and runs.list_runs(run.parent)[0].path == str(run)


def test_delete(call, monkeypatch):
    run = fake_worker.record(fake_worker.make_run(), steps=60)
    status, _, err = call("delete", run.name)
    assert status == 2 and "--yes" in err and run.exists()
    process = fake_worker.start(live := fake_worker.make_run())
    wait_until_listening(live)
    status, _, err = call("delete", "--yes", run.name, live.name)
    assert status == 2 and "still training" in err and run.exists() and live.exists()
    launch.ask_run(live, "stop")
    process.wait(120)
    status, out, _ = call("delete", "--yes", run.name, live.name)
    assert status == 0 and out.count("deleted") == 2 and not run.exists() and not live.exists()


def test_export_has_a_row_a_step(call, tmp_path):
    run = fake_worker.record(fake_worker.make_run(), steps=60)
    status, out, _ = call("export", run.name)
    rows = list(csv.DictReader(out.splitlines()))
    assert status == 0 and [row["step"] for row in rows] == [str(step) for step in range(60)]
    assert rows[0]["val/vae/loss"] == "" and float(rows[59]["val/vae/loss"]) > 0 and float(rows[7]["vae/kl"])
    status, out, _ = call("export", run.name, "--csv", str(tmp_path / "a.csv"))
    assert status == 0 and out == "" and len((tmp_path / "a.csv").read_text().splitlines()) == 61
    status, _, err = call("export", "--csv", str(tmp_path / "no" / "a.csv"))
    assert status == 2 and "cannot write" in err


def test_export_has_every_value_of_a_log_that_is_followed_in_part(call, monkeypatch):
    monkeypatch.setattr(headless, "POINTS", 1000)
    run = fake_worker.make_run()
    steps, value = range(5000), 0.1
    column = columns.column(step + value for step in steps)
    story = [
        events.Metrics(start=0, values={"vae/loss": column}),
        events.Metrics(start=4999, values={"val/vae/loss": [1e-30]}),
        events.Metrics(start=7000, stride=500, values={"late": [None, 1e20]}),
    ]
    (run / "events.jsonl").write_bytes(b"".join(map(events.encode, story)))
    assert len(headless.drained(run).series["vae/loss"]) <= 1000
    status, out, _ = call("export", run.name)
    rows = list(csv.DictReader(out.splitlines()))
    assert status == 0 and [int(row["step"]) for row in rows] == [*steps, 7000, 7500]
    assert [row["vae/loss"] for row in rows] == [f"{step}.1" for step in steps] + ["", ""]
    assert rows[4999]["val/vae/loss"] == "1e-30" and [row["late"] for row in rows[-2:]] == ["", "1e+20"]


def test_a_table_that_is_not_what_was_written_does_not_take_its_place(call, tmp_path, monkeypatch):
    from tui_gen.report.exports import csv as table

    run, target = fake_worker.record(fake_worker.make_run(), steps=60), tmp_path / "a.csv"
    order, real = exports.Order(run), table.write
    real(order, target)
    table.check(order, target)
    whole = target.read_bytes()
    lines = whole.splitlines(keepends=True)
    for broken in (whole[:-1000], b"".join(lines[:-1]), b"".join([*lines, lines[-1]]), lines[0], b"", b"x" + whole):
        monkeypatch.setattr(table, "write", lambda order, target, broken=broken: target.write_bytes(broken))
        status, _, err = call("export", run.name, "--csv", str(target))
        assert status == 2 and "is not what was written" in err and target.read_bytes() == whole


def test_models(call):
    status, out, _ = call("models")
    assert status == 0 and all(name in out for name in ("vae", "gan", "ddpm", "diffusion"))
    status, out, _ = call("models", "vae")
    entry = catalogs.ensure().models["vae"]
    assert status == 0 and all(f"model.{param.name} = " in out for param in entry.params)
    assert "vae-digits" in out and "live" in out and entry.reference.split(",")[0] in out
    status, _, err = call("models", "vea")
    assert status == 2 and "did you mean 'vae'?" in err


def test_datasets(call):
    status, out, _ = call("datasets")
    assert status == 0 and {line.split()[0] for line in out.splitlines()[1:]} == set(catalogs.read().datasets)
    status, out, _ = call("datasets", "celeba")
    assert status == 0 and "smiling" in out and "64×64 RGB" in out
    assert call("datasets", "mnits")[0] == 2


def test_recipes_and_a_complete_commented_one(call, tmp_path):
    status, out, _ = call("recipes")
    catalog = catalogs.ensure()
    assert status == 0 and {line.split()[0] for line in out.splitlines()[1:]} == set(catalog.recipes)
    for name in catalog.recipes:
        status, out, _ = call("recipe", name)
        assert status == 0
        file = tmp_path / "my.toml"
        file.write_text(out)
        assert catalogs.resolve(str(file), catalog) == catalogs.resolve(name, catalog)
        assert catalog.recipes[name].title in out.splitlines()[0]
        lines = [line for line in out.splitlines() if "=" in line and not line.startswith("#")]
        assert sum("  # " in line for line in lines) >= len(lines) - 2  # `format` and the model's name
    assert "adam, adamw" in out and "[train]" in out
    status, _, err = call("recipe", "vae-digit")
    assert status == 2 and "did you mean 'vae-digits'?" in err


def test_a_model_that_no_recipe_names_has_a_complete_config_too(call, tmp_path, monkeypatch):
    catalog = form_host.catalog()
    monkeypatch.setattr(headless, "ensured", lambda *_: catalog)
    status, out, _ = call("recipe", form_host.ODD.name)
    file = tmp_path / "mine.toml"
    file.write_text(out)
    config = catalogs.resolve(str(file), catalog)
    assert status == 0 and config == catalogs.resolve(form_host.ODD.name, catalog)
    assert config.name == config.model.name == form_host.ODD.name and config.train.steps > 0
    assert catalog.datasets[config.dataset.name].kind in form_host.ODD.kinds
    assert out.startswith("# odd: Odd") and "No recipe names this model" in out
    status, _, err = call("recipe", "od")
    assert status == 2 and "no recipe or model 'od'; did you mean 'odd'?" in err


def test_sample_asks_a_process_of_its_own(call, tmp_path, monkeypatch):
    from PIL import Image

    run = fake_worker.record(fake_worker.make_run(), steps=60)
    asked = []

    def fake(command, **more):
        asked.append(command)
        target = command[command.index("-o") + 1]
        Image.new("L", (32, 32), 200).save(target)
        return children.subprocess.CompletedProcess(command, 0, f"{target}\n", "")

    monkeypatch.setattr(children.subprocess, "run", fake)
    target = tmp_path / "g.png"
    options = ["--seed", "3", "--step", "60", "--label", "7", "--device", "cpu"]
    status, out, _ = call("sample", run.name, "-n", "9", "-o", str(target), *options)
    assert status == 0 and out == f"{target}\n"
    assert asked[0][1:] == [
        "-P", "-m", "tui_gen.train.offline.sample", str(run), "-n", "9", "-o", str(target), *options,
    ]  # fmt: skip
    for words, told in (
        ("noise\nerror: no checkpoint of step 7\n", "no checkpoint of step 7"),
        ("noise\nerror: a.toml: 2 problems\n  a: no\n  b: no\n", "a.toml: 2 problems\n  a: no\n  b: no"),
        ('noise\nTraceback (most recent call last):\n  File "x", line 1\nKeyError: 1\n', "KeyError: 1"),
        ("its last words\n", "its last words"),
        ("", "no samples were made"),
    ):
        failed = children.subprocess.CompletedProcess([], 1, "", words)
        monkeypatch.setattr(children.subprocess, "run", lambda *_, failed=failed, **__: failed)
        assert call("sample", run.name) == (1, "", f"tui-gen: {told}\n")
    passed_over = children.subprocess.CompletedProcess([], 0, f"{target}\n", "noise\nwarning: 000060 is damaged\n")
    monkeypatch.setattr(children.subprocess, "run", lambda *_, **__: passed_over)
    assert call("sample", run.name, "-o", str(target)) == (0, f"{target}\n", "warning: 000060 is damaged\n")
    status, _, err = call("sample", run.name, "-n", "0")
    assert status == 2 and "1 to 100000" in err


def test_samples_of_text_are_printed_and_named_as_text(call, tmp_path, monkeypatch):
    run = fake_worker.record(fake_worker.make_run(), steps=60)
    target = tmp_path / "my text.txt"

    def fake(command, **more):
        target.write_text("once upon\n[bold]a time\n")
        return children.subprocess.CompletedProcess(command, 0, f"a library's own line\n{target}\n", "")

    monkeypatch.setattr(children.subprocess, "run", fake)
    for asked in ("my text.png", "my text.txt"):
        status, out, _ = call("sample", run.name, "-n", "2", "-o", str(tmp_path / asked))
        assert status == 0 and out == f"once upon\n[bold]a time\n{target}\n"


def test_an_unexpected_fault_is_one_line_and_a_file(call, monkeypatch):
    def broken(root):
        raise ZeroDivisionError("a fault\nof ours")

    monkeypatch.setattr(runs, "list_runs", broken)
    status, _, err = call("runs")
    assert status == 1 and len(err.splitlines()) == 1 and "ZeroDivisionError: a fault of ours" in err
    name = err.rsplit(" in ", 1)[1].strip().rstrip(")")
    with open(name, encoding="utf-8") as file:
        assert "Traceback" in file.read()


def test_output_into_a_closed_pipe_is_quiet():
    code = "import sys, os; os.close(1); sys.exit(__import__('tui_gen.cli', fromlist=['main']).main(['datasets']))"
    done = fake_cli.subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    reader = fake_cli.subprocess.run(
        ["sh", "-c", f"{sys.executable} -m tui_gen recipe vae-digits | head -n 1"],
        capture_output=True, text=True, check=False, cwd=fake_cli.ROOT,
    )  # fmt: skip
    assert reader.stderr == "" and reader.stdout.startswith("# vae-digits")


def test_help_names_every_command_and_exit_status(call):
    status, out, _ = call("--help")
    assert status == 0 and all(f"    {name} " in out for name, *_ in COMMANDS)
    assert all(word in out for word in ("examples:", "exit status:", "130", "143", "--run vae-digits"))
    assert cli.main(["stop", "--help"]) == 0


def test_a_command_is_a_row_and_a_file(call, tmp_path, monkeypatch):
    (tmp_path / "shouting.py").write_text(
        "def options(parser):\n    parser.add_argument('--words', default='')\n"
        "def run(args, root):\n    print(args.words.upper(), root)\n    return 7\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(cli, "COMMANDS", [*COMMANDS, Command("shout", "say it loudly", "shouting")])
    assert "    shout               say it loudly\n" in call("--help")[1] and "shouting" not in sys.modules
    assert call("--runs", "/r", "shout", "--words", "hear me") == (7, "HEAR ME /r\n", "")
    assert "Say it loudly.\n" in call("shout", "--help")[1]
    assert "no such command 'shuot' (did you mean 'shout'?)" in call("shuot")[2]
    assert "no such option --wrods (did you mean '--words'?)" in call("shout", "--wrods", "x")[2]


def test_a_command_s_file_is_imported_when_it_is_called():
    for words, wanted in ((["--help"], set()), (["stop", "--help"], {"stop"})):
        code = f"import sys; from tui_gen.cli import main; main({words}); print('', *sorted(sys.modules))"
        done = fake_cli.subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        start = "tui_gen.report.commands."
        loaded = {name.removeprefix(start) for name in done.stdout.split() if name.startswith(start)}
        assert loaded - {"options", "live"} == wanted, words  # what several of them share


def test_edits_survive_being_written_to_a_config():
    catalog = catalogs.read()
    tables = configs.to_tables(catalogs.resolve("vae-digits", catalog))
    tables["edits"] = [{"step": 5, "key": "model.beta", "value": 2.0}]
    config = configs.load(tables, catalog)
    assert configs.load(configs.parse_toml(configs.dumps(config, catalog), "x"), catalog) == config


def test_a_seed_is_one_before_anything_is_started(call):
    for command in ("sample", "walk", "quality", "verify-resume", "sweep"):
        for words in ("1e3", "x", "9" * 30, ""):
            status, out, err = call(command, "vae-digits", "--seed", words)
            assert (status, out) == (2, "") and f"'{words}' is not a seed, a whole number from 0" in err
            assert err.endswith(f"see tui-gen {command} --help\n")
