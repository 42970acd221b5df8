"""How often live data is drawn: as fast as the link carries it, and never so fast that keys wait behind frames.

And never so fast that training which computes on the same cores feels it.

After a frame the terminal is asked a question; its answer tells that the frame has arrived. The next frame goes out no
earlier than twice that time after the one before, so at least half of a slow link's time is free for the frames that
key presses cause. A terminal that never answers is drawn at a fixed, modest rate.
"""

from __future__ import annotations

from collections.abc import Callable


class Pacer:
    """Decides when the next live frame may be drawn. Times are in seconds, from any steady clock.

    `round_trip` is the smoothed time to the terminal and back, or None before it is known. With a `limit`, in bytes/s,
    a live frame goes out when all bytes since the one before, which `byte_count` counts, are paid for.
    """

    FASTEST = 0.08
    FAR = 0.06
    """Round trip from which a terminal is far away."""
    UNKNOWN = 0.12
    """Between frames for a terminal that answers no questions."""
    TRIES, FIRST = 2, 3.0
    """Questions, and seconds to wait for the answer to each, before a terminal counts as one that never answers."""
    PATIENCE = 5.0
    """How long an answer is waited for, doubled with each one that stays away, up to LONGEST."""
    LONGEST = 60.0
    OVERDUE = 1.0
    """Seconds, and four times what the last answer took, after which a key press waits for an answer no longer."""

    def __init__(
        self, round_trip: float | None = None, limit: float | None = None, byte_count: Callable[[], int] = lambda: 0
    ) -> None:
        self.round_trip = round_trip
        self.limit = limit
        self._byte_count = byte_count
        self._count = 0
        """Bytes written when the last live frame was drawn."""
        self.answers = False
        """Whether the terminal has ever answered."""
        self._draw_time = -1e9
        self._question_time: float | None = None
        self._since: float | None = None
        """When the first of the questions was asked that the last frame, and what followed it, needed."""
        self._busy = round_trip
        self._patience = self.PATIENCE
        self._tries = 0

    @property
    def slow(self) -> bool:
        """Whether a screenful more than needed would be felt: the terminal is far away, or bytes are counted."""
        return self.limit is not None or (self.round_trip or 0.0) > self.FAR

    @property
    def may_ask(self) -> bool:
        """Whether a question is worth the bytes."""
        return self.answers or self._tries < self.TRIES

    @property
    def asked(self) -> bool:
        """Whether a question is open."""
        return self._question_time is not None

    @property
    def waiting(self) -> bool:
        """Whether an answer is on its way."""
        return self.answers and self.asked

    @property
    def interval(self) -> float:
        """Least time between two frames."""
        wait = (self._byte_count() - self._count) / self.limit if self.limit else 0.0
        return max(wait, self.UNKNOWN if self._busy is None else max(self.FASTEST, 2 * self._busy))

    def may_draw(self, now: float) -> bool:
        """Whether the link has taken the last frame and had its rest."""
        if self._question_time is not None:
            if now - self._question_time < (self._patience if self.answers else self.FIRST):
                return False
            self._question_time = None
            self._since = None
            self._patience = min(self.LONGEST, 2 * self._patience)
        return now - self._draw_time >= self.interval

    def overdue(self, now: float) -> bool:
        """Whether an answer should have come long ago: it may have gone where nobody listens any more."""
        patience = max(self.OVERDUE, 4 * (self._busy or 0.0))
        return self._question_time is not None and now - self._question_time > patience

    def drop(self) -> None:
        """Wait for the answer no longer: who attaches to a session was not there to be asked."""
        self._question_time = self._since = None
        self._patience = self.PATIENCE

    def drawing(self, now: float) -> None:
        """A live frame is being drawn."""
        self._draw_time, self._count = now, self._byte_count()

    def ask(self, now: float) -> None:
        """A question went out."""
        self._question_time = now
        self._since = now if self._since is None else self._since
        self._tries += not self.answers

    def answered(self, now: float, more: bool = False) -> None:
        """Its answer came; `more` tells that what was sent since then gets a question of its own."""
        self.answers = True
        if self._question_time is None:
            return
        trip, self._question_time = now - self._question_time, None
        self._patience = self.PATIENCE
        self.round_trip = trip if self.round_trip is None else 0.8 * self.round_trip + 0.2 * trip
        if not more:
            self._busy = now - self._since if self._since is not None else trip
            self._since = None


class CpuBudget:
    """How long live frames rest, so that looking on costs little while nobody presses keys.

    Training that needs every core of this machine pays for what is drawn: each frame takes a core from one of the
    threads that compute a step together, so all of them wait, and the step feels it more than the share says. Frames
    get SHARE of one core then, on the average; else SPARE of one, and RATE bytes a second. Times are in seconds, `now`
    from any steady clock, `cpu_seconds` the processor time that this process has taken so far.
    """

    SHARE = 0.005
    LONGEST = 2.0
    """Between two frames, however much they take."""
    SPARE = 0.05
    RATE = 7000.0
    CALM = 0.7
    """As LONGEST, where a core is spare."""
    HANDS_ON = 2.0
    """How long after a key press or a click there is no restraint."""

    def __init__(self) -> None:
        self._draw_time = -1e9
        self._cpu_seconds = 0.0
        self._byte_count = 0
        self._touch_time = -1e9

    def drawing(self, now: float, cpu_seconds: float, byte_count: int = 0) -> None:
        """A live frame is being drawn; `cpu_seconds` are those before it, `byte_count` is that of all so far."""
        self._draw_time, self._cpu_seconds, self._byte_count = now, cpu_seconds, byte_count

    def touched(self, now: float) -> bool:
        """Somebody pressed a key, or a button of the mouse; whether that ends a time of restraint."""
        before, self._touch_time = self._touch_time, now
        return now - before >= self.HANDS_ON

    def hands_on(self, now: float) -> bool:
        """Whether somebody presses keys."""
        return now - self._touch_time < self.HANDS_ON

    def left(self, now: float, cpu_seconds: float, byte_count: int | None = None) -> float:
        """Seconds until the next frame may be drawn; 0 for at once. `byte_count` is told where a core is spare."""
        if self.hands_on(now):
            return 0.0
        if byte_count is None:
            rest = min(self.LONGEST, (cpu_seconds - self._cpu_seconds) / self.SHARE)
        else:
            seconds, count = cpu_seconds - self._cpu_seconds, byte_count - self._byte_count
            rest = min(self.CALM, max(seconds / self.SPARE, count / self.RATE))
        return max(0.0, self._draw_time + rest - now)
