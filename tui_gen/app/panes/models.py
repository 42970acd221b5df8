"""The Models pane: families, their models and recipes as a tree, with a search and the words on each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static, Tree
from textual.widgets.tree import TreeNode

from tui_gen import params
from tui_gen.app.panes.base import Belongings, Pane
from tui_gen.app.widgets.prose import prose
from tui_gen.catalog import DEFAULT_RECIPE, OWN_FAMILY, Catalog, ModelEntry, Recipe
from tui_gen.text import clean, clean_lines

if TYPE_CHECKING:
    from textual.widgets import Input

OPEN_UP_TO = 24
"""Trees with more rows than this start with only the default recipe's family unfolded."""


class RecipePicked(Message):
    """A recipe was picked as the start of the next run."""

    def __init__(self, tables: dict[str, Any], name: str) -> None:
        super().__init__()
        self.tables = tables
        self.name = name


class ModelPicked(Message):
    """A model was picked: the form should train it, with what carries over."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class ModelTree(Tree[Any]):
    """A tree whose arrow keys fold and unfold as well."""

    BINDINGS = [
        Binding("right", "unfold", "Unfold", show=False, id="models.unfold"),
        Binding("left", "fold", "Fold", show=False, id="models.fold"),
    ]

    def on_resize(self) -> None:
        self.show_cursor()

    def show_cursor(self) -> None:
        """Scroll, no further than needed, so that the cursor is seen: from the top where there is room."""
        height, line = self.scrollable_content_region.height, self.cursor_line
        if not height or line < 0:
            return
        if line < height - 1:
            self.scroll_to(y=0, animate=False, immediate=True)
        elif not self.scroll_y <= line < self.scroll_y + height:
            self.scroll_to(y=line - height // 2, animate=False, immediate=True)

    def action_unfold(self) -> None:
        """Unfold the node under the cursor, or go on to its first child."""
        node = self.cursor_node
        if node is not None and node.allow_expand:
            if node.is_expanded:
                self.action_cursor_down()
            else:
                node.expand()

    def action_fold(self) -> None:
        """Fold the node under the cursor, or go up to its parent."""
        node = self.cursor_node
        if node is None:
            return
        if node.allow_expand and node.is_expanded:
            node.collapse()
        elif node.parent is not None and not node.parent.is_root:
            self.move_cursor(node.parent)


class ModelsPane(Pane):
    """What can be trained. Enter or a click picks: `RecipePicked`, `ModelPicked`. Moving only shows the words."""

    HELP = """\
Families, their models, and recipes: complete settings to start from.

