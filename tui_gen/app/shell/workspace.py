"""The area of the panes: places them by `arrangement`, and lets keys and mouse maximise, resize and switch them."""

from __future__ import annotations

from typing import Self

from textual import events
from textual.dom import DOMNode
from textual.errors import NoWidget
from textual.geometry import Offset, Region, Size
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.message import Message
from textual.widget import Widget

from tui_gen.app.panes.base import Pane
from tui_gen.app.panes.registry import PANES, row
from tui_gen.app.shell import arrangement
from tui_gen.app.shell.arrangement import EDIT, SHAPES, Arrangement, Edge, groups, tree
from tui_gen.app.shell.tabs import PaneTabs

STEP_X, STEP_Y = 4, 2
"""Cells a boundary moves with one key press."""


class _PaneLayout(Layout):
    """Gives the workspace's children the boxes of its arrangement."""

    name = "panes"

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        assert isinstance(parent, Workspace)
        parent.pre_layout(self)
        plan = parent.plan(size)
        placements = []
        tabs = iter(plan.tabs)
        for child in children:
            if isinstance(child, PaneTabs):
                box = next(tabs, (None,))[0]
            else:
                box = plan.panes.get(child.id or "")
            if box is not None:
                region = Region(box.x, box.y, box.width, box.height)
                placements.append(WidgetPlacement(region, Offset(), child.styles.margin, child))
        return placements


