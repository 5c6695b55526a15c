"""Which tiles count: a pure ledger. Whatever is lost, repeated or overtaken, the accepted finals are the same."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from stream.messages import RunStart, Tile
from stream.slots import SweepKey


class Verdict(enum.Enum):
    """What to do with a tile."""

    ACCEPTED = "accepted"
    """It is news."""
    DUPLICATE = "duplicate"
    """The band is final already: confirm it again, use nothing."""
    OLD_REVISION = "old revision"
    """A newer one was accepted."""
    STALE_LEASE = "stale lease"
    """Somebody else owns the band by now."""
    INCOMPLETE = "incomplete"
    """It says final but lacks frames, or counts more frames than there are."""
    UNKNOWN = "unknown"
    """Its sweep has not been announced (yet)."""
    ALIEN = "alien"
    """There is no such band in the sweep, or it is another worker's."""


MAX_BINNING = 64
"""Most pixels along an edge that a fit may add up to one."""


def fits(tile: Tile, run: RunStart) -> bool:
    """Tell whether a tile's rows lie within the camera and its planes end in (rows, x), or in those of a binned fit."""
    rows = tile.y1 - tile.y0
    forms = {(rows // n, run.width // n) for n in range(1, MAX_BINNING + 1)}
    return 0 <= tile.y0 < tile.y1 <= run.height and all(plane.shape[-2:] in forms for plane in tile.planes.values())


@dataclass
class _Band:
    lease: int = 0
    revision: int = -1
    worker: str = ""
    final: bool = False
    frames_added: int = 0


@dataclass
class _Sweep:
    total: int
    rows: dict[int, int]
    bands: dict[int, _Band] = field(default_factory=dict[int, _Band])


class TileLedger:
    """Leases and revisions of every band of every sweep."""

    def __init__(self) -> None:
        self._sweeps: dict[SweepKey, _Sweep] = {}
        self.counts: dict[Verdict, int] = dict.fromkeys(Verdict, 0)

    def open_sweep(self, key: SweepKey, total: int, rows: list[tuple[int, int]]) -> None:
        """Expect tiles of a sweep of `total` frames in these bands; a second time is no news."""
        if key not in self._sweeps:
            self._sweeps[key] = _Sweep(total, dict(rows), {y0: _Band() for y0, _ in rows})

    def close_sweep(self, key: SweepKey) -> None:
        """Forget a sweep: its tiles are unknown from now on."""
        self._sweeps.pop(key, None)

    def close_run(self, run_uid: str) -> None:
        """Forget every sweep of a run."""
        for key in [key for key in self._sweeps if key[0] == run_uid]:
            del self._sweeps[key]

    def whole(self, run_uid: str) -> bool:
        """Tell whether every band of every open sweep of a run is final."""
        return all(self.complete(key) for key in self._sweeps if key[0] == run_uid)

    def known(self, key: SweepKey) -> bool:
        """Tell whether the sweep is open."""
        return key in self._sweeps

    def grant(self, key: SweepKey, y0: int, lease: int, worker: str) -> None:
        """Note a lease; leases only rise."""
        sweep = self._sweeps.get(key)
        band = None if sweep is None else sweep.bands.get(y0)
        if band is not None and lease > band.lease and not band.final:
            band.lease, band.revision, band.worker, band.frames_added = lease, -1, worker, 0

    def offer(self, tile: Tile) -> Verdict:
        """Judge a tile and remember it where it is accepted."""
        verdict = self._judge(tile)
        self.counts[verdict] += 1
        return verdict

    def owner(self, key: SweepKey, row: int) -> str:
        """Return who made (or makes) the band of a camera row; empty where nobody does."""
        sweep = self._sweeps.get(key)
        if sweep is None:
            return ""
        return next((sweep.bands[y0].worker for y0, y1 in sweep.rows.items() if y0 <= row < y1), "")

    def finals(self) -> list[tuple[SweepKey, int, int]]:
        """Return (key, y0, lease) of every final band."""
        return [
            (key, y0, band.lease)
            for key, sweep in self._sweeps.items()
            for y0, band in sweep.bands.items()
            if band.final
        ]

    def complete(self, key: SweepKey) -> bool:
        """Tell whether every band of a known sweep is final."""
        return key in self._sweeps and all(band.final for band in self._sweeps[key].bands.values())

    def _judge(self, tile: Tile) -> Verdict:  # noqa: PLR0911 - one return per verdict
        sweep = self._sweeps.get((tile.run_uid, tile.sweep))
        if sweep is None:
            return Verdict.UNKNOWN
        if sweep.rows.get(tile.y0) != tile.y1:
            return Verdict.ALIEN
        band = sweep.bands[tile.y0]
        seen = tile.frames_added + tile.frames_lost
        if seen > sweep.total or (tile.final and seen != sweep.total):
            return Verdict.INCOMPLETE
        if band.final:
            return Verdict.DUPLICATE
        if tile.lease < band.lease:
            return Verdict.STALE_LEASE
        if tile.lease == band.lease and tile.worker != band.worker:
            return Verdict.ALIEN
        if tile.lease == band.lease and tile.revision <= band.revision:
            return Verdict.OLD_REVISION
        # a lease higher than any grant heard of is a grant that this tile overtook
        band.lease, band.revision, band.worker = tile.lease, tile.revision, tile.worker
        band.frames_added, band.final = tile.frames_added, tile.final
        return Verdict.ACCEPTED
