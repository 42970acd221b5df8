"""A run directory with its loop in a thread of this process, and a client's view of it."""

from __future__ import annotations

import threading

from tests import small_runs
from tui_gen import config as configs
from tui_gen import control, runs
from tui_gen.log import event_log
from tui_gen.train.run.loop import RunLoop
from tui_gen.view import RunView


class Run:
    """A run directory with its loop in a thread of this process, and a client's view of it."""

    def __init__(self, root, family="vae", resume=False, path=None, tables=None, **overrides):
        self.path = path or small_runs.make_run(root, family, **overrides)
        self.trainer = small_runs.trainer(family, tables, **overrides)
        self.writer = event_log.EventWriter(self.path / "events.jsonl")
        self.server = control.Server(control.socket_path(str(self.path)), id="the run")
        known = configs.keys(self.trainer.config.model.name, self.trainer.config.dataset.name, small_runs.built()[0])
        self.loop = RunLoop(self.path, self.trainer, self.writer, known, self.server)
        runs.register(self.path, self.server.path, self.server.id)
        if resume:
            self.loop.resume()
        self.thread = threading.Thread(target=self.loop.run, daemon=True)
        self.view = RunView(self.path)

    def ask(self, op, **fields):
        return control.ask(self.server.path, op, **fields)

    def finish(self):
        self.thread.join(120)
        assert not self.thread.is_alive()
        self.server.close()
        self.writer.close()
        self.view.poll()
        return self.view


def all_ended(made: list[Run]) -> None:
    """Stop what a test left running."""
    for run in made:
        if run.thread.is_alive():
            run.loop.asked_to_stop = "the test is over"
            run.thread.join(120)
        run.server.close()
