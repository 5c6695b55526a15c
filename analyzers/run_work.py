"""One run in the builder: tiles come in, maps come out; knows what is still to come and what was lost."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

from analyzers.assembly import SweepAssembly
from analyzers.fitmap import FitMap
from analyzers.pipeline import RunMaps, SweepMaps, WholeFit
from analyzers.rescue import Unresolved
from analyzers.sweep_files import finished_sweeps
from stream.messages import Json, RunMode, RunStart, RunStop, SweepAbort, SweepProgress, SweepStart, Tile

_LOG = logging.getLogger("builder")


@dataclass
class RunWork:
    """The sweeps of one run, from their first tile to their final maps."""

    start: RunStart
    """The run."""
    maps: RunMaps = field(init=False)
    """Its final maps."""
    assemblies: dict[int, SweepAssembly] = field(default_factory=dict[int, SweepAssembly])
    """Sweeps whose maps are not final, by number."""
    newest: SweepAssembly | None = None
    """The sweep that began last."""
    provisional: SweepMaps | None = None
    """Newest maps of a sweep that is not final."""
    stopped: RunStop | None = None
    """Set once no further sweep will come."""
    finished: bool = False
    """True once every map that can be made was made and saved."""
    aborted: set[int] = field(default_factory=set[int])
    """Sweeps that ended early."""
    lost: dict[int, int] = field(default_factory=dict[int, int])
    """Frames sent but not added by every band, by sweep; only sweeps that came to an end."""
    added: dict[int, int] = field(default_factory=dict[int, int])
    """Frames added exactly once by every band, by sweep; only sweeps that are complete."""
    holes: dict[int, int] = field(default_factory=dict[int, int])
    """Frames that the camera itself lost, by sweep."""
    news_s: float = field(default_factory=time.monotonic)
    """Monotonic time of the last tile or opening, s."""

    def __post_init__(self) -> None:
        """Begin the maps; raises ValueError where settings or regions cannot be read."""
        self.maps = RunMaps.of(self.start)

    @property
    def frames_lost(self) -> int:
        """Frames sent but not added exactly once by every band: of the whole run once it has stopped, else so far."""
        if self.stopped is not None and self.finished:
            return self.stopped.frames_sent - self.frames_added
        return sum(self.lost.values())

    @property
    def frames_added(self) -> int:
        """Frames added exactly once by every band, of all complete sweeps."""
        return sum(self.added.values())

    def counts(self) -> Json:
        """Return what became of the run's frames."""
        sent = self.stopped.frames_sent if self.stopped is not None else 0
        return {"frames_sent": sent, "frames_added": self.frames_added, "frames_lost": self.frames_lost}

    @property
    def pending(self) -> list[int]:
        """Sweeps that began and have neither final maps nor ended early."""
        return sorted(self.assemblies)

    def restore(self, data_dir: str) -> int:
        """Take the maps of finished sweeps back from disk after a restart; returns how many.

        A replay makes every map again, to compare it with the stored one.
        """
        if self.start.mode == RunMode.REPLAY:
            return 0
        stored = finished_sweeps(data_dir, self.start.run_uid, self.maps.version)
        for _, (sweep, planes) in sorted(stored.items()):
            fit = FitMap.from_planes(planes, self.maps.settings.doublets)
            self.maps.restore(sweep, WholeFit(fit, planes["pixel_flags"]))
            self._count_holes(sweep.sweep, sweep.frequency_mhz.size * sweep.passes)
        return len(self.maps.finals)

    def begin(self, sweep: SweepStart) -> None:
        """Begin a sweep; one that is known already is not begun again."""
        self.news_s = time.monotonic()
        if sweep.sweep in self.maps.finals or sweep.sweep in self.assemblies:
            return
        self.maps.expect(sweep)
        assembly = SweepAssembly(sweep, self.start.height, self.start.width, self.maps.settings.bin_px)
        self.assemblies[sweep.sweep] = assembly
        if self.newest is None or sweep.sweep > self.newest.start.sweep:
            self.newest = assembly
            self.provisional = None

    def progress(self, progress: SweepProgress) -> None:
        """Take how far the camera says it is, and what it lost."""
        if progress.frames_lost and not progress.aborted:
            self.holes[progress.sweep] = progress.frames_lost
            if progress.sweep in self.added:
                self._count_holes(progress.sweep, progress.frames_total)
        assembly = self.assemblies.get(progress.sweep)
        if assembly is not None:
            assembly.frames_sent = max(assembly.frames_sent, progress.frames_sent)

    def add(self, tile: Tile) -> list[SweepMaps]:
        """Take a tile; returns the maps that are final now."""
        self.news_s = time.monotonic()
        assembly = self.assemblies.get(tile.sweep)
        if assembly is None:
            return []
        assembly.add(tile)
        if not assembly.complete:
            return []
        fit = FitMap.from_planes(assembly.planes(), self.maps.settings.doublets)
        assembly.frames_sent = max(assembly.frames_sent, assembly.frames_total)
        del self.assemblies[tile.sweep]
        self.added[tile.sweep] = assembly.frames_added
        self.lost[tile.sweep] = assembly.frames_total - assembly.frames_added
        return self.maps.add(assembly.start, fit, assembly.unresolved())

    def complete(self, sweep: SweepStart, fit: FitMap, unresolved: Unresolved) -> list[SweepMaps]:
        """Take the fit of a whole sweep made from its frames file; returns the maps that are final now."""
        self.assemblies.pop(sweep.sweep, None)
        self._count_holes(sweep.sweep, sweep.frequency_mhz.size * sweep.passes)
        return self.maps.add(sweep, fit, unresolved)

    def _count_holes(self, sweep: int, total: int) -> None:
        """Count a complete sweep whose tiles did not say how many frames are in it."""
        self.lost[sweep] = self.holes.get(sweep, 0)
        self.added[sweep] = total - self.lost[sweep]

    def abort(self, abort: SweepAbort) -> list[SweepMaps]:
        """Drop a sweep that ended early; returns maps that waited for it."""
        self.aborted.add(abort.sweep)
        self.assemblies.pop(abort.sweep, None)
        return self.maps.abandon(abort.sweep)

    def give_up(self, sweep: int) -> list[SweepMaps]:
        """Close a sweep that will never be complete and count what is lost; returns maps that waited for it."""
        assembly = self.assemblies.pop(sweep, None)
        if assembly is not None:
            self.lost[sweep] = max(0, assembly.frames_sent - assembly.frames_added)
        return self.maps.abandon(sweep)

    def look(self) -> SweepMaps | None:
        """Return the maps of the newest sweep as far as it is, or None where nothing is fitted or it is final."""
        assembly = self.newest
        if assembly is None or assembly.start.sweep not in self.assemblies or not assembly.tiles:
            return None
        fit = FitMap.from_planes(assembly.planes(), self.maps.settings.doublets)
        self.provisional = self.maps.provisional(assembly.start, fit)
        return self.provisional

    def maps_of(self, sweep: int) -> SweepMaps | None:
        """Return the final or else the newest provisional maps of a sweep."""
        final = self.maps.finals.get(sweep)
        if final is not None:
            return final
        provisional = self.provisional
        return provisional if provisional is not None and provisional.start.sweep == sweep else None

    def opening_of(self, sweep: int) -> SweepStart | None:
        """Return the opening of a sweep that is known."""
        if sweep in self.assemblies:
            return self.assemblies[sweep].start
        final = self.maps.finals.get(sweep)
        return final.start if final is not None else None

    def newest_sweep(self) -> int:
        """Return the number of the newest sweep with something to show; -1 where there is none."""
        known = [n for n, assembly in self.assemblies.items() if assembly.tiles or assembly.frames_sent]
        return max([*known, *self.maps.finals], default=-1)
