"""What the workbench does with the form, in which the next run is put together: what goes into it, and who is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_gen.app.panes.base import WorkerAsked
    from tui_gen.app.panes.models import ModelPicked, RecipePicked
    from tui_gen.app.shell.stage import Stage
    from tui_gen.app.steering.session import Session
    from tui_gen.app.steering.stock import Stock
    from tui_gen.cards import Card


class FormActions:
    """The actions of the form, and what other panes put into it."""

    def __init__(self, stage: Stage, session: Session, stock: Stock) -> None:
        self.stage, self.session, self.stock = stage, session, stock
        self.card: Card | None = None
        """What panes tell of the recipe in the form while they are empty."""
        self._on_card = ""

    async def action_form(self, what: str) -> None:
        """One of the form's own actions."""
        form = self.stage.form
        if form is None:
            return
        self.stage.workspace.open("form")
        await self.stage.run_action(what, form)

    def on_recipe_picked(self, message: RecipePicked) -> None:
        """A recipe goes into the form."""
        if self.stage.form is not None:
            self.stage.form.load_tables(message.tables, message.name)

    def on_model_picked(self, message: ModelPicked) -> None:
        """A model goes into the form."""
        if self.stage.form is not None:
            self.stage.form.set_model(message.name)

    def pick_recipe(self, name: str) -> None:
        """Put a recipe into the form."""
        recipe = self.session.catalog.recipes.get(name)
        if recipe is None or self.stage.form is None:
            return
        self.stage.form.load_tables(recipe.tables, name)
        if self.stage.models is not None:
            self.stage.models.mark(name)
        self.stage.workspace.open("form")

    def pick_model(self, name: str) -> None:
        """Put a model into the form."""
        if self.stage.form is not None:
            self.stage.form.set_model(name)
            self.stage.workspace.open("form")

    def on_form_changed(self) -> None:
        """Where another recipe is in the form now, the panes tell of it while they are empty."""
        from tui_gen.cards import card

        draft = self.stage.form.draft if self.stage.form is not None else None
        recipe = self.session.catalog.recipes.get(draft.source) if draft is not None else None
        fits = recipe is not None and draft is not None and draft.model == recipe.model
        name = recipe.name if recipe is not None and fits and self.session.starts_runs else ""
        if name != self._on_card:
            self._on_card = name
            self.card = card(recipe, self.stage.key_of("run.start")) if recipe is not None and name else None
            for pane in self.stage.workspace.panes:
                pane.show_card(self.card)

    def on_worker_asked(self, message: WorkerAsked) -> None:
        """A pane wants to know of settings what only a worker can tell."""
        self.stage.run_worker(self.stock.tell(message), exit_on_error=False)
