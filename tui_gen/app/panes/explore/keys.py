"""The Explore pane's keys, and what its help says of them."""

from __future__ import annotations

from textual.binding import Binding, BindingType

HELP = """
## Explore

What the model makes of **every place of its latent space**: a code's numbers are coordinates, and you stand at one of
them (`◉`). Move, and see it change. It is decoded from the run's newest checkpoint by a process of its own, so that a
run may train on, or be over for years. The letters on the plane are codes of real examples, each the label it has.

| key | does |
|---|---|
| arrows, mouse | move on the plane; `shift` moves five steps |
| `x` `X` `y` `Y` | the next, or the last, dimension on either axis; `d` asks for both numbers |
| `a` | axes: dimensions, principal components of codes, through pins, t-SNE |
| `home` | the middle; `r` a random place |
| `e` `E` | walk from an example: the next, or the last; in the picture of errors those that are rebuilt worst |
| `p` `P` | pin this place; take the last pin away. Two or three make a plane, two or more a walk |
| `t` `T` `k` | the picture: this point, the grid of the plane, classes, a walk, errors, the trajectory |
| `[` `]` | the tile before, or after, large: step through a walk or a trajectory; `escape` all of them |
| `enter`, click | go to where a tile is |
| `l` `L` | another class, for models that are told one |
| `s` | walk along the arc (slerp) or straight (lerp) |
| `+` `-` | guidance of the trajectory; tiles of the grid |
| `,` `.` | an earlier, or a later, checkpoint |
| `u` | the newest weights: a live run is asked for a checkpoint |
| `g` | another way to draw pictures |
| `w` | save the walk as a GIF, any other picture as a PNG |

**Errors** shows the examples that are rebuilt worst: those that are unlike the others (anomalies), or that the model
has not learnt yet. A **component** is a direction in which codes of data vary most; dimensions that vary little with
the data are not used by the model. On **t-SNE**, which keeps neighbours together and nothing else, a place is the
example nearest to it.
"""

BINDINGS: list[BindingType] = [
    Binding("left", "move(-1, 0)", "Move", key_display="arrows", id="explore.left"),
    Binding("right", "move(1, 0)", "Move right", show=False, id="explore.right"),
    Binding("up", "move(0, 1)", "Move up", show=False, id="explore.up"),
    Binding("down", "move(0, -1)", "Move down", show=False, id="explore.down"),
    Binding("shift+left", "move(-5, 0)", "Far left", show=False, id="explore.far_left"),
    Binding("shift+right", "move(5, 0)", "Far right", show=False, id="explore.far_right"),
    Binding("shift+up", "move(0, 5)", "Far up", show=False, id="explore.far_up"),
    Binding("shift+down", "move(0, -5)", "Far down", show=False, id="explore.far_down"),
    Binding("a", "axes", "Axes", id="explore.axes"),
    Binding("x", "axis('first', 1)", "Dimension", key_display="x y", id="explore.x_next"),
    Binding("X", "axis('first', -1)", "Dimension before, across", show=False, id="explore.x_before"),
    Binding("y", "axis('second', 1)", "Dimension upwards", show=False, id="explore.y_next"),
    Binding("Y", "axis('second', -1)", "Dimension before, upwards", show=False, id="explore.y_before"),
    Binding("d", "numbers", "Numbers of both axes", show=False, id="explore.numbers"),
    Binding("t", "scene(1)", "Picture", key_display="t k", id="explore.scene"),
    Binding("T", "scene(-1)", "Picture before", show=False, id="explore.scene_before"),
    Binding("k", "scenes", "All pictures", show=False, id="explore.scenes"),
    Binding("p", "pin", "Pin", id="explore.pin"),
    Binding("P", "unpin", "Take a pin away", show=False, id="explore.unpin"),
    Binding("e", "example(1)", "Example", id="explore.example"),
    Binding("E", "example(-1)", "Example before", show=False, id="explore.example_before"),
    Binding("r", "random", "Random", id="explore.random"),
    Binding("home", "middle", "Middle", show=False, id="explore.middle"),
    Binding("l", "label(1)", "Class", id="explore.label"),
    Binding("L", "label(-1)", "Class before", show=False, id="explore.label_before"),
    Binding("s", "way", "Arc or straight", show=False, id="explore.way"),
    Binding("left_square_bracket", "tile(-1)", "Frame", key_display="[ ]", id="explore.tile_before"),
    Binding("right_square_bracket", "tile(1)", "Frame after", show=False, id="explore.tile_after"),
    Binding("enter", "go", "Go there", show=False, id="explore.go"),
    Binding("escape", "whole", "All tiles", show=False, id="explore.whole"),
    Binding("plus,equals_sign", "more(1)", "Guidance, or tiles", show=False, id="explore.more"),
    Binding("minus", "more(-1)", "Less guidance, or fewer tiles", show=False, id="explore.less"),
    Binding("comma", "weights(-1)", "Earlier weights", show=False, id="explore.earlier"),
    Binding("full_stop", "weights(1)", "Later weights", show=False, id="explore.later"),
    Binding("u", "update", "Newest weights", id="explore.update"),
    Binding("g", "graphics", "Graphics", show=False, id="explore.graphics"),
    Binding("w", "save", "Save as", id="explore.save"),
]
