"""The report of a run: one HTML file that shows itself without any other, on paper and on a phone as well.

It has no script, and forbids its reader to load anything. Every text comes from a run that may be anybody's: all of it
is escaped, and what tells of persons is left out unless it is asked for (`discretion`).
"""

from __future__ import annotations

import importlib.resources
import time
from typing import Any

from tui_gen import catalog as catalogs
from tui_gen import config, forks, remarks
from tui_gen.draw.canvas import Level
from tui_gen.marks import marks_of
from tui_gen.quantities import metric
from tui_gen.report.page import facts, plots, previews
from tui_gen.report.page.discretion import Discretion
from tui_gen.report.page.markup import Markup, element, section, together
from tui_gen.report.plain import ordered
from tui_gen.verdicts import health
from tui_gen.verdicts.goals import Goal, goals_of
from tui_gen.verdicts.panels import panels_of
from tui_gen.view import RunView

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What a browser may load for it: nothing but what is in it."""
MOST_PLOTS = 120
"""Plots of a report; the numbers of all metrics are in a table."""


def document(view: RunView, *, personal: bool = False, budget: int = previews.BUDGET) -> str:
    """The report of a run that was read to its end. With `personal` it tells of home folders and names of hosts and
    users; `budget` are the characters that pictures may take.
    """
    tables = facts.tables_of(view)
    view.children = view.children or forks.children(view.path)
    machines = {usage.load.host for usage in view.usage} | {session.host for session in view.hosts}
    discreet = Discretion({name for name in machines if name}, off=personal)
    images: list[str] = []

    def words(text: str) -> str:
        return discreet.words(text)

    def store(data: str) -> str:
        images.append(data)
        return _placeholder(len(images) - 1)

    parts = _parts(view, tables, words, store, personal, budget)
    name = words(remarks.of(view.path).name or str(tables.get("name") or view.path.name))
    text = discreet.paths(_page(name, parts))  # before the pictures are in it: in theirs nothing is a path
    return _with_pictures(text, images)


def _parts(
    view: RunView, tables: dict[str, Any], words: facts.Words, store: facts.Words, personal: bool, budget: int
) -> list[Markup]:
    folders = tables.get("model_dirs")
    folders = [folder for folder in folders if isinstance(folder, str)] if isinstance(folders, list) else []
    catalog = catalogs.read(folders)
    entry = catalog.models.get(config.named(tables, "model"))
    goals = goals_of(view.path / "config.toml", catalog)
    goal = next((goal for goal in goals if goal.curve in view.series), None)
    marks = marks_of(view)
    sections = [
        facts.overview(view, tables, goal, _figure(tables, catalog, goals), words),
        _curves(view, goals),
        previews.previews(previews.strips_of(view, budget), store, words),
        facts.quality_section(view),
        facts.settings(tables, entry, catalog, view, words),
        facts.happened(view, marks, words),
        facts.environment(view, words, personal),
    ]
    return [part for part in sections if part]


def _figure(tables: dict[str, Any], catalog: catalogs.Catalog, goals: list[Goal]) -> str:
    """What the recipe states, in its words; only of a run that is held against it."""
    recipe = catalog.recipes.get(str(tables.get("name") or ""))
    entry = catalog.models.get(config.named(tables, "model"))
    if recipe is not None and entry is not None and health.as_written(recipe, entry, tables):
        return recipe.figure_with_source
    stated = next((goal for goal in goals if goal.level is not None), None)
    return f"{stated.curve} {_level(stated).removeprefix('figure ')}" if stated is not None else ""


def _level(goal: Goal) -> str:
    return f"figure {'≥' if goal.better == 'higher' else '≤'} {metric(goal.level)}"


def _curves(view: RunView, goals: list[Goal]) -> Markup:
    """The plots: what the run is judged by first, with its figure; the switch between scales; all values as numbers."""
    curves = {name: curve for name, curve in view.series.items() if len(curve)}
    if not curves:
        return section("Curves", element("p", "Nothing was measured."), name="curves")
    plan = view.plan
    judged, together_names = (plan.judged, plan.together) if plan is not None else ([], [])
    first = next((goal.curve for goal in goals if goal.curve in curves), "")
    panels = panels_of(curves, judged, together_names, first)
    left = max(0.0, min(float(curve.steps[0]) for curve in curves.values()) - 1)  # before the first step was made
    right = max(*(float(curve.steps[-1]) for curve in curves.values()), float(view.step), left + 1)
    marks, most = marks_of(view), plots.buckets_for(len(curves))
    figures = []
    for number, panel in enumerate(panels[:MOST_PLOTS]):
        metrics = {curve.metric for curve in panel.curves}
        levels = {goal.level: Level(goal.level, _level(goal)) for goal in reversed(goals)
                  if goal.level is not None and goal.curve in metrics}  # fmt: skip
        figures.append(plots.plot(panel, curves, (left, right), marks, list(levels.values()), most, number))
    notes = "Lowest and highest value of every bucket of steps; the strong line is an average."
    if len(panels) > MOST_PLOTS:
        notes += f" {len(panels) - MOST_PLOTS} more panels are not drawn."
    return section(
        "Curves", _switch(), element("p", notes, class_="note"), plots.key_to_marks(marks),
        element("div", *figures, class_="plots"), facts.figures(view, ordered(view)), name="curves",
    )  # fmt: skip


def _switch() -> Markup:
    """Linear or logarithmic: two buttons that the style sheet looks at."""
    choices = []
    for name, words in (("linear", "linear"), ("log", "logarithmic where that tells more")):
        button = element("input", type="radio", name="scale", id=f"scale-{name}", checked=name == "linear")
        choices.append(element("label", button, f" {words}", for_=f"scale-{name}"))
    return element("fieldset", element("legend", "Scale"), *choices, class_="scales")


def _page(name: str, parts: list[Markup]) -> str:
    style = importlib.resources.files("tui_gen.report.page").joinpath("style.css").read_text("utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{name}: report of a run"),
        element("style", Markup(style)),
    )
    body = together(parts)
    titles = {"curves": "Curves", "previews": "Previews", "quality": "Quality", "settings": "Settings",
              "happened": "What happened", "environment": "Environment"}  # fmt: skip
    links = [element("li", element("a", words, href=f"#{place}")) for place, words in titles.items()
             if f'<section id="{place}"' in body]  # fmt: skip
    moment = time.strftime("%d %B %Y, %H:%M")
    footer = element("footer", f"Written by tui-gen on {moment}. This file needs no other and loads nothing.")
    nav = element("nav", element("ul", *links), aria_label="Parts of the report")
    overview, *others = parts
    main = element("main", element("header", overview), nav, *others, footer)
    return "<!DOCTYPE html>\n" + element("html", head, element("body", main), lang="en") + "\n"


MARK = "\ue000"
"""Around the number of a picture until its data takes its place: no text has this character once it is clean."""


def _placeholder(number: int) -> str:
    return f"{MARK}{number}{MARK}"


def _with_pictures(text: str, pictures: list[str]) -> str:
    pieces = text.split(MARK)
    for place in range(1, len(pieces), 2):
        pieces[place] = f"data:image/png;base64,{pictures[int(pieces[place])]}"
    return "".join(pieces)
