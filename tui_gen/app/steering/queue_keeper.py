"""The workbench and the queue: what the form describes goes in, and what waits is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_gen.app.background import away

if TYPE_CHECKING:
    from tui_gen.app.panes.queue.pane import QueueSettingsAsked, QueueTold, QueueWorkAsked
    from tui_gen.app.shell.settings import Settings
    from tui_gen.app.shell.stage import Stage
    from tui_gen.app.steering.conductor import Conductor
    from tui_gen.app.steering.session import Session
    from tui_gen.config import RunConfig
    from tui_gen.search.asking import SearchWish

MOST_CHECKS = 32
"""So many configs of a search its model is asked about."""
AUTOSTART = "queue.autostart"
"""The setting that says whether a workbench goes on with a queue that nobody trains (it does, unless false)."""


class QueueKeeper:
    """Puts what the form describes into the queue, and has it trained."""

    def __init__(self, stage: Stage, session: Session, conductor: Conductor, settings: Settings) -> None:
        self.stage, self.session, self.conductor, self.settings = stage, session, conductor, settings
        self._adding = False

    def action_enqueue(self) -> None:
        """Add what the form describes to the queue."""
        if self.stage.form is not None:
            self.stage.run_worker(self.enqueue(), exit_on_error=False)

    def action_sweep(self) -> None:
        """Add what the form describes with several values for some settings."""
        if self.stage.form is not None:
            self.stage.run_worker(self.sweep(), exit_on_error=False)

    def on_queue_told(self, message: QueueTold) -> None:
        """Something was done to the queue, or could not be."""
        self.stage.notices.tell(message.words, message.severity)

    def on_queue_work_asked(self, message: QueueWorkAsked) -> None:
        """The queue is to be trained here: one that was left alone, unless the user settled otherwise."""
        if not message.found or self.settings.get(AUTOSTART, True):
            self.stage.run_worker(self.work(message.everything), exit_on_error=False)

    def on_queue_settings_asked(self, message: QueueSettingsAsked) -> None:
        """The settings of an entry go into the form."""
        from tui_gen.config import ConfigError, parse_toml

        try:
            tables = parse_toml(message.config, message.name)
        except ConfigError as error:
            self.stage.notices.tell(str(error), "error")
            return
        if self.stage.form is not None:
            self.stage.form.load_tables(tables, message.name)

    async def enqueue(self) -> None:
        """Add what the form describes; every problem at once where it cannot be."""
        from tui_gen import runs
        from tui_gen.queue import queueing

        if self._adding or self.stage.form is None:
            return
        if self.stage.form.fork is not None:
            words = "A fork goes on from a checkpoint, and does not wait in the queue: F5 starts it."
            self.stage.notices.tell(words, "warning")
            return
        self._adding = True
        self.stage.notices.say("adding it to the queue…")
        try:
            config = await self.checked("This cannot be queued")
            if config is None:
                return
            entry = (await away(queueing.add, self.session.root, [queueing.draft(config)]))[0]
            waiting = len((await away(queueing.read, self.session.root)).of("waiting"))
            self.stage.notices.tell(f"Queued as {entry.id}: {entry.name}, number {waiting} of what waits.")
            await self.work()
        except runs.RunError as error:
            self.stage.notices.tell(str(error), "error")
        finally:
            self._adding = False
            self.stage.notices.say("")

    async def sweep(self) -> None:
        """Ask which settings of what the form describes are varied, and add all that makes as a group."""
        from tui_gen import config as configs
        from tui_gen import effects, runs, sweeps
        from tui_gen.app.panes.queue.sweep_dialog import SweepDialog
        from tui_gen.app.widgets.dialogs import problems_dialog
        from tui_gen.config import ConfigError
        from tui_gen.queue import queueing
        from tui_gen.search import asking

        if self._adding or self.stage.form is None:
            return
        self._adding = True
        try:
            base = await self.checked("This cannot be varied")
            if base is None:
                return
            settings, tables = sweeps.settings_of(base, self.session.catalog), configs.to_tables(base)
            values = {key: configs.get_key(tables, key) for key in settings}
            length = sweeps.SweepLength(base, self.session.catalog, self.session.root)

            def judged(metric: str) -> tuple[str, str]:
                return asking.judged(base, metric, self.session.catalog)

            model, data = (
                self.session.catalog.models[base.model.name], self.session.catalog.datasets[base.dataset.name]
            )  # fmt: skip
            known = effects.facts(model, data)
            dialog = SweepDialog(base.name, settings, values, length.of, judged, model.phases_when, known)
            plan = await self.stage.push_screen_wait(dialog)
            if plan is None:
                return
            if plan.wish is not None:
                await self._search(plan.wish, base)
                return
            self.stage.notices.say(f"adding {len(plan.points)} to the queue…")
            run_configs = await away(sweeps.configs_of, base, plan.points, self.session.catalog, self.session.root)
            await away(self._refuse_what_models_refuse, run_configs)
            drafts = sweeps.drafts(run_configs, plan.points)
            entries = await away(queueing.add, self.session.root, drafts, sweep=True)
            count = f"{len(entries)} {'run' if len(entries) == 1 else 'runs'}"
            self.stage.notices.tell(f"Queued {count} as {entries[0].group}; v in the Queue pane compares them.")
            await self.work()
        except ConfigError as error:
            self.stage.push_screen(problems_dialog(f"This cannot be queued: {error.source}", error.problems))
        except runs.RunError as error:
            self.stage.notices.tell(str(error), "error")
        finally:
            self._adding = False
            self.stage.notices.say("")

    async def _search(self, wish: SearchWish, base: RunConfig) -> None:
        """Begin a search around a config, or go on with the one that it is, and show it. Raises what speaks against it.
        """
        from tui_gen.app.panes.sweeps.pane import SweepsPane
        from tui_gen.search import asking

        asking.refuse_without_optuna()
        self.stage.notices.say("checking the settings…")
        draft = await away(asking.drafted, wish, base, self.session.catalog, self.session.root)
        await away(self._refuse_what_models_refuse, draft.configs[:MOST_CHECKS])
        await away(asking.begin, self.session.root, draft.spec)
        words = "begins" if draft.is_new else "goes on"
        self.stage.notices.tell(f"The sweep {draft.spec.name} {words}: {draft.spec.trials} trials in all.")
        self.stage.workspace.open("sweeps")
        pane = self.stage.workspace.pane("sweeps")
        if isinstance(pane, SweepsPane):
            pane.open_sweep(draft.spec.name)

    def _refuse_what_models_refuse(self, run_configs: list[RunConfig]) -> None:
        """Raise ConfigError for the first config that its model cannot train, as far as a warm worker is there to ask.
        """
        from tui_gen import config as configs
        from tui_gen.control import ControlError

        self.session.drop_warm()
        warm = self.session.warm
        for config in run_configs if warm is not None and warm.ready else ():
            try:
                problems = warm.check(configs.to_tables(config)) if warm is not None else []
            except ControlError:
                return  # the run itself will tell
            if problems:
                raise configs.ConfigError(config.name, problems)

    async def checked(self, title: str) -> RunConfig | None:
        """The config in the form, checked by its model too and with all that a run of it needs; None where it cannot
        be used, or where the code that it names is not trusted: that was told then."""
        from tui_gen.app.widgets.dialogs import problems_dialog

        form = self.stage.form
        assert form is not None
        config, problems = None, form.problems()
        if not problems:
            config, problems = await away(self.session.check, form.tables())
        if problems or config is None:
            form.add_problems(problems)
            self.stage.push_screen(problems_dialog(title, problems))
            return None
        if not await self.conductor.trusted(config.model_dirs, "These settings name"):
            return None
        self.session.name_folders(config)
        return config

    async def work(self, everything: bool = False) -> None:
        """Have this machine train what is in the queue, where it is to and does not; the panes look again."""
        from tui_gen import runs
        from tui_gen.queue import queueing

        try:
            queue = await away(queueing.read, self.session.root)
            if everything or await away(queueing.idle, self.session.root, queue):
                await away(queueing.work, self.session.root, everything=everything)
        except runs.RunError as error:
            self.stage.notices.tell(str(error), "error")
        pane = self.stage.workspace.pane("queue")
        if pane is not None:
            pane.runs_changed()
