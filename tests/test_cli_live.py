"""The live display on a real pty: what it shows, keys and signals, resizes, colours."""

import os
import re
import signal
from pathlib import Path

from tests import fake_cli, fake_worker
from tests.pty_terminal import PLAIN, Personality, PtyTerminal
from tests.waiting import wait_for, wait_until_listening
from tui_gen import launch, runs

RECIPE = "vae-digits"
DUMB = Personality("dumb", da1=None, term="dumb")


def only_run() -> Path:
    (row,) = runs.list_runs(runs.default_root())
    return Path(row.path)


def test_it_shows_state_place_losses_speed_and_ends_with_the_summary():
    command = fake_cli.command("--run", RECIPE, steps=400, rate=150, hold=300)
    with PtyTerminal(command, columns=110, rows=90) as terminal:
        terminal.wait_for_texts(
            RECIPE,
            re.compile(r"running +step \d+/400 \(\d+%\) epoch [\d.]+"),
            re.compile(r"vae/loss +[\d.]+ [↓→↑ ] +[▁▂▃▄▅▆▇█]+"),
            re.compile(r"150 it/s · 9\.6k images/s · cpu \(1 thread\) · mem 315 MB"),
            re.compile(r"ETA \d+ s"),
            "validation",
        )
        fake_worker.release(only_run())
        assert terminal.wait_exit() == 0
        screen = terminal.text()
        assert "finished at step 400/400" in screen and "samples at step 400" in screen and "go on" in screen
        assert "▀" in screen  # the grid as half-blocks
        assert "vae/loss" in screen and "┤" in screen
        assert not terminal.screen.cursor.hidden


def test_log_lines_go_above_and_markup_is_text():
    run = fake_worker.make_run(None, RECIPE, "name=[/red][bold]x")
    fake_worker.start(run, nan_at=30, rate=100)
    wait_until_listening(run)
    command = fake_cli.command("attach", "--plain")
    with PtyTerminal(command, columns=100, rows=30) as terminal:
        terminal.wait_for_text("a loss is not finite in vae/loss. Lower the learning rate.")
    command = fake_cli.command("--run", str(run), nan_at=30, rate=100)
    with PtyTerminal(command, columns=100, rows=30) as terminal:
        terminal.wait_for_text("error: step 31: a loss is not finite in vae/loss. Lower the learning rate.")
        terminal.wait_for_text("[/red][bold]x")
        terminal.press("ctrl+c", "ctrl+c")
        terminal.wait_exit()
    launch.ask_run(run, "stop")


def test_ctrl_c_once_stops_with_a_checkpoint():
    with PtyTerminal(fake_cli.command("--run", RECIPE), columns=100, rows=90) as terminal:
        terminal.wait_for_text("vae/loss")
        terminal.press("ctrl+c")
        assert terminal.wait_exit() == 3
        screen = terminal.text()
        assert "stopping with a checkpoint" in screen and "stopped at step" in screen
    assert runs.state_of(only_run())[0] == "stopped"


def test_ctrl_c_twice_ends_it_at_once():
    with PtyTerminal(fake_cli.command("--run", RECIPE), columns=100, rows=50) as terminal:
        terminal.wait_for_text("vae/loss")
        os.kill(runs.worker_of(only_run()).pid, signal.SIGSTOP)  # it will not get to the request
        terminal.press("ctrl+c")
        terminal.wait_for_text("Ctrl-C again")
        terminal.press("ctrl+c")
        assert terminal.wait_exit() == 130
    assert runs.state_of(only_run())[0] == "interrupted"


def test_closing_the_terminal_does_not_touch_the_run():
    terminal = PtyTerminal(fake_cli.command("--run", RECIPE, steps=300, rate=150))
    terminal.wait_for_text("vae/loss")
    run = only_run()
    terminal.close()
    wait_for(lambda: runs.state_of(run)[0] == "finished", what="the end of the run")
    assert runs.state_of(run)[1] == 300
    assert terminal.process.wait(120) == 0  # it was followed to its end, into nowhere


