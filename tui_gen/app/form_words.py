"""What the form tells about itself: its frame's titles, and the words at the foot about the field under the cursor."""

from __future__ import annotations

from textual.content import Content

from tui_gen import params
from tui_gen.app.form_state import FormState
from tui_gen.text import clean


def titles(state: FormState) -> tuple[str, str]:
    """Title and subtitle: whose values are shown, and how many are changed or wrong."""
    count, wrong = len(state.changed()), len(state.placed())
    parts = [f"{count} changed" if count else "", f"{wrong} problem{'s' * (wrong > 1)}" if wrong else ""]
    return ("run " if state.live else "") + clean(state.source), " · ".join(part for part in parts if part)


def at_foot(state: FormState, key: str) -> Content:
    """About a field: its help, what is allowed, where its value comes from; without a field, about the keys."""
    if not key:
        if state.live:
            return Content("The run's values. Enter on a live one edits it, v shows the form for the next run.")
        return Content("Enter folds or unfolds. / filters, n next problem, R resets all, e opens $EDITOR.")
    param, base = state.params[key], state.baseline(key)
    facts = [param.allowed() + (f" [{param.unit}]" if param.unit else "")]
    if param.default not in (None, "", []):
        facts.append(f"default {params.show(param.default)}")
    if state.modified(key) and base.text:
        facts.append(f"{'run' if state.live else 'recipe'} {base.text}")
    if param.live:
        facts.append("live")
    if not state.editable(key):
        why = "the run has ended" if state.ended else "fixed while the run trains"
        facts.insert(0, f"{why}; v shows the form for the next run")  # first: the end may have no room
    return Content.assemble((clean(param.help or param.name), "bold"), "\n", clean(" · ".join(facts)))
