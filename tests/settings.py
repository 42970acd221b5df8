"""What hypothesis draws settings from: any value that a declaration allows, any tables that TOML can hold."""

from __future__ import annotations

import datetime
import math
from typing import Any

from hypothesis import strategies as st

from tui_gen.params import Param

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30) | st.sampled_from(
    ["", " ", '"', "'", '""', '"""', "\\", "a = 1", "# no comment", "[table]", "a\nb", "\r\n", "\t", "\x7f", "\x85",
     "😀", "[bold]", "true", "1", "nan", "none", "a, b", "\ufeff", "\u2028", "~/x y", "ﬀ"]
)  # fmt: skip
"""Text that a file can hold, plain and nasty."""

FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([1e-9, 2e-4, 0.1 + 0.2, 1e16, 5e-324, -0.0])


def _number(param: Param, whole: bool) -> st.SearchStrategy[Any]:
    low = param.ge if param.ge is not None else param.gt
    high = param.le if param.le is not None else param.lt
    if whole:
        least = None if low is None else math.ceil(low) + (param.ge is None and low == math.ceil(low))
        most = None if high is None else math.floor(high) - (param.le is None and high == math.floor(high))
        return st.integers(-(2**63) + 1 if least is None else least, 2**63 - 1 if most is None else most)
    return st.floats(
        low, high, exclude_min=low is not None and param.ge is None, exclude_max=high is not None and param.le is None,
        allow_nan=False, allow_infinity=False,
    )  # fmt: skip


def values_of(param: Param) -> st.SearchStrategy[Any]:
    """Every value that a declaration allows, as it is kept."""
    scalars = {"bool": st.booleans(), "str": TEXT}
    for kind in ("int", "float"):
        if kind in (param.kind, param.item):
            scalars[kind] = _number(param, kind == "int")
    if param.kind == "choice":
        found = st.sampled_from(param.choices)
    elif param.kind == "list":
        found = st.lists(scalars[param.item], min_size=param.min_items, max_size=min(param.max_items, 5))
    else:
        found = scalars[param.kind]
    if param.run:
        found = found.filter(str.strip)
    if param.optional:
        found = st.none() | found.filter(lambda value: value != "")
    return found


SCALARS = st.one_of(
    TEXT, st.integers(), st.integers(10**400, 10**400 + 5), st.floats(), st.booleans(), st.dates(), st.times(),
    st.datetimes(timezones=st.none() | st.just(datetime.UTC)),
)  # fmt: skip


def anything(keys: list[str]) -> st.SearchStrategy[Any]:
    """Whatever may stand behind a key of a TOML file; its tables' keys are often those of a config."""
    names = st.sampled_from(keys) | TEXT
    return st.recursive(
        SCALARS | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5),
        max_leaves=8,
    )