def test_sigkill_of_the_command_does_not_touch_the_run():
    with PtyTerminal(fake_cli.command("--run", RECIPE, steps=300, rate=150)) as terminal:
        terminal.wait_for_text("vae/loss")
        terminal.process.send_signal(signal.SIGKILL)
        run = only_run()
        wait_for(lambda: runs.state_of(run)[0] == "finished", what="the end of the run")


def test_a_terminal_that_blocks_does_not_hold_the_run():
    with PtyTerminal(fake_cli.command("--run", RECIPE, steps=2000, rate=1000), columns=100, rows=50) as terminal:
        terminal.wait_for_text("vae/loss")
        terminal.block()
        run = only_run()
        wait_for(lambda: runs.state_of(run)[0] == "finished", what="the end of the run")
        terminal.unblock()
        terminal.wait_for_text("finished at step 2,000")
        assert terminal.wait_exit() == 0


def test_resizing_and_tiny_windows_are_fine():
    with PtyTerminal(fake_cli.command("--run", RECIPE), columns=100, rows=30) as terminal:
        terminal.wait_for_text("vae/loss")
        terminal.resize(40, 8)
        step = runs.state_of(only_run())[1]
        wait_for(lambda: runs.state_of(only_run())[1] > step + 50, what="steps after the resize")
        terminal.wait_for_text("vae-digits")
        terminal.resize(120, 40)
        terminal.wait_for_text(re.compile(r"running +step \d+"))
        terminal.press("ctrl+c")
        assert terminal.wait_exit() == 3


def test_without_colour_and_on_a_dumb_terminal():
    env = {"NO_COLOR": "1"}
    with PtyTerminal(fake_cli.command("--run", RECIPE, steps=50), columns=100, rows=70, env=env) as terminal:
        assert terminal.wait_exit() == 0
        screen = terminal.text()
        assert "go on" in screen and "▀" not in screen
        assert re.search(r"^ *[.:=+*#%@-]{6,}", screen, re.MULTILINE)
    command = fake_cli.command("--run", RECIPE, steps=50)
    with PtyTerminal(command, columns=100, rows=70, personality=DUMB) as terminal:
        assert terminal.wait_exit() == 0
        assert "go on" in terminal.text()
        assert not any(kind for kind in terminal.strings.values())


def test_plain_on_a_terminal_writes_lines():
    command = fake_cli.command("--run", RECIPE, "--plain", "--every", "0.1", steps=100)
    with PtyTerminal(command, columns=200, rows=120, personality=PLAIN) as terminal:
        assert terminal.wait_exit() == 0
        assert re.search(r"\d\d:\d\d:\d\d step \d+/100 .*vae/loss", terminal.text())


def test_without_a_terminal_the_workbench_says_what_to_do():
    done = fake_cli.run()
    assert done.returncode == 2 and "--run vae-digits" in done.stderr and len(done.stderr.splitlines()) == 1
    with PtyTerminal(fake_cli.command(), personality=DUMB) as terminal:
        terminal.wait_for_text("the workbench needs a terminal")
        assert terminal.wait_exit() == 2


def test_delete_asks():
    run = fake_worker.record(fake_worker.make_run(), steps=60)
    for answer, there in (("n", True), ("y", False)):
        with PtyTerminal(fake_cli.command("delete", run.name), columns=120) as terminal:
            terminal.wait_for_text("[y/N]")
            terminal.send(f"{answer}\r")
            terminal.wait_exit()
        assert run.exists() == there


def test_ctrl_c_before_there_is_a_run_leaves_nothing(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(fake_cli.ROOT)]))
    code = (
        "import signal, sys; from tui_gen import launch, cli\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # whatever the tests' own parent ignores
        "launch.WarmWorker.alive, launch.WarmWorker.spawn = True, lambda self: None\n"
        "launch.WarmWorker.ready = property(lambda self: print('waiting', flush=True))\n"  # which is none
        f"sys.exit(cli.main(['--run', {RECIPE!r}]))"
    )
    with PtyTerminal([fake_cli.command()[0], "-c", code]) as terminal:
        terminal.wait_for_text("waiting")
        terminal.press("ctrl+c")
        assert terminal.wait_exit() == 130
        assert "no run directory" in terminal.text()
    assert runs.list_runs(runs.default_root()) == []
