"""The Network pane: the layers of what the form shows, whether a batch fits into memory, and what a length means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tui_gen.app.panes.form.asking import AskingPane
from tui_gen.draw.spark import bar
from tui_gen.lines import aligned
from tui_gen.quantities import count, several, size
from tui_gen.states import VERDICTS, themed
from tui_gen.text import clean
from tui_gen.verdicts.network import Network, length_words, memory_words

if TYPE_CHECKING:
    from textual import events

    from tui_gen.sheet import DataSheet

BANDS = {
    "SAFE": (VERDICTS["good"], "it fits"),
    "TIGHT": (VERDICTS["watch"], "it may not fit beside anything else"),
    "TOO BIG": (VERDICTS["bad"], "it will not fit"),
}
"""How a batch fits into the memory: what that looks like, and what it means."""
BAR = 12
FITS = {"fit": "batch_size", "accumulate": "accumulate"}
"""Actions that put what fits into the form, and the setting of `[train]` that each sets."""


class NetworkPane(AskingPane):
    """Shows what the settings in the form, be they the next run's or those of the run shown, train and take."""

    ASKS, WAITING = "network", "Measuring; a worker loads PyTorch for that…"
    HELP = """
## Network

The layers of the model that the form shows, the next run's or that of the run which is shown: the shape of what each
puts out for one example, its parameters and their share.

Above them: the memory that training takes with the chosen batch, **SAFE** up to 70 % of what there is, **TIGHT** up to
95 %, else **TOO BIG**; and how many epochs the chosen steps are. All of it is measured on a few made-up examples
before anything is trained; real use varies by some tenths.

- **f** puts the largest power of two that is SAFE into the form, at most an eighth of an epoch
- **a** leaves the batch as it is, and has it computed in as many micro-batches as make it SAFE (`train.accumulate`):
  the same step but for batch statistics, in less memory and a little more time
"""
    DEFAULT_CSS = """
    NetworkPane > #head { height: auto; padding: 0 1; }
    NetworkPane > VerticalScroll { padding: 0 1; scrollbar-size-vertical: 1; }
    """
    BINDINGS = [
        Binding("f", "fit", "Fit the batch", id="network.fit"),
        Binding("a", "accumulate", "Fit the parts", id="network.accumulate"),
    ]

    def __init__(self, *, id: str | None = "network", classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.network: Network | None = None
        self._measured: dict[str, Any] = {}
        """Those settings that it was measured for, but those that say how a batch is computed."""
        self._words = ""

    def compose(self) -> ComposeResult:
        """What holds for all, and the table."""
        yield Static("Waiting for the settings of the form.", id="head", markup=False)
        with VerticalScroll():
            yield Static("", id="layers", markup=False)

    def show_answer(self, answer: Network | DataSheet | None, words: str) -> None:
        """Show a network, or why there is none."""
        self.network, self._words = answer if isinstance(answer, Network) else None, words
        self._measured = _but_fits(self.tables)
        self._draw()

    def on_resize(self, event: events.Resize) -> None:
        """Lay the table out anew."""
        if self.network is not None:
            self._draw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What fits can be put into the form of the next run, where it is known."""
        if action in FITS:
            form = self.form
            return True if form is not None and form.state is form.draft and self._fitting(action) else None
        return super().check_action(action, parameters)

    def _fitting(self, action: str) -> int:
        """The batch, or the number of its parts, that an action would put into the form; 0 where there is none, where
        it stands there, and where the form says otherwise what is trained than when it was measured."""
        form = self.form
        tables = form.state.tables() if form is not None else {}
        if self.network is None or _but_fits(tables) != self._measured:
            return 0
        size, parts = _sizes(tables)
        best = self.network.best_batch() if action == "fit" else self.network.best_parts(size)
        return best if best != (size if action == "fit" else parts) else 0

    @property
    def sizes(self) -> tuple[int, int]:
        """Examples in a batch, and the micro-batches that it is computed in."""
        return _sizes(self.tables)
    def action_fit(self) -> None:
        """Put the largest batch that is safe into the form."""
        self._put("fit")

    def action_accumulate(self) -> None:
        """Put as many parts into the form as make its batch safe."""
        self._put("accumulate")

    def _put(self, action: str) -> None:
        form = self.form
        if form is not None and self.check_action(action, ()):
            form.put(f"train.{FITS[action]}", str(self._fitting(action)))

    def label(self, words: str, action: str) -> str:
        """What would be put into the form."""
        if action in FITS and (best := self._fitting(action)):
            return f"{FITS[action]} = {best}"
        return words

    def _tell(self, words: str) -> None:
        self.query_one("#head", Static).update(Content(clean(words)))

    def _draw(self) -> None:
        layers, form = self.query_one("#layers", Static), self.form
        network, train = self.network, self.tables.get("train", {})
        if network is None or form is None:
            self._tell(self._words)
            layers.update("")
            self.set_title()
            return
        model = clean(str(self.tables.get("model", {}).get("name", "")))
        self.set_title(model + ("" if form.state is form.draft else ", the run's"))
        batch, parts = self.sizes
        frozen_count = network.parameters - network.trained
        frozen_words = f", {count(frozen_count)} of them frozen" if frozen_count else ""
        total = f"{count(network.parameters)} parameters{frozen_words}"
        rest = f" in {several(len(network.layers), 'layer')} · {size(network.weights)}"
        lines = [Content.assemble((total, "bold"), rest)]
        band = network.fits(batch, parts)
        memory = memory_words(network, batch, parts)
        if band:
            look, meaning = BANDS[band]
            sign = f"{look.sign} {band}", f"bold {themed(look.tone)}"
            lines.append(Content.assemble(sign, f" {meaning}: {memory}"))
        else:
            lines.append(Content(f"Memory: {memory}; nobody tells how much there is"))
        lines.append(Content(length_words(train, self._steps_per_epoch(network, batch))))
        self.query_one("#head", Static).update(Content("\n").join(line for line in lines if line.plain))
        layers.update(Content("\n").join(rows(network)))

    def _steps_per_epoch(self, network: Network, batch: int) -> int | None:
        form = self.form
        if form is not None and form.state is not form.draft and self.view is not None and self.view.plan is not None:
            return max(1, self.view.plan.steps_per_epoch)
        return max(1, network.examples // batch) if network.examples else None


def _sizes(tables: dict[str, Any]) -> tuple[int, int]:
    train = tables.get("train", {})
    size, parts = (value if isinstance(value := train.get(key), int) else 1 for key in FITS.values())
    return size, max(1, min(size, parts))


def _but_fits(tables: dict[str, Any]) -> dict[str, Any]:
    """Settings without those that an action here sets."""
    train = {key: value for key, value in tables.get("train", {}).items() if key not in FITS.values()}
    return {**tables, "train": train}


def rows(network: Network) -> list[Content]:
    """The table of layers: name, kind, shape of the output, parameters, share."""
    lines: list[tuple[str, ...]] = [("layer", "kind", "output", "parameters", "share")]
    for layer in network.layers:
        shape = "×".join(map(str, layer.shape)) or "–"
        share = layer.parameters / network.parameters if network.parameters else 0.0
        lines.append((clean(layer.name), clean(layer.kind), shape, count(layer.parameters), f"{share:>6.1%}"))
    head, *body = aligned(lines)
    table = [Content.styled(head, "$quiet")]
    for line, layer in zip(body, network.layers):
        share_bar = bar(layer.parameters / network.parameters if network.parameters else 0.0, BAR)
        table.append(Content.assemble(line, " ", (share_bar, "$text-primary")))
    return table
