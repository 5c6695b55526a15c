"""The session's lease: it is held while a counter moves, and ends when it stands still for too long or is put to 0."""

from __future__ import annotations

HELD_UP_S = 0.4
"""Time between two looks from which whoever looks was held up, s."""
MOMENT_S = 0.25
"""What beats get then, s."""


class Lease:
    """Who drives, told from a counter alone.

    Parameters
    ----------
    lease_s
        How long the counter may stand still, s.
    now_s
        Present time of a clock that never jumps, s.
    assumed_until_s
        Until when a lease that was held before a restart counts as held, s of the same clock; `now_s` for none.
    """

    def __init__(self, lease_s: float, now_s: float, assumed_until_s: float | None = None) -> None:
        self._lease = lease_s
        self._counter: int | None = None
        self._until = now_s if assumed_until_s is None else assumed_until_s
        self._ended: float | None = None if self._until > now_s else now_s
        self._looked = now_s

    def beat(self, counter: int, now_s: float) -> None:
        """Take a value of the counter; 0 gives the lease back."""
        if counter == 0:
            self._until = now_s
        elif counter != self._counter:
            self._until = max(self._until, now_s + self._lease) if self._counter is None else now_s + self._lease
        self._counter = counter

    def ended_s(self, now_s: float) -> float | None:
        """Return how long nobody has held the lease, s; None while somebody does.

        Where the guard itself was held up, beats may wait for it: they are given a moment before the lease ends.
        """
        if self._ended is None and now_s - self._looked > HELD_UP_S:
            self._until = max(self._until, now_s + MOMENT_S)
        self._looked = now_s
        if now_s < self._until:
            self._ended = None
            return None
        if self._ended is None:
            self._ended = self._until
        return now_s - self._ended
