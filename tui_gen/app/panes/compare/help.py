"""What is told of the Compare pane."""

from __future__ import annotations

NOTHING = (
    "Nothing is compared.\nIn the Runs pane, Space marks runs and c compares them;\n"
    "the command palette has “Compare with …” for the run that is shown."
)
HELP = """
## Compare

The runs that were marked in the Runs pane (Space marks, `c` compares), or that the palette's **Compare with …** added
to the run that is shown; two to twelve, live ones among them. Each has a letter, a glyph and a colour that stay its
own. `v` turns the pages, and so does a click on their names.

- **Curves**: a plot a metric, the one that the runs are judged by first, with a curve for each run that has it; the
  keys are those of the Losses pane (F1 there). Averages are drawn alone; `w` draws what the values span behind them,
  too. `e`: over steps, epochs, time of training or wall time, all counted from
  each run's own start. The crosshair reads every run, `–` past its end. A figure stands across a plot where it is that
  of all of them.
- **Samples**: the previews of all runs side by side, each at the last step that it had by then; `e` chooses what is
  equal: steps, epochs, time of training or wall time. `←` `→` `home` `end` and the line below move all of them, `p`
  plays, `t` `T` choose the kind of previews, texts too. `enter` or a click magnifies a tile of each (`↑` `↓`: another
  one): they are made from the same noise where the runs have the same seed and the same shape of it.
- **Settings**: those that are not the same in all. `°` marks what a run has as it is where nothing is stated, `–` what
  it does not have.
- **Results**: how far each is, its last and its best values; `★` is the best of all.

Of a fork and its origin the past that they share is drawn once; `Y` marks where they part, `Δ` a setting that was
edited. Move the crosshair there to read it.
"""
