"""Makes the panes. Imported after the first paint: half of them need numpy."""

from __future__ import annotations

from tui_gen.app.panes.base import Pane
from tui_gen.app.panes.form.pane import FormPane
from tui_gen.app.panes.log import LogPane
from tui_gen.app.panes.losses.pane import LossesPane
from tui_gen.app.panes.models import ModelsPane
from tui_gen.app.panes.runs import RunsPane
from tui_gen.app.panes.samples.pane import SamplesPane
from tui_gen.app.steering.session import Session


def make(name: str, session: Session) -> Pane:
    """The pane with this id."""
    match name:
        case "models":
            return ModelsPane(session.catalog, id=name)
        case "form":
            return FormPane(session.catalog, id=name)
        case "losses":
            return LossesPane(id=name)
        case "samples":
            return SamplesPane(id=name)
        case "log":
            return LogPane(id=name)
        case _:
            return RunsPane(session.root, id=name)
