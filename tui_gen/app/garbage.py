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


def settle() -> None:
    """All is there now that stays: it need not be gone through again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(MOST)


def tidy() -> None:
    """Nobody waits for anything now."""
    if gc.get_count()[0] > DUE:
        gc.collect()
