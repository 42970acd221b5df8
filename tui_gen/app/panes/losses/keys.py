"""The keys of the losses pane, and its page of help."""

from __future__ import annotations

from textual.binding import Binding, BindingType

HELP = """
## Losses

The line above the plots says whether it is going well: the metric that the recipe is judged by, its best value so far,
and the **figure** that it should come to, which is also drawn across its plot.

Each plot has one metric, the one that the recipe is judged by first. Every step's value is kept. The dim **band**
spans the lowest and highest value in each column, so a spike of one step is always seen; the bright **line** is an
exponential moving average of the values. Validation is drawn without an average, dotted, with the hollow form of the
same glyph. A gap is a value that was NaN or infinite.

The first steps and other **outliers** do not flatten a plot: they run out of it, marked `▲` or `▼` on the edge with how
many are clipped and how far they go. `c` shows them all. On a **logarithmic** axis values that are not above 0 are on a
scale that is symmetric about 0; the title says `±log` then.

| key | does |
|---|---|
| `l` `L` | logarithmic or linear values; steps (or time) |
| `[` `]` | less or more smoothing |
| `s` | an average that does not lag (zero-phase: forwards, then backwards), or the causal one |
| `↑` `↓`, click | choose a plot: F1 tells what its metric means |
| `enter`, double click | that plot alone, or all |
| `g` | the metrics of one phase, then of the next, then all |
| `+` `-`, wheel | zoom in and out |
| drag | zoom to a range of steps; over some rows, to a box |
| `b` | begin a range of steps at the crosshair; again: zoom to it |
| `ctrl+↑` `ctrl+↓` | zoom the chosen plot's values in and out |
| `shift`+arrows, shift+wheel, drag with the right button or ctrl | move along |
| `f` | follow the newest steps, or show all |
| `←` `→` `home` `end`, mouse | crosshair: the values of all curves at a step |
| `escape` | no range, no crosshair, all plots |
| `a` | everything again |
| `e` | steps, epochs, time (of training) or wall time (pauses and all) below |
| `c` | everything, or no outliers |
| `n` | one plot, two, three, four, six, nine, or as many as have room |
| `pageup` `pagedown` | other metrics |

Marks on the axis: `Δ` a setting was edited, `▾` a checkpoint, `!` an alert, `Y` a fork (of another run, or of this
one), `↻` training was taken up again. Move the crosshair there to read them.
"""

BINDINGS: list[BindingType] = [
    Binding("l", "log", "Log", id="losses.log"),
    Binding("left_square_bracket", "smooth(-1)", "Smooth", key_display="[ ]", id="losses.smooth_less"),
    Binding("right_square_bracket", "smooth(1)", "More smoothing", show=False, id="losses.smooth_more"),
    Binding("plus,equals_sign", "zoom(0.5)", "Zoom", key_display="+ -", id="losses.zoom_in"),
    Binding("minus", "zoom(2.0)", "Zoom out", show=False, id="losses.zoom_out"),
    Binding("shift+left", "pan(-0.25)", "Move back", show=False, id="losses.pan_left"),
    Binding("shift+right", "pan(0.25)", "Move on", show=False, id="losses.pan_right"),
    Binding("a", "reset", "All", id="losses.reset"),
    Binding("L", "log_x", "Log steps", show=False, id="losses.log_x"),
    Binding("s", "zero_phase", "Average that does not lag", show=False, id="losses.zero_phase"),
    Binding("b", "range", "Range of steps from the crosshair", show=False, id="losses.range"),
    Binding("ctrl+up", "zoom_values(0.5)", "Zoom into values", show=False, id="losses.values_in"),
    Binding("ctrl+down", "zoom_values(2.0)", "Zoom out of values", show=False, id="losses.values_out"),
    Binding("shift+up", "pan_values(0.25)", "Higher values", show=False, id="losses.values_up"),
    Binding("shift+down", "pan_values(-0.25)", "Lower values", show=False, id="losses.values_down"),
    Binding("up", "choose(-1)", "Plot before", show=False, id="losses.plot_before"),
    Binding("down", "choose(1)", "Next plot", show=False, id="losses.plot_next"),
    Binding("enter", "alone", "One plot", id="losses.alone"),
    Binding("g", "group", "Metrics of one phase", show=False, id="losses.group"),
    Binding("f", "follow", "Follow", id="losses.follow"),
    Binding("c", "whole", "Everything, or no outliers", show=False, id="losses.clip"),
    Binding("e", "x_axis", "Steps, epochs or time", show=False, id="losses.x_axis"),
    Binding("left", "cursor(-1)", "Crosshair", key_display="← →", id="losses.cursor_left"),
    Binding("right", "cursor(1)", "Crosshair on", show=False, id="losses.cursor_right"),
    Binding("ctrl+left", "cursor(-10)", "Crosshair far back", show=False, id="losses.cursor_far_left"),
    Binding("ctrl+right", "cursor(10)", "Crosshair far on", show=False, id="losses.cursor_far_right"),
    Binding("home", "cursor_end(False)", "Crosshair to the start", show=False, id="losses.cursor_home"),
    Binding("end", "cursor_end(True)", "Crosshair to the end", show=False, id="losses.cursor_end"),
    Binding("escape", "clear", "No crosshair", show=False, id="losses.clear"),
    Binding("pagedown", "panel(1)", "Metrics", key_display="pgdn", id="losses.next_panel"),
    Binding("pageup", "panel(-1)", "Earlier metrics", show=False, id="losses.previous_panel"),
    Binding("n", "count", "Number of plots", show=False, id="losses.count"),
]