- **↑ ↓** move and show what is under the cursor, **← →** fold and unfold
- **Enter** (or a click) on a recipe puts its settings into the form; on a model it keeps what carries over
- **/** searches names, words and references; every word typed must occur. **Esc** clears the search
- **Tab** reaches the description, where **↑ ↓** scroll

Models of your own (`~/.config/tui-gen/models/`, or `--models DIR`) are marked; files that cannot be read are listed at
the end with the reason.
"""

    DEFAULT_CSS = """
    ModelsPane {
        layout: grid; grid-size: 1 3; grid-rows: 1 3fr 2fr;
        & > #search, & > #hint { height: 1; border: none; padding: 0 1; background: $surface; color: $quiet; }
        & > #search { color: $foreground; }
        & > ModelTree { background: transparent; scrollbar-size-vertical: 1; overflow-x: hidden; padding: 0; }
        & > VerticalScroll { border-top: solid $frame; padding: 0 1; scrollbar-size-vertical: 1; }
        & > VerticalScroll:focus { border-top: heavy $primary; }
        &.-wide { grid-size: 2 2; grid-columns: 2fr 3fr; grid-rows: 1 1fr; }
        &.-wide > #search, &.-wide > #hint { column-span: 2; }
        &.-wide > VerticalScroll { border-top: none; border-left: solid $frame; }
        &.-wide > VerticalScroll:focus { border-left: heavy $primary; }
        &.-low { grid-size: 1 2; grid-rows: 1 1fr; }
        &.-low > VerticalScroll { display: none; }
        &.-wide.-low { grid-size: 2 2; }
        &.-wide.-low > VerticalScroll { display: block; }
    }
    """

    BINDINGS = [
        Binding("slash", "search", "Search", id="models.search"),
        Binding("escape", "clear", "Clear search", show=False, id="models.clear"),
    ]

    @classmethod
    def of(cls, belongings: Belongings, id: str) -> Self:
        """The models and recipes of the catalogue."""
        return cls(belongings.catalog, id=id)

    def __init__(self, catalog: Catalog, *, id: str | None = "models", classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.catalog = catalog
        self.choice = DEFAULT_RECIPE
        """The recipe (or model) that was picked last; it carries a mark."""
        self.tree_view = ModelTree("", id="tree")
        self.tree_view.show_root = False
        self.tree_view.guide_depth = 2
        self.tree_view.auto_expand = False
        self._search_text = ""
        self._box: Input | None = None
        self._about = Static("", markup=False)
        self._by_ident: dict[str, TreeNode[Any]] = {}
        self._build()

    def compose(self) -> ComposeResult:
        yield Static("/ search", id="hint", markup=False)
        yield self.tree_view
        with VerticalScroll():
            yield self._about

    def on_mount(self) -> None:
        self._put_cursor(f"recipe {self.choice}")
        # The search box is neither mounted nor imported before the first frame.
        self.call_after_refresh(self._mount_search)

    def _mount_search(self) -> Input:
        from textual.widgets import Input

        if self._box is None:
            self._box = Input(placeholder="search", compact=True, id="search")
            self._box.cursor_blink = False
            self._box.display = False
            if self.is_attached:
                self.mount(self._box, before="#hint")
        return self._box

    def on_resize(self) -> None:
        self.set_class(self.size.width >= 72, "-wide")
        self.set_class(self.size.height < 12, "-low")

    # -- for the shell

    def first_rows(self) -> list[str]:
        """What stands at the top of the pane, as plain text: for the next start, until the pane is there."""
        tree = self.tree_view
        return ["/ search", *(tree.render_line(y).text.rstrip() for y in range(tree.size.height))]

    def set_catalog(self, catalog: Catalog) -> None:
        """Show a catalogue that was built anew, with the cursor where it was."""
        node = self.tree_view.cursor_node
        here = _ident(node.data) if node is not None and node.data is not None else f"recipe {self.choice}"
        self.catalog = catalog
        self._build()
        self._put_cursor(here)

    def focus_inside(self) -> None:
        self.tree_view.focus()

    def mark(self, name: str) -> None:
        """Mark a recipe or model as the one picked."""
        before, self.choice = self.choice, name
        for kind in ("recipe", "model"):
            for leaf in (before, name):
                node = self._by_ident.get(f"{kind} {leaf}")
                if node is not None:
                    node.set_label(self._label(node.data))

    # -- the tree

    def _build(self) -> None:
        tree = self.tree_view
        tree.clear()
        self._by_ident = {}
        words = self._search_text.lower().split()
        catalog = self.catalog
        size = len(catalog.models) * 2 + len(catalog.recipes)
        for family, entries in catalog.families().items():
            matches = ((entry, self._matching(entry, words)) for entry in entries)
            fits = [(entry, recipes) for entry, recipes in matches if recipes is not None]
            if not fits:
                continue
            names = {recipe.name for _, recipes in fits for recipe in recipes}
            opened = bool(words) or size <= OPEN_UP_TO or DEFAULT_RECIPE in names
            branch = self._add(tree.root, family, opened)
            for entry, recipes in fits:
                node = self._add(branch, entry, True) if recipes else self._add(branch, entry, None)
                for recipe in recipes:
                    self._add(node, recipe, None)
        own_names = {recipe.name for entry in catalog.models.values() for recipe in catalog.recipes_of(entry.name)}
        stray = [recipe for recipe in catalog.recipes.values() if recipe.name not in own_names]
        stray = [recipe for recipe in stray if all(word in _recipe_words(recipe) for word in words)]
        if stray:
            branch = self._add(tree.root, "other recipes", True)
            for recipe in stray:
                self._add(branch, recipe, None)
        if catalog.problems and not words:
            branch = self._add(tree.root, "not readable", True)
            for number, problem in enumerate(catalog.problems):
                self._add(branch, (number, problem), None)
        if not self._by_ident:
            tree.root.add_leaf(Text("nothing found; Esc clears" if words else "no models"), None)

    def _add(self, parent: TreeNode[Any], data: Any, opened: bool | None) -> TreeNode[Any]:
        label = self._label(data)
        node = parent.add_leaf(label, data) if opened is None else parent.add(label, data, expand=opened)
        self._by_ident[_ident(data)] = node
        return node

    def _label(self, data: Any) -> Text:
        match data:
            case ModelEntry():
                text = Text(clean(data.title or data.name))
                if data.source != "built in":
                    text.append("  yours", style="italic")
                return Text("• ").append_text(text) if self.choice == data.name else text
            case Recipe():
                text = Text(clean(data.name))
                text.stylize("bold" if self.choice == data.name else "")
                return Text("• ").append_text(text) if self.choice == data.name else text
            case (_, problem):
                return Text(f"! {clean(problem.splitlines()[0] if problem else '')}")
        if data == "not readable":
            return Text(f"! not readable ({len(self.catalog.problems)})", style="bold")
        return Text(clean(family_title(data)), style="bold")

    def _matching(self, entry: ModelEntry, words: list[str]) -> list[Recipe] | None:
        """The recipes of a model that a search leaves; None where it leaves nothing of the model."""
        recipes = self.catalog.recipes_of(entry.name)
        own = " ".join((entry.name, entry.family, entry.title, entry.summary, entry.reference)).lower()
        if all(word in own for word in words):
            return recipes
        rest = [recipe for recipe in recipes if all(word in f"{own} {_recipe_words(recipe)}" for word in words)]
        return rest or None

    def _put_cursor(self, ident: str) -> None:
        tree = self.tree_view
        node = self._by_ident.get(ident)
        if node is None:
            node = next((other for other in self._by_ident.values() if isinstance(other.data, Recipe)), None)
            node = node or next(iter(self._by_ident.values()), None)
        # Nodes know their lines only once the tree has laid them out, which asking for the last line does.
        if node is not None and tree.last_line >= 0:
            tree.cursor_line = node.line
            tree.show_cursor()
            self._describe(node.data)

    # -- words

    def _describe(self, data: Any) -> None:
        self._about.update(self.words(data))
        if self.is_attached:
            self.query_one(VerticalScroll).scroll_home(animate=False)

    def words(self, data: Any) -> Content:
        """What is shown about a family, model, recipe or problem."""
        catalog = self.catalog
        match data:
            case Recipe():
                entry = catalog.models.get(data.model)
                lines = [_title(data.title or data.name), Content(clean(data.summary)), Content("")]
                lines += _facts(("recipe", data.name), ("trains", _trains(data)))
                lines += _facts(("expect", data.figure_with_source), ("source", data.reference))
                about = [Content(""), _title(entry.title), *_model_words(entry)] if entry else []
                return Content("\n").join([*lines, *about])
            case ModelEntry():
                return Content("\n").join([_title(data.title or data.name), *_model_words(data)])
            case (_, problem):
                words = "\n".join(clean_lines(problem))
                return Content.assemble(_title("Could not be read"), "\n\n", words)
            case str() if data in catalog.families():
                lines = [_title(family_title(data))]
                for entry in catalog.families()[data]:
                    lines += [Content(""), Content.styled(clean(entry.title), "bold"), Content(clean(entry.summary))]
                return Content("\n").join(lines)
            case "other recipes":
                return Content("Recipes whose model is not there: it may be in a folder given with --models.")
            case "not readable":
                return Content("Files of models or recipes that could not be read, each with the reason.")
        return Content("")

    # -- events

    @on(Tree.NodeHighlighted)
    def _on_highlighted(self, event: Tree.NodeHighlighted[Any]) -> None:
        event.stop()
        # Words for where the cursor is now: while a search is typed, this may be about a tree that is no more.
        node = self.tree_view.cursor_node
        if node is not None:
            self._describe(node.data)

    @on(Tree.NodeSelected)
    def _on_selected(self, event: Tree.NodeSelected[Any]) -> None:
        event.stop()
        data = event.node.data
        match data:
            case Recipe():
                self.mark(data.name)
                self.post_message(RecipePicked(data.tables, data.name))
            case ModelEntry():
                self.mark(data.name)
                self.post_message(ModelPicked(data.name))
            case _:
                event.node.toggle()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._search_text = event.value
        node = self.tree_view.cursor_node
        here = _ident(node.data) if node is not None and node.data is not None else ""
        self._build()
        self._put_cursor(self._named(here) if self._search_text.split() else here)

    def _named(self, here: str) -> str:
        """Where the cursor goes in a search: the first recipe or model of that name, `here` if it is one."""
        words = self._search_text.lower().split()
        idents = [ident for ident in self._by_ident if all(word in ident.partition(" ")[2].lower() for word in words)]
        idents = [ident for ident in idents if not ident.startswith("family ")]
        return here if here in idents or not idents else idents[0]

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.focus_inside()

    def on_key(self, event: events.Key) -> None:
        if event.key == "down" and self.query("#search:focus"):
            self.focus_inside()
            event.stop()

    @on(events.Click, "#hint")
    def _on_hint(self) -> None:
        self.action_search()

    def action_search(self) -> None:
        """Go to the search box."""
        box = self._mount_search()
        self.query_one("#hint").display = False
        box.display = True
        self.screen.set_focus(box, scroll_visible=False)

    def action_clear(self) -> None:
        box = self._mount_search()
        self.focus_inside()
        box.value = ""
        box.display = False
        self.query_one("#hint").display = True


def family_title(family: str) -> str:
    """A family's heading: short names are abbreviations; models that name none are the user's."""
    if family == OWN_FAMILY:
        return "Your own models"
    return family.upper() if len(family) <= 3 else family[:1].upper() + family[1:]


def _ident(data: Any) -> str:
    match data:
        case Recipe():
            return f"recipe {data.name}"
        case ModelEntry():
            return f"model {data.name}"
        case (number, _):
            return f"problem {number}"
    return f"family {data}"


def _recipe_words(recipe: Recipe) -> str:
    dataset = recipe.tables.get("dataset", {})
    name = dataset.get("name", "") if isinstance(dataset, dict) else ""
    return f"{recipe.name} {recipe.title} {recipe.summary} {recipe.reference} {name}".lower()


def _title(text: str) -> Content:
    return Content.styled(clean(text), "bold")


def _facts(*facts: tuple[str, str]) -> list[Content]:
    return [Content.assemble((f"{name:<8}", "dim"), clean(value)) for name, value in facts if value]


def _trains(recipe: Recipe) -> str:
    """A recipe's model, data and length in a few words."""
    tables = {key: value for key, value in recipe.tables.items() if isinstance(value, dict)}
    train = tables.get("train", {})
    length = next((f"{params.show(train[key])} {key}" for key in ("steps", "epochs", "minutes") if train.get(key)), "")
    data = params.show(tables.get("dataset", {}).get("name", ""))
    return ", ".join(part for part in (f"{recipe.model} on {data}" if data else str(recipe.model), length) if part)


def _model_words(entry: ModelEntry) -> list[Content]:
    lines = [Content(clean(entry.summary)), Content("")]
    own = "" if entry.source == "built in" else entry.source
    kinds, abilities = ", ".join(entry.kinds), ", ".join(entry.abilities)
    lines += _facts(("data", kinds), ("can", abilities), ("source", entry.reference), ("file", own))
    return [*lines, Content(""), prose(entry.description)]
