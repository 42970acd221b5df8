"""Makes the panes. Imported after the first paint: half of them need numpy."""

from __future__ import annotations

from tui_gen.app.form_pane import FormPane
from tui_gen.app.log_pane import LogPane
from tui_gen.app.losses_pane import LossesPane
from tui_gen.app.models_pane import ModelsPane
from tui_gen.app.pane import Pane
from tui_gen.app.runs_pane import RunsPane
from tui_gen.app.samples_pane import SamplesPane
from tui_gen.app.session import Session


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