class Workspace(Widget):
    """Holds the panes. Shares, chosen tabs and the maximised pane are its state; the rest follows from its size."""

    DEFAULT_CSS = """
    Workspace { width: 1fr; height: 1fr; overflow: hidden hidden; }
    """

    class Arranged(Message):
        """Panes came on screen, or left it."""

    class Resized(Message):
        """A boundary was moved to this share of its split."""

        def __init__(self, key: str, share: float) -> None:
            super().__init__()
            self.key = key
            self.share = share

    def __init__(
        self,
        *panes: Pane,
        shares: dict[str, float] | None = None,
        favourites: dict[str, str] | None = None,
        id: str | None = None,
    ) -> None:
        most = max(sum(len(group.panes) > 1 for group in groups(tree(shape))) for shape in SHAPES)
        super().__init__(*(PaneTabs() for _ in range(most)), *panes, id=id)
        self._layout = _PaneLayout()
        self.shares = dict(shares or {})
        self.current_tabs: dict[str, str] = {}
        self.maximised = ""
        self._lent_to = ""
        self._tab_before = ("", "")
        """The pane that all the room was given to when it was opened: until another one is."""
        self._kept_small: set[str] = set()
        """Panes that the user wants in their places, however small these are."""
        self.last_pane = PANES[0].id
        self.run_pane = next(row.id for row in PANES if row.watches)
        """Which of the panes that show a run was looked at last."""
        self.edit_pane = "form"
        """Which of the panes that the next run is put together in was looked at last."""
        self.layout_name = EDIT
        self.favourites = dict(favourites or {})
        """The layout that was chosen for each shape of terminal: a run is watched in it."""
        self._layout_before = "watch"
        self.shape = "wide"
        """The name of the tree in use: of a layout, in a shape of terminal."""
        self._arrangement = Arrangement()
        self._drag_edge: Edge | None = None
        self._ids_on_screen: set[str] = set()

    @property
    def layout(self) -> Layout:
        """Places the panes."""
        return self._layout

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> Self:
        """As any widget's, but nothing of it is seen between its panes: where these get other places, only what comes
        to stand somewhere else is painted, not all that is on screen.
        """
        return super().refresh(*regions, repaint=repaint and not layout, layout=layout, recompose=recompose)

    def plan(self, size: Size) -> Arrangement:
        """The arrangement for a size."""
        shape = arrangement.plan_name(self.layout_name, arrangement.shape_of(size.width, size.height))
        if shape != self.shape:
            self._keep_in_sight(shape)
            self.shape = shape
        self._arrangement = arrangement.arrange(
            size.width, size.height, self.shape, self.shares, self.current_tabs, self.maximised
        )
        if set(self._arrangement.panes) != self._ids_on_screen:
            self._ids_on_screen = set(self._arrangement.panes)
            self.call_later(self._settle)
        return self._arrangement

    def _keep_in_sight(self, shape: str) -> None:
        """Choose the tabs of another shape so that what was looked at is still seen, the pane with the focus first."""
        active = self.active
        last = active.id if active is not None and active.id else self.last_pane
        for group in groups(tree(shape)):
            key = f"{shape}.{group.panes[0]}"
            visible = [name for name in group.panes if name in self._arrangement.panes]
            if len(group.panes) > 1 and visible and self.current_tabs.get(key) not in visible:
                self.current_tabs[key] = self.run_pane if self.run_pane in visible else visible[0]
            if last in group.panes:
                self.current_tabs[key] = last

    def _settle(self) -> None:
        """Make `display` follow the arrangement, so that hidden panes take no focus and draw nothing."""
        strips = [child for child in self.children if isinstance(child, PaneTabs)]
        for number, strip in enumerate(strips):
            _set_display(strip, number < len(self._arrangement.tabs))
            if strip.display:
                strip.show(*self._arrangement.tabs[number][1:])
        for pane in self.panes:
            _set_display(pane, pane.id in self._arrangement.panes)
        self.post_message(self.Arranged())

    def on_workspace_arranged(self) -> None:
        """Keep the focus on something that can be seen."""
        if not self.is_attached or not self.app.screen_stack:  # leaving
            return
        self.refresh_bindings()  # with one pane alone on screen there is nothing to maximise
        focused = self.screen.focused
        above = focused.ancestors_with_self if focused is not None else []
        if focused is None or any(not node.display for node in above if isinstance(node, Widget)):
            self._focus_something()

    def on_descendant_blur(self) -> None:
        """Where a pane has put away what had the focus, something else has it."""
        if self.is_attached and self.app.screen_stack and self.screen.focused is None and self.app.app_focus:
            self._focus_something()

    def _focus_something(self) -> None:
        """The pane with the focus, or the one that was opened last, or any: the first of these that is on screen."""
        shown = self.on_screen
        for pane in (self.active, self.pane(self.last_pane), *shown):
            if pane in shown:
                pane.focus_inside()
                return

    def prepare(self, size: Size, watching: bool = False) -> None:
        """Settle for a size that is known before the first layout; `watching` says that a run is to be shown at once.
        """
        if watching:
            self.layout_name = self._layout_to_watch(size)
            self.last_pane = self.run_pane
        self.plan(size)
        self._settle()

    def rearrange(self) -> None:
        """Lay out anew after a change of state."""
        self.plan(self.size)
        self._settle()
        for pane in self.on_screen[:1]:
            pane.refresh(layout=True)  # of a child, so that the arrangement cached for this size is dropped

    @property
    def panes(self) -> list[Pane]:
        """Every pane, on screen or not."""
        return [child for child in self.children if isinstance(child, Pane)]

    @property
    def on_screen(self) -> list[Pane]:
        """The panes on screen, in the order of their keys."""
        return [pane for row in PANES if row.id in self._arrangement.panes for pane in self.panes if pane.id == row.id]

    def places(self) -> list[tuple[str, int, int]]:
        """Where panes can be gone to: (id, column, row) on the screen of each that is on it, and of each tab."""
        places = [(pane.id or "", pane.region.x, pane.region.y) for pane in self.on_screen]
        for tabs in self.query(PaneTabs):
            places += tabs.places() if tabs.display else []
        return places

    def pane(self, name: str) -> Pane | None:
        """A pane by its id."""
        return next((pane for pane in self.panes if pane.id == name), None)

    @property
    def active(self) -> Pane | None:
        """The pane with the focus, else the one that had it last, if it is on screen."""
        node: DOMNode | None = self.screen.focused if self.is_attached else None
        while node is not None and not isinstance(node, Pane):
            node = node.parent
        if isinstance(node, Pane):
            return node
        last = self.pane(self.last_pane)
        return last if last in self.on_screen else next(iter(self.on_screen), None)

    def use_layout(self, name: str) -> None:
        """Lay the panes out in another way."""
        if name == self.layout_name:
            return
        if name == EDIT:
            self._layout_before = self.layout_name
        self.layout_name = name
        self._give_back()
        self.rearrange()
        self.refresh_bindings()

    def toggle_drawer(self) -> None:
        """Bring the panes that the next run is put together in, or fold them away again."""
        active = self.active
        place = row(active.id) if active is not None else None
        alone = self.maximised or len(groups(tree(self.shape))) == 1
        if place is not None and place.edits if alone else self.layout_name == EDIT:
            self.watch_run(self._layout_before)
        else:
            self.use_layout(EDIT)
            self.open(self.edit_pane)

    def watch_run(self, layout: str = "") -> None:
        """Bring the run that is shown on screen: its losses, or its samples where those were looked at last.

        In this layout; in the one that was chosen for this shape of terminal where none is named.
        """
        self.use_layout(self._layout_to_watch(self.size, layout))
        self.open(self.run_pane)

    def _layout_to_watch(self, size: Size, layout: str = "") -> str:
        """The layout of this name, else the one that was chosen for terminals of a size; `watch` before any was."""
        layout = layout or self.favourites.get(arrangement.shape_of(size.width, size.height), "watch")
        return layout if layout in (choice.name for choice in arrangement.layouts()) else self.layout_name

    def show_for_tour(self, layout: str, pane: str) -> None:
        """Have a pane on screen in a layout, and remember nothing of it."""
        watched, edited = self.run_pane, self.edit_pane
        self.use_layout(layout)
        self.open(pane, focus=False)
        self.run_pane, self.edit_pane = watched, edited

    def prefer(self, layout: str) -> str:
        """Use a layout, also for the runs to come in terminals of this shape; the name of the shape.

        What it is for comes before the tabs that were chosen last, and has the keyboard.
        """
        shape = arrangement.shape_of(self.size.width, self.size.height)
        self.favourites[shape] = layout
        self.use_layout(layout)
        for lead in arrangement.leads(self.shape):
            self.current_tabs[f"{self.shape}.{arrangement.panes_with(self.shape, lead)[0]}"] = lead
        self.rearrange()
        about = next((choice.about for choice in arrangement.layouts() if choice.name == layout), "")
        if about:
            self.open(about)
        return shape

    def open(self, name: str, focus: bool = True) -> None:
        """Bring a pane on screen and give it the focus, in the layout `edit` where this one has folded it away.

        It fills the workspace where it would be of no use in its place, until another pane is opened; and where another
        one was made to fill it, also where the layout has no place for this one.
        """
        if self.maximised and self.maximised != name:
            if self.maximised == self._lent_to:
                self._give_back()
            else:
                self.maximised = name
        if not self.maximised and not arrangement.holds(self.shape, name):
            self.use_layout(EDIT)
        together = arrangement.panes_with(self.shape, name)
        tabs = f"{self.shape}.{together[0]}" if len(together) > 1 else ""
        before = self.current_tabs.get(tabs, "")
        if tabs:
            self.current_tabs[tabs] = name
        if focus and not self.maximised and self._is_too_small(name):
            self.maximised = self._lent_to = name
            self._tab_before = tabs, before
            self.refresh_bindings()
        if name not in self._arrangement.panes or self.maximised or len(together) > 1:
            self.rearrange()
        self._looked_at(name)
        pane = self.pane(name)
        if focus and pane is not None:
            pane.focus_inside()

    def _give_back(self) -> None:
        """Have several panes on screen again: where one filled it for want of room, what was in its place before."""
        if self.maximised and self.maximised == self._lent_to:
            tabs, before = self._tab_before
            self.current_tabs.pop(tabs, None)
            if before:
                self.current_tabs[tabs] = before
        self.maximised = self._lent_to = ""

    def _is_too_small(self, name: str) -> bool:
        """Whether nothing can be seen of a pane in its place, and the user has not put it there all the same."""
        place = row(name)
        if place is None or not place.least or name in self._kept_small:
            return False
        size = self.size
        plan = arrangement.arrange(size.width, size.height, self.shape, self.shares, self.current_tabs)
        return len(plan.panes) > 1 and plan.panes[name].height < place.least

    def _looked_at(self, name: str) -> None:
        self.last_pane = name
        place = row(name)
        if place is not None and place.watches:
            self.run_pane = name
        if place is not None and place.edits:
            self.edit_pane = name

    @property
    def has_several(self) -> bool:
        """Whether there is more than one pane on screen."""
        return len(self._arrangement.panes) > 1

    def toggle_maximised(self, name: str = "") -> None:
        """Let a pane (the active one) fill the workspace, or give the others their place back."""
        pane = self.pane(name) if name else self.active
        if self.maximised:
            self._kept_small.add(self.maximised)
            self.maximised = self._lent_to = ""
        elif pane is not None and pane.id and self.has_several:
            self.maximised = pane.id
        else:
            return
        self.rearrange()
        self.refresh_bindings()
        if pane is not None:
            self.open(pane.id or "")

    def grow(self, axis: str, direction: int) -> None:
        """Move the boundary nearest to the active pane: right or down for direction 1, left or up for -1."""
        pane = self.active
        if pane is None or self.maximised:
            return
        edges = {edge.name: edge for edge in self._arrangement.edges}
        for name in arrangement.edges_around(self.shape, pane.id or "", axis):
            edge = edges[name]
            self._move(edge, edge.at + direction * (STEP_X if axis == "x" else STEP_Y))
            self.post_message(self.Resized(f"{self.shape}.{name}", self.shares[f"{self.shape}.{name}"]))
            return

    def reset(self) -> None:
        """Every boundary back to where it was at first."""
        self.shares.clear()
        self.maximised = ""
        self.rearrange()

    def _move(self, edge: Edge, at: int) -> None:
        start, whole = (edge.box.x, edge.box.width) if edge.axis == "x" else (edge.box.y, edge.box.height)
        least = arrangement.LEAST_WIDTH if edge.axis == "x" else arrangement.LEAST_HEIGHT
        least = min(least, whole // 2)
        share = max(least, min(whole - least, at - start)) / whole
        self.shares[f"{self.shape}.{edge.name}"] = round(share, 4)
        self.rearrange()

    def _edge_at(self, x: int, y: int) -> Edge | None:
        """The boundary whose frame lines are at a cell: one cell on either side of it."""
        if self.maximised:
            return None
        for edge in reversed(self._arrangement.edges):
            if edge.box.contains(x, y) and (x if edge.axis == "x" else y) in (edge.at - 1, edge.at):
                return edge
        return None

    def _frame_at(self, event: events.MouseEvent) -> Pane | None:
        """The pane whose frame is under the mouse."""
        try:
            widget, _ = self.screen.get_widget_at(int(event.screen_x), int(event.screen_y))
        except NoWidget:
            return None
        return widget if isinstance(widget, Pane) else None

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Begin to drag a boundary, where the frame of a pane was pressed."""
        if self._frame_at(event) is None:
            return
        x, y = int(event.screen_x) - self.region.x, int(event.screen_y) - self.region.y
        self._drag_edge = self._edge_at(x, y)
        if self._drag_edge is not None:
            self.capture_mouse()
            event.stop()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._drag_edge is None:
            return
        at = int(event.screen_x) - self.region.x if self._drag_edge.axis == "x" else int(event.screen_y) - self.region.y
        edge = next((edge for edge in self._arrangement.edges if edge.name == self._drag_edge.name), None)
        if edge is not None and edge.at != at:
            self._move(edge, at)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        if self._drag_edge is None:
            return
        key = f"{self.shape}.{self._drag_edge.name}"
        self._drag_edge = None
        self.release_mouse()
        if key in self.shares:
            self.post_message(self.Resized(key, self.shares[key]))

    def on_click(self, event: events.Click) -> None:
        """A click on a frame focuses the pane; a double click on its title line maximises it."""
        pane = self._frame_at(event)
        if pane is None:
            return
        if int(event.screen_y) == pane.region.y and event.chain >= 2:
            self.toggle_maximised(pane.id or "")
        elif self.screen.focused is None or pane not in self.screen.focused.ancestors_with_self:
            pane.focus_inside()

    def on_pane_tabs_picked(self, message: PaneTabs.Picked) -> None:
        """Show the pane whose tab was clicked."""
        message.stop()
        self.open(message.pane)

    def on_descendant_focus(self) -> None:
        """Remember where the focus is, for when it comes back from a dialog or a closed pane."""
        pane = self.active
        if pane is not None and pane.id:
            self._looked_at(pane.id)


def _set_display(widget: Widget, on: bool) -> None:
    """Set `display` only where it changes: setting it repaints the whole workspace."""
    if widget.display != on:
        widget.display = on
