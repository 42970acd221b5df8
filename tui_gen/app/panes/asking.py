"""What panes ask for of runs: messages that the workbench answers."""

from __future__ import annotations

from pathlib import Path

from textual.message import Message


class RunOpened(Message):
    """A run was chosen to be shown."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path


class RunResumeAsked(RunOpened):
    """A run that ended is to go on."""


class RunsAsked(Message):
    """Something is to be done with runs: `stop`, `resume`, `delete`, `star`, `tag`, `note`, `rename`, `details`,
    `folder`, `export` or `replay`.

    A note is on a `step`, or on a `sample` (a file, named from the run's folder), where that is given.
    """

    def __init__(self, what: str, paths: list[Path], step: int | None = None, sample: str = "") -> None:
        super().__init__()
        self.what, self.paths, self.step, self.sample = what, paths, step, sample


class ForkAsked(Message):
    """A new run is to go on from a step of this one; from its newest checkpoint where no step is said."""

    def __init__(self, path: Path, step: int | None = None) -> None:
        super().__init__()
        self.path, self.step = path, step
