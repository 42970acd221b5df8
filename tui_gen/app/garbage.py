"""When Python looks for what nobody can reach any more: in moments in which nobody waits for the answer to a key.

By itself it looks each time that so many more objects were made than given back, and a dialog makes some tens of
thousands: a fifth of the time until it is on screen, and now and then as long as all the rest.
"""

from __future__ import annotations

import gc

MOST = 200_000
"""Objects more than were given back from which Python looks, whatever goes on."""
DUE = 10_000
"""Those from which a calm moment is used."""
OLD = 10
"""Looks at what is new after which one goes through all that came since the start."""


def settle() -> None:
    """All is there now that stays: it need not be gone through again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(MOST)


def tidy() -> None:
    """Nobody waits for anything now: go through what is new, and each tenth time through all that came since."""
    made, _, looks = gc.get_count()
    if made > DUE:
        gc.collect(2 if looks >= OLD else 1)
