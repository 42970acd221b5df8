"""How often live data is drawn: as fast as the link carries it, and never so fast that keys wait behind frames.

After a frame the terminal is asked a question; its answer tells that the frame has arrived. The next frame goes out no
earlier than two such round trips after the one before, so at least half of a slow link's time is free for the frames
that key presses cause. A terminal that never answers is drawn at a fixed, modest rate.
"""

from __future__ import annotations


class Pacer:
    """Decides when the next live frame may be drawn. Times are in seconds, from any steady clock.

    `round_trip` is the smoothed time to the terminal and back, or None before it is known.
    """

    FASTEST = 0.08
    UNKNOWN = 0.12
    """Between frames for a terminal that answers no questions."""
    PATIENCE = 5.0
    """How long an answer is waited for, doubled with each one that stays away, up to LONGEST."""
    LONGEST = 60.0

    def __init__(self, round_trip: float | None = None) -> None:
        self.round_trip = round_trip
        self._last_trip = round_trip
        self._drawn = -1e9
        self._asked: float | None = None
        self.answers = False
        """Whether the terminal has ever answered; one that has not is not asked."""
        self._patience = self.PATIENCE

    @property
    def interval(self) -> float:
        """Least time between two frames."""
        if self._last_trip is None:
            return self.UNKNOWN
        return max(self.FASTEST, 2 * self._last_trip)

    def may_draw(self, now: float) -> bool:
        """Whether the link has taken the last frame and had its rest."""
        if self._asked is not None and self.answers:
            if now - self._asked < self._patience:
                return False
            self._asked = None
            self._patience = min(self.LONGEST, 2 * self._patience)
        return now - self._drawn >= self.interval

    def drawn(self, now: float, asked: bool) -> None:
        """A live frame went out; `asked` tells whether the question went with it."""
        self._drawn = now
        if asked:
            self._asked = now

    def answered(self, now: float) -> bool:
        """An answer came. True where it was to a question of ours, not Textual's own at the start."""
        self.answers = True
        if self._asked is None:
            return False
        trip, self._asked = now - self._asked, None
        self._patience = self.PATIENCE
        self._last_trip = trip
        self.round_trip = trip if self.round_trip is None else 0.8 * self.round_trip + 0.2 * trip
        return True
