"""Styles that are applied to many widgets, as where the theme changes: each is refreshed once, and not for every rule.

Textual refreshes a widget for each of its colours that changes, and with it all that is inside: with another theme
every widget of a screen dozens of times, for as long as all the rest takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.css.styles import Styles
from textual.css.stylesheet import Stylesheet
from textual.widget import Widget

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.dom import DOMNode

MANY = 20
"""Widgets from which it pays: a single one that is focused or hovered over is refreshed as Textual does it."""


class OnceRefreshed(Stylesheet):
    """A stylesheet that has widgets refreshed when the styles of all are there."""

    def update_nodes(self, nodes: Iterable[DOMNode], animate: bool = False) -> None:
        """As Textual's, from the outermost widget to the innermost."""
        nodes = list(nodes)
        if len(nodes) < MANY:
            super().update_nodes(nodes, animate)
            return
        refresh = Styles.refresh
        asked: dict[Widget, bool] = {}
        """The widgets that have to be refreshed, and whether they have to be laid out."""
        whole: dict[Widget, bool] = {}
        """The same of those with all that is inside."""

        def ask(styles: Styles, *, layout: bool = False, children: bool = False, **more: Any) -> None:
            node = styles.node
            if more or not isinstance(node, Widget):
                refresh(styles, layout=layout, children=children, **more)
            elif node.is_mounted:
                found = whole if children else asked
                found[node] = found.get(node, False) or layout

        Styles.refresh = ask  # type: ignore[assignment, method-assign]
        try:
            super().update_nodes(nodes, animate)
        finally:
            Styles.refresh = refresh  # type: ignore[method-assign]
            inside: dict[Widget, bool] = {}
            for node, layout in whole.items():
                if inside.get(node, False) < layout or node not in inside:
                    for child in node.walk_children(Widget, with_self=True):
                        inside[child] = inside.get(child, False) or layout
            for node in {**asked, **inside}:
                node.refresh(layout=asked.get(node, False) or inside.get(node, False))
