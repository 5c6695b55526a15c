"""The builder's pace: which channels are published when. Finals at once, the growing map a few times per second."""

from __future__ import annotations

import time
from dataclasses import dataclass

from analyzers.assembly import SweepAssembly
from analyzers.channels import (
    Channel,
    analysis_channel,
    curve_channel,
    expected_channel,
    film_channel,
    map_channels,
    mean_spectrum_channel,
    run_channel,
    sweep_channel,
    tc_channel,
)
from analyzers.pipeline import SweepMaps
from analyzers.run_work import RunWork
from analyzers.spectrum import fit, normalise, unfitted
from analyzers.tc import TcMaps
from stream.messages import AnalysisReport, Severity
from stream.state import StatePublisher

INTERVAL_S = 0.25
"""Shortest time between two pictures of a growing map, s."""

REST = 2.0
"""Rest after a picture of a growing map, in units of the time that it took: tiles and final maps come first."""

SPECTRUM_INTERVAL_S = 0.5
"""Shortest time between two mean spectra, s: each is fitted."""

REGION = "sample"
"""Region whose mean spectrum is shown."""


@dataclass
class Display:
    """What was published last."""

    publisher: StatePublisher
    """Where channels go."""
    _shown: tuple[int, int, int] = (-1, -1, -1)
    _due_s: float = 0.0
    _spectrum_s: float = 0.0
    _last_sweep: int = -1

    def begin(self, run: RunWork) -> None:
        """Forget the pictures of the run before."""
        for prefix in ("map/", "film/", "spectrum/", "curve/", "sweep", "analysis"):
            self.publisher.forget(prefix)
        self._shown, self._last_sweep = (-1, -1, -1), -1
        self._publish(run_channel(run.maps, finished=False))

    def refresh(self, run: RunWork) -> None:
        """Show how far the newest sweep is, where that changed and is due."""
        assembly = run.newest
        if assembly is None or time.monotonic() < self._due_s:
            return
        state = (assembly.start.sweep, assembly.revision, assembly.frames_sent)
        if state == self._shown:
            return
        grown = state[:2] != self._shown[:2]
        self._shown, began = state, time.monotonic()
        final = assembly.start.sweep in run.maps.finals
        self._publish(sweep_channel(assembly, final))
        if grown and not final:
            self._growing(run, assembly)
        now = time.monotonic()
        self._due_s = now + max(INTERVAL_S, REST * (now - began))

    def final(self, run: RunWork, maps: SweepMaps, report: AnalysisReport, tc: TcMaps | None) -> None:
        """Show final maps; an older sweep than the one on show adds to film and curves only."""
        assembly = run.newest
        newest = maps.start.sweep >= self._last_sweep
        if newest:
            revision = assembly.revision if assembly is not None else 1
            self._last_sweep = maps.start.sweep
            for channel in map_channels(maps, revision, final=True):
                self._publish(channel)
            if assembly is not None and assembly.start.sweep == maps.start.sweep:
                self._publish(sweep_channel(assembly, final=True))
                self._spectrum(run, maps, assembly, final=True)
        if tc is not None:
            self._publish(tc_channel(maps.start, tc.tc_k, tc.tc_sigma_k, tc.status))
        film = film_channel(maps)
        if film is not None:
            self._publish(film)
            self._publish(curve_channel(run.maps))
            expected = expected_channel(run.maps)
            if expected is not None:
                self._publish(expected)
        self._publish(analysis_channel(report))
        resolved = f"{report.coverage:.0%} of the sample resolved"
        self.publisher.event(
            Severity.NO_ALARM, f"{report.temperature_k:.1f} K: map {maps.start.sweep} final, {resolved}"
        )

    def _growing(self, run: RunWork, assembly: SweepAssembly) -> None:
        maps = run.look()
        if maps is None:
            return
        self._last_sweep = maps.start.sweep
        for channel in map_channels(maps, assembly.revision, final=False):
            self._publish(channel)
        if time.monotonic() - self._spectrum_s >= SPECTRUM_INTERVAL_S:
            self._spectrum_s = time.monotonic()
            self._spectrum(run, maps, assembly, final=False)

    def _spectrum(self, run: RunWork, maps: SweepMaps, assembly: SweepAssembly, final: bool) -> None:
        sums = assembly.region_sums(REGION)
        data = normalise(sums, assembly.start.frequency_mhz, run.start.noise)
        if data.frequency_mhz.size:
            whole = data.frequency_mhz.size == assembly.start.frequency_mhz.size
            fitted = fit(data, run.maps.settings) if whole else unfitted(data)
            self._publish(mean_spectrum_channel(maps, run.maps, fitted, final))

    def _publish(self, channel: Channel) -> None:
        self.publisher.publish(channel.name, channel.header, channel.arrays)
