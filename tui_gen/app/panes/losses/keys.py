"""The keys of the losses pane, and its page of help."""

from __future__ import annotations

from textual.binding import Binding, BindingType

from tui_gen.app.panes.curves.keys import bindings

HELP = """
## Losses

The line above the plots says whether it is going well: the metric that the recipe is judged by, its best value so far,
the **figure** that it should come to, which is also drawn across its plot, and what to do. What has no room in it
stands below.

Each plot has one metric, the one that the recipe is judged by first, in sections: those of each phase of the training,
quality, health. Every step's value is kept. The dim **band**
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
| `o` `O`, click on a name | fold the section of the chosen plot; unfold all |
| `g` | the plots of one section, then of the next, then all |
| `+` `-`, wheel | zoom in and out |
| drag | zoom to a range of steps; over some rows, to a box |
| `b` | begin a range of steps at the crosshair; again: zoom to it |
| `ctrl+↑` `ctrl+↓` | zoom the chosen plot's values in and out |
| `shift`+arrows, shift+wheel, drag with the right button or ctrl | move along |
| `f` | follow the newest steps, or show all |
| `←` `→` `home` `end`, mouse | crosshair: the values of all curves at a step; `0.42@500`: as last measured, at 500 |
| `F` | fork the run: a new one that goes on from the crosshair's step, or from the newest checkpoint |
| `escape` | no range, no crosshair, all plots |
| `a` | everything again |
| `e` | steps, epochs, time (of training) or wall time (pauses and all) below |
| `c` | everything, or no outliers |
| `n` | one plot, two, three, four, six, nine, or as many as have room |
| `pageup` `pagedown` | other metrics |
| `N` | a note at the crosshair, or at the newest step |

Marks on the axis: `Δ` a setting was edited, `▾` a checkpoint, `!` an alert, `Y` a fork (of another run, or of this
one), `↻` training was taken up again, `✎` a note. Move the crosshair there to read them; F1 has all that they say.
"""

BINDINGS: list[BindingType] = [
    *bindings("losses"),
    Binding("N", "note", "Note", show=False, id="losses.note"),
    Binding("F", "fork", "Fork from the crosshair's step", show=False, id="losses.fork"),
]
