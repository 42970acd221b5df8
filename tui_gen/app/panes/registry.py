"""The panes of the workbench, one row each: what it is called, which key shows it, its class, and where it stands.

Another pane is a file with its class and a row here. The first frame is drawn from the rows alone; the classes are
imported after it, as half of them need numpy.
"""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """The slot of a pane in each shape of the workspace (see `shell.arrangement`); panes of one slot share it by tabs.

    Where one pane at a time fits, all share the only slot.
    """

    wide: str = "bottom"
    medium: str = "bottom"
    tall: str = "bottom"


class Row(NamedTuple):
    """A pane: its id, its title, the digit that shows it (empty for none), where its class is, and its place.

    Where `watches`, a run is looked at in it: it comes on screen with a run that is opened. Where `edits`, the next
    run is put together in it: it is folded away while a run is watched. Where its place has fewer than `least` rows,
    its frame among them, there is nothing to be seen in it, and it is opened over all the others.
    """

    id: str
    title: str
    key: str
    source: str
    place: Place
    watches: bool = False
    edits: bool = False
    least: int = 0


PANES: list[Row] = [
    Row(
        "models", "Models", "1", "tui_gen.app.panes.models:ModelsPane", Place("top-left", "top-left", "top"), edits=True
    ),
    Row(
        "form",
        "Hyperparameters",
        "2",
        "tui_gen.app.panes.form.pane:FormPane",
        Place("middle", "bottom-left", "top"),
        edits=True,
    ),
    Row("losses", "Losses", "3", "tui_gen.app.panes.losses.pane:LossesPane", Place("top-right", "top-right"), True),
    Row(
        "samples",
        "Samples",
        "4",
        "tui_gen.app.panes.samples.pane:SamplesPane",
        Place("bottom-right", "bottom-right"),
        True,
    ),
    Row("log", "Log", "5", "tui_gen.app.panes.log:LogPane", Place()),
    Row("runs", "Runs", "6", "tui_gen.app.panes.runs.pane:RunsPane", Place("bottom-left", "bottom", "top")),
    Row("system", "System", "7", "tui_gen.app.panes.system.pane:SystemPane", Place()),
    Row("explore", "Explore", "8", "tui_gen.app.panes.explore.pane:ExplorePane", Place(), least=14),
    Row("network", "Network", "9", "tui_gen.app.panes.network.pane:NetworkPane", Place()),
    Row("data", "Data", "0", "tui_gen.app.panes.data.pane:DataPane", Place(), least=12),
    Row("edits", "Edits", "", "tui_gen.app.panes.edits.pane:EditsPane", Place()),
    Row("compare", "Compare", "", "tui_gen.app.panes.compare.pane:ComparePane", Place(), least=12),
    Row("queue", "Queue", "", "tui_gen.app.panes.queue.pane:QueuePane", Place()),
    Row("sweeps", "Sweeps", "", "tui_gen.app.panes.sweeps.pane:SweepsPane", Place()),
]
"""In the order of their keys."""


def row(id: str | None) -> Row | None:
    """The row of the pane with this id."""
    return next((row for row in PANES if row.id == id), None)
