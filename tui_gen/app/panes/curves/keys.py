"""The keys of a pane of curves."""

from __future__ import annotations

from textual.binding import Binding, BindingType


def bindings(pane: str) -> list[BindingType]:
    """The bindings, with ids that begin with the name of the pane."""
    return [
        Binding("l", "log", "Log", id=f"{pane}.log"),
        Binding("left_square_bracket", "smooth(-1)", "Smooth", key_display="[ ]", id=f"{pane}.smooth_less"),
        Binding("right_square_bracket", "smooth(1)", "More smoothing", show=False, id=f"{pane}.smooth_more"),
        Binding("plus,equals_sign", "zoom(0.5)", "Zoom", key_display="+ -", id=f"{pane}.zoom_in"),
        Binding("minus", "zoom(2.0)", "Zoom out", show=False, id=f"{pane}.zoom_out"),
        Binding("shift+left", "pan(-0.25)", "Move back", show=False, id=f"{pane}.pan_left"),
        Binding("shift+right", "pan(0.25)", "Move on", show=False, id=f"{pane}.pan_right"),
        Binding("a", "reset", "All", id=f"{pane}.reset"),
        Binding("L", "log_x", "Log steps", show=False, id=f"{pane}.log_x"),
        Binding("s", "zero_phase", "Average that does not lag", show=False, id=f"{pane}.zero_phase"),
        Binding("b", "range", "Range of steps from the crosshair", show=False, id=f"{pane}.range"),
        Binding("ctrl+up", "zoom_values(0.5)", "Zoom into values", show=False, id=f"{pane}.values_in"),
        Binding("ctrl+down", "zoom_values(2.0)", "Zoom out of values", show=False, id=f"{pane}.values_out"),
        Binding("shift+up", "pan_values(0.25)", "Higher values", show=False, id=f"{pane}.values_up"),
        Binding("shift+down", "pan_values(-0.25)", "Lower values", show=False, id=f"{pane}.values_down"),
        Binding("up", "choose(-1)", "Plot before", show=False, id=f"{pane}.plot_before"),
        Binding("down", "choose(1)", "Next plot", show=False, id=f"{pane}.plot_next"),
        Binding("enter", "alone", "One plot", id=f"{pane}.alone"),
        Binding("g", "group", "Metrics of one phase", show=False, id=f"{pane}.group"),
        Binding("o", "fold", "Fold a section", show=False, id=f"{pane}.fold"),
        Binding("O", "unfold", "Unfold all sections", show=False, id=f"{pane}.unfold"),
        Binding("f", "follow", "Follow", id=f"{pane}.follow"),
        Binding("c", "whole", "Everything, or no outliers", show=False, id=f"{pane}.clip"),
        Binding("e", "x_axis", "Steps, epochs or time", show=False, id=f"{pane}.x_axis"),
        Binding("left", "cursor(-1)", "Crosshair", key_display="← →", id=f"{pane}.cursor_left"),
        Binding("right", "cursor(1)", "Crosshair on", show=False, id=f"{pane}.cursor_right"),
        Binding("ctrl+left", "cursor(-10)", "Crosshair far back", show=False, id=f"{pane}.cursor_far_left"),
        Binding("ctrl+right", "cursor(10)", "Crosshair far on", show=False, id=f"{pane}.cursor_far_right"),
        Binding("home", "cursor_end(False)", "Crosshair to the start", show=False, id=f"{pane}.cursor_home"),
        Binding("end", "cursor_end(True)", "Crosshair to the end", show=False, id=f"{pane}.cursor_end"),
        Binding("escape", "clear", "No crosshair", show=False, id=f"{pane}.clear"),
        Binding("pagedown", "panel(1)", "Metrics", key_display="pgdn", id=f"{pane}.next_panel"),
        Binding("pageup", "panel(-1)", "Earlier metrics", show=False, id=f"{pane}.previous_panel"),
        Binding("n", "count", "Number of plots", show=False, id=f"{pane}.count"),
    ]
