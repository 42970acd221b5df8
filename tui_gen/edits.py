"""Edits of settings while training, `{step, key, value}`: what a config plans and what a log holds, as one list."""

from __future__ import annotations

from typing import Any

from tui_gen.params import show

Edits = list[dict[str, Any]]


def merged(plan: Any, live: Edits) -> Any:
    """What a config plans and what was made of it and by hand, by step, each once.

    At one step what was made comes first, in its order: a plan is carried out after what people ask for, and what
    `--resume --set` adds to a plan is newer than all that the log holds. A plan that is none (it was written by hand)
    is given back as it is, for `config.load` to say what is wrong with it.
    """
    if not isinstance(plan, list):
        return plan
    if not all(isinstance(edit, dict) and _whole(edit.get("step")) for edit in plan):
        return plan
    pending, rest = list(live), []
    for edit in plan:
        if edit in pending:
            pending.remove(edit)
        else:
            rest.append(edit)
    return sorted([*live, *rest], key=lambda edit: edit["step"])


def _whole(step: Any) -> bool:
    return isinstance(step, int) and not isinstance(step, bool)


def overriding(edits: Edits, key: str, step: int, value: Any) -> str:
    """Words for that a setting changed at `step` is set to another value by one of these edits later; or empty.

    Of several at one step the last counts.
    """
    last = {edit["step"]: edit for edit in edits if edit["key"] == key and edit["step"] > step}
    later = next((edit for _, edit in sorted(last.items()) if edit["value"] != value), None)
    if later is None:
        return ""
    return (
        f"{key} = {show(value)} counts until step {later['step']:,}: there an edit that was planned or made before "
        f"sets it to {show(later['value'])}"
    )
