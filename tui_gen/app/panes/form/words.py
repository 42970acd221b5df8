"""What the form tells about itself: its frame's titles, and the words at the foot about the field under the cursor."""

from __future__ import annotations

from textual.content import Content

from tui_gen import params
from tui_gen.app.panes.form.state import FormState
from tui_gen.progress import per_process
from tui_gen.text import clean

SHARING = ("train.batch_size", "train.processes")
"""The settings that say what each process has of a batch."""


def titles(state: FormState) -> tuple[str, str]:
    """Title and subtitle: whose values are shown, and how many are changed or wrong."""
    count, wrong = len(state.changed()), len(state.placed())
    parts = [f"{count} changed" if count else "", f"{wrong} problem{'s' * (wrong > 1)}" if wrong else ""]
    return ("run " if state.live else "") + clean(state.source), " · ".join(part for part in parts if part)


def at_foot(state: FormState, key: str, unfound: str = "") -> Content:
    """About a field: its help, what is allowed, where its value comes from; without a field, about the keys, or of
    words that no setting has."""
    if unfound:
        words = f"No setting of this model and dataset has “{clean(unfound)}” in its name or help. Esc shows all."
        return Content(words)
    if not key:
        if state.unread:
            return Content("The run's settings, as they were written. v shows the form for the next run.")
        if state.live:
            return Content("The run's values. Enter on a live one edits it, v shows the form for the next run.")
        words = "Enter folds or unfolds. / filters, n next problem, R resets all, e opens $EDITOR; on fields with Ctrl."
        return Content(words)
    param, base = state.params[key], state.baseline(key)
    facts = [param.allowed() + (f" [{param.unit}]" if param.unit else "")]
    if share := _share(state, key):
        facts.insert(0, share)
    if param.default not in (None, "", []) and not state.unread:
        facts.append(f"default {params.show(param.default)}")
    if state.modified(key) and base.text:
        facts.append(f"{'run' if state.live else 'recipe'} {base.text}")
    if param.live:
        facts.append("live")
    if not state.editable(key):
        facts.insert(0, f"{locked(state)}; v shows the form for the next run")  # first: the end may have no room
    return Content.assemble((clean(param.help or param.name), "bold"), "\n", clean(" · ".join(facts)))


def _share(state: FormState, key: str) -> str:
    """What each process has of a batch, at the settings that decide it; empty elsewhere, and where one has all."""
    if key not in SHARING:
        return ""
    batch_size, processes = (state.value(name) for name in SHARING)
    if not (isinstance(batch_size, int) and isinstance(processes, int) and 1 < processes <= batch_size):
        return ""
    return f"a batch is {per_process(batch_size, processes)}"


def locked(state: FormState) -> str:
    """Why a field of a run may not be edited, in a few words."""
    if state.unread:
        return "shown as it was written"
    return "the run has ended" if state.ended else "fixed while the run trains"


def why_locked(state: FormState, key: str) -> str:
    """The same in a line or two, to whoever tried: what can be done instead."""
    if state.unread:
        return state.unread
    then = "For the next run: v shows its form, c copies these settings into it."
    if state.ended:
        return f"The run has ended, and would go on with what it had. {then}"
    live = [name.rpartition(".")[2] for name, param in state.params.items() if param.live]
    can = f"; these can be changed: {', '.join(dict.fromkeys(live[:4]))}, …" if live else ""
    return f"Fixed while the run trains{can}. {then}"
