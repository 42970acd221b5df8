"""What F1 says in the samples pane."""

SAMPLES_HELP = """
## Samples

What the model makes, **from the same noise at every step**: step through the history to see one digit, face or cloud
of points take shape. Averaged (EMA) weights are used where the model keeps them.

| key | does |
|---|---|
| `←` `→`, wheel, timeline | the preview before, or after |
| `ctrl+←` `ctrl+→` | a tenth of the history |
| `home` `end` | the first preview; the newest, and follow it |
| `p`, ▶ | play the history; again to stop |
| `↑` `↓` | one row of tiles large, or the tile before or after where one is |
| `enter`, click | one tile large; again, or `escape`: the whole grid |
| `a` `b`, right button on the timeline | pin this step as A, or B; again to let it go |
| `f` | A and B in turn, or a pinned step (else the one before) and this one; again to stop |
| `s` | side by side: averaged (EMA) and raw weights, or with A, B, the step before; again for the next, then off |
| `d` | what differs from the step before, from A, B, or raw weights: the brighter the more; then off |
| `n` | a tile beside the images it was trained on that are nearest to it, in pixels; again to stop |
| `t` `T` | the next kind, or the one before: samples, reconstructions, codes, quality … |
| `k` | a list of all kinds |
| `g` | another way to draw: pixels (kitty or sixel), half-blocks, ASCII, off |
| `y` | copy the path of the file |
| `w` | save the picture as … |
| `N` | a note on this preview |
| `F` | fork the run: a new one that goes on from this step, with settings of its own |

Tiles are laid out so that they are as large as the pane allows. What belongs together stays together: an original and
its reconstruction, the samples of a class, a way from noise to sample. Their names stand below or beside them, the
legend of a plot beside it; where a pane is too small for names, `enter` shows a tile with its name. Where it is too
small for all tiles, half-blocks show as many as can be made out.

Every mark on the timeline is a preview. Raw weights are drawn beside averaged ones where `preview.raw` is set, which
can be done while a run trains.
"""
"""The keys, and how tiles are laid out: Markdown."""
