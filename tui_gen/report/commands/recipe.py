"""`tui-gen recipe`: a complete, commented config, of a recipe or for a model that has none."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import runs, toml_writer
from tui_gen.params import Param
from tui_gen.report import headless, records, stdout, tables
from tui_gen.report.commands.options import models_option


def options(parser: argparse.ArgumentParser) -> None:
    """Which one."""
    parser.add_argument("name", metavar="NAME", help="see tui-gen recipes")
    models_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """A config on standard output."""
    out, err = stdout.standard()
    catalog = headless.ensured(args.model_dirs, err)
    if (recipe := catalog.recipes.get(args.name)) is not None:
        settings, header = {"name": recipe.name, **recipe.tables}, tables.recipe_header(recipe, _record(err))
    elif (model := catalog.models.get(args.name)) is not None:
        settings, header = catalogs.start_of(model, catalog), tables.model_header(model)
        settings["model_dirs"] = list(args.model_dirs)
    else:
        raise tables.no_such("recipe or model", args.name, [*catalog.recipes, *catalog.models])
    config = configs.load(settings, catalog, args.name)
    params = configs.keys(config.model.name, config.dataset.name, catalog)
    notes = {key: _with_choices(param) for key, param in params.items()}
    out.text(header + "\n" + toml_writer.dump_toml(configs.to_tables(config), notes))
    return 0


def _record(err: stdout.Outlet) -> records.Record:
    """What is on record of the recipes; a warning where that cannot be read."""
    try:
        return records.read()
    except runs.RunError as error:
        err.line(f"warning: {error}")
        return records.Record()


def _with_choices(param: Param) -> Param:
    """The declaration with its choices named in the help, which becomes the comment."""
    words = f"{param.help}: {', '.join(str(choice) for choice in param.choices)}" if param.choices else param.help
    return msgspec.structs.replace(param, help=words)
