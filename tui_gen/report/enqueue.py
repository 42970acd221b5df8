"""Configs on their way into the queue: resolved, checked as `tui-gen --run` checks them, by the model itself too."""

from __future__ import annotations

from pathlib import Path

from tui_gen import config as configs
from tui_gen import launch, runs
from tui_gen.config import ConfigError, RunConfig
from tui_gen.queue import queueing
from tui_gen.queue.queueing import QueueDraft
from tui_gen.report import consent, headless
from tui_gen.report.stdout import Outlet
from tui_gen.signals import Signals


def drafts(
    sources: list[str], assignments: list[str], model_dirs: list[str], root: Path, err: Outlet
) -> list[QueueDraft]:
    """What is to be added of configs, recipes and runs. Raises ConfigError and RunError for the first that cannot be
    used, and asks before the code is executed that one names."""
    runs.refuse_unwritable(root)
    found = [resolve(source, assignments, model_dirs, root, err) for source in sources]
    refuse_what_models_refuse(found, model_dirs)
    return [queueing.draft(config) for config in found]


def resolve(source: str, assignments: list[str], model_dirs: list[str], root: Path, err: Outlet) -> RunConfig:
    """One of them, checked but for what only its model can tell."""
    named_dirs = headless.named_dirs(source)
    consent.ask(set(named_dirs).difference(model_dirs), source, err)
    dirs = [*model_dirs, *named_dirs]
    config = headless.resolve(source, assignments, dirs, root, err)
    consent.ask(set(config.model_dirs).difference(dirs), source, err)
    return config


def refuse_what_models_refuse(found: list[RunConfig], model_dirs: list[str]) -> None:
    """Raise ConfigError where a model cannot train as it is to: told in a moment, once a process has PyTorch."""
    folders = list(dict.fromkeys([*model_dirs, *(folder for config in found for folder in config.model_dirs)]))
    warm = launch.WarmWorker(polite=False, model_dirs=folders)
    with Signals() as signals:
        try:
            warm.spawn()
            for config in found:
                try:
                    problems = headless.asked(warm, configs.to_tables(config), signals)
                except headless.Cancelled:
                    raise KeyboardInterrupt from None
                if problems:
                    raise ConfigError(config.name, problems)
        finally:
            warm.close()
