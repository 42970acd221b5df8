"""How good a model's samples are: distances to real data in the features of a small network trained here.

`measure` gives a `tui_gen.quality.Report` in slices; `finish` does them all at once. `nets` are the networks,
`reference` the real data's features and their cache, `distances` the formulas.
"""

from __future__ import annotations

from tui_gen.train.quality.evaluate import finish, measure, refuse
from tui_gen.train.quality.reference import WAITING, QualityError, Reference, prepared

__all__ = ["WAITING", "QualityError", "Reference", "finish", "measure", "prepared", "refuse"]
