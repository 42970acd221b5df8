"""A model with every kind of setting, a catalogue that holds it, an app of the form alone: for tests of the form."""

from __future__ import annotations

from typing import Any

from textual.app import App

from tests.hosts import ThemedApp
from tests.painted import painted_text
from tui_gen import catalog as catalogs
from tui_gen.app.panes.form.pane import FormChanged, FormPane, LiveEditAsked
from tui_gen.catalog import Catalog, ModelEntry
from tui_gen.config import Optim
from tui_gen.params import Param

ODD = ModelEntry(
    name="odd",
    family="odd[/ones]",
    title="Odd [/b] model",
    summary="Every kind of setting [red",
    description="### Heading\n\n**bold [/x]** and *italic* and `code`\n\n    loss = a * b * c [/path]\n\n- one\n- two",
    reference="Nobody [/] 1900",
    kinds=["points"],
    abilities=["sample"],
    params=[
        Param("latent", "int", 7, "Whole [/help]", ge=1, le=9000, live=True),
        Param("beta", "float", 0.5, "Number", ge=0, le=2, live=True, unit="nats"),
        Param("decay", "float", 0.9, "Near one", ge=0, lt=1),
        Param("flag", "bool", True, "Switch", live=True),
        Param("way", "choice", "a[/b]", "Choice", choices=["a[/b]", "b", 3], live=True),
        Param("widths", "list", [1, 2], "Numbers", item="int", ge=1, min_items=1, max_items=3),
        Param("words", "list", ["x"], "Words", item="str"),
        Param("path", "str", "", "Text"),
        Param("maybe", "int", None, "Optional", optional=True, ge=0),
    ],
    phases={"first": Optim(lr=2e-4), "second": Optim(optimizer="sgd")},
    source="/home/[/me]/odd.py",
)


def catalog() -> Catalog:
    """The built-in catalogue with the odd model added."""
    found = catalogs.read()
    found.models = found.models | {"odd": ODD}
    return found


def small() -> Catalog:
    """Four models and seven recipes of that catalogue, in a fixed order: for tests of what stands where."""
    found = catalog()
    found.models = {name: found.models[name] for name in ("vae", "gan", "ddpm", "odd")}
    names = ("vae-digits", "vae-mnist", "dcgan-digits", "dcgan-mnist", "wgan-gp-ring", "ddpm-digits", "ddpm-mnist")
    found.recipes = {name: found.recipes[name] for name in names}
    return found


def odd_tables() -> dict[str, Any]:
    """A valid config of the odd model."""
    return {"model": {"name": "odd"}, "dataset": {"name": "ring"}, "train": {"steps": 10}, "name": "odd one"}


def screen_text(app: App[Any]) -> str:
    """What stands on the screen, line by line."""
    return painted_text(app)


CATALOG = catalog()


class Host(ThemedApp):
    """An app with nothing but the pane; it keeps what the pane tells."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[object] = []

    def compose(self):
        yield FormPane(CATALOG)

    def on_ready(self) -> None:
        self.form.focus_inside()

    @property
    def form(self) -> FormPane:
        return self.query_one(FormPane)

    def on_form_changed(self, event: FormChanged) -> None:
        self.told.append(event.valid)

    def on_live_edit_asked(self, event: LiveEditAsked) -> None:
        self.told.append((event.key, event.value))


async def go(pilot, key: str) -> None:
    """Cursor on a field."""
    pilot.app.form.focus_field(key)
    await pilot.pause()


async def typed(pilot, key: str, text: str) -> None:
    """A text typed over what stands in a field, without Enter."""
    pilot.app.form.focus_field(key)
    pilot.app.form.fields.begin()
    editor = pilot.app.form.fields.editor
    assert pilot.app.focused is editor
    editor.value = ""
    editor.insert_text_at_cursor(text)
    await pilot.pause()
