"""From fits to maps, once for all: the builder while frames stream, a replay and `nvdac fit` call the same functions.

A run's maps depend on its fits, its opening and the settings only; never on when, where or in which order sweeps
finish.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from analyzers.fitmap import Doublet, FitMap
from analyzers.maps import FieldRatioMap, field_ratio
from analyzers.masks import Flags, PixelFlag, apply_flags, find_flags, flag_counts
from analyzers.prepare import fit_terms, view_of
from analyzers.protocol import history_flags
from analyzers.regions import Regions, regions_of
from analyzers.registration import Drift, at_reference, find_drift
from analyzers.rescue import Unresolved, rescue
from analyzers.settings import AnalysisSettings
from analyzers.significance import FALSE_DISCOVERY_RATE, Change, changed_elements, probability_below
from analyzers.status import names as status_names
from analyzers.stress import StressMap, StressSettings, sigma_zz_from_111_shift, stress_map
from analyzers.sweep_files import sweep_to_json
from analyzers.version import OWN_REFERENCE, constant_set, result_version
from stream.messages import Json, RunStart, SweepRole, SweepStart

FIELD_TOLERANCE = 0.02
"""Relative difference of the applied fields up to which a sweep is compared with a reference."""

RESOLUTION_UM = 0.7
"""Edge of a resolution element: the optics' spot at the diamond, um."""


@dataclass(frozen=True)
class WholeFit:
    """The fit of a whole view after the steps that need all of it."""

    fit: FitMap
    """Fitted lines."""
    flags: Flags
    """(y, x) `analyzers.masks.PixelFlag` bits."""


@dataclass(frozen=True)
class SweepMaps:
    """Everything known of one sweep, per pixel."""

    start: SweepStart
    """The sweep."""
    fit: FitMap
    """Its fitted lines."""
    ratio: FieldRatioMap | None
    """s against the reference; None where there is none, `ratio_reason` says why."""
    ratio_reason: str
    """Why there is no s; empty where there is."""
    reference_sweep: int
    """Number of the reference sweep; -1 without."""
    stress: StressMap | None
    """sigma_ZZ; None where it cannot be had, `stress_reason` says why."""
    stress_reason: str
    """Why there is no sigma_ZZ; empty where there is."""
    flags: Flags
    """(y, x) `analyzers.masks.PixelFlag` bits."""
    change: Change | None = None
    """Where s differs from 1; None without s."""
    drift: Drift | None = None
    """How far the view has moved since the reference; None where that was not looked for."""
    carried_gpa: NDArray[np.float32] | None = None
    """(y, x) the reference's sigma_ZZ moved by the [111] centre since; None without a reference that has one."""

    @property
    def compared(self) -> Doublet:
        """The [111] doublet on the pixels of the reference: what s and all that is compared with it are made of."""
        doublet = self.fit.doublet(0)
        return doublet if self.drift is None else at_reference(doublet, self.drift)

    def planes(self) -> dict[str, NDArray[np.generic]]:
        """Return every plane by name; units in `MAP_UNITS`, meanings in `MAP_DESCRIPTIONS`."""
        planes = self.fit.to_planes()
        planes["pixel_flags"] = self.flags
        if self.ratio is not None:
            planes |= {"s": self.ratio.s, "sigma_s": self.ratio.sigma_s, "s_status": self.ratio.status}
            planes["sigma_s_reference"] = self.ratio.sigma_s_reference
            planes["s_below_0_97_probability"] = probability_below(self.ratio.s, self.ratio.sigma_s)
        if self.change is not None:
            planes["s_changed"] = self.change.sign
        if self.stress is not None:
            planes |= _stress_planes(self.stress)
        if self.carried_gpa is not None:
            planes["sigma_zz_carried_gpa"] = self.carried_gpa
        return planes


@dataclass
class RunMaps:
    """The maps of one run: takes each sweep's final fit, gives its final maps as soon as its reference is known."""

    start: RunStart
    """The run as its maps see it: height, width and pixel size after binning."""
    settings: AnalysisSettings
    """Settings of the analysis."""
    regions: Regions
    """Masks of the view."""
    camera: RunStart
    """The run as the camera sees it."""
    finals: dict[int, SweepMaps] = field(default_factory=dict[int, SweepMaps])
    """Final maps by number of the sweep."""
    other_reference: SweepMaps | None = None
    """Opening reference of another run, taken instead of the run's own."""
    _open: dict[int, SweepStart] = field(default_factory=dict[int, SweepStart])
    _waiting: dict[int, tuple[SweepStart, WholeFit]] = field(default_factory=dict[int, tuple[SweepStart, WholeFit]])

    @staticmethod
    def of(start: RunStart) -> RunMaps:
        """Begin the maps of a run with the settings that it carries.

        Raises
        ------
        ValueError
            Where its analysis settings or regions cannot be read.
        """
        settings = AnalysisSettings.from_json(start.analysis)
        view = view_of(start, settings)
        return RunMaps(view, settings, regions_of(view), start)

    @property
    def version(self) -> str:
        """Version of the results."""
        return result_version(self.settings, self.reference_run)

    @property
    def reference_run(self) -> str:
        """Run of the opening reference; `own` where it is this one."""
        return OWN_REFERENCE if self.other_reference is None else self.other_reference.start.run_uid

    def expect(self, sweep: SweepStart) -> None:
        """Say that a sweep began: later sweeps wait for it if it is their reference."""
        if sweep.sweep not in self.finals:
            self._open[sweep.sweep] = sweep

    def abandon(self, sweep: int) -> list[SweepMaps]:
        """Say that a sweep will never be complete; returns the maps that waited for it."""
        self._open.pop(sweep, None)
        return self._settle()

    def add(self, sweep: SweepStart, fit: FitMap, unresolved: Unresolved | None = None) -> list[SweepMaps]:
        """Take the final fit of a sweep; returns the maps that are final now, in order of the sweeps.

        `unresolved` are the sums of the pixels that its neighbours may rescue.
        """
        if sweep.sweep in self.finals:
            return []
        whole = self.whole(fit)
        return self.restore(sweep, whole if unresolved is None else self._rescued(sweep, whole, unresolved))

    def restore(self, sweep: SweepStart, whole: WholeFit) -> list[SweepMaps]:
        """Take a final fit whose whole-map steps are done, such as one read from disk; returns as `add`."""
        if sweep.sweep in self.finals:
            return []
        self._open.pop(sweep.sweep, None)
        self._waiting[sweep.sweep] = (sweep, whole)
        return self._settle()

    def provisional(self, sweep: SweepStart, fit: FitMap) -> SweepMaps:
        """Return the maps of a sweep as far as it is fitted; nothing is kept."""
        return self._make(sweep, self.whole(fit))

    def whole(self, fit: FitMap) -> WholeFit:
        """Do what needs the whole view: masks."""
        chosen = self.settings
        flags = find_flags(fit, chosen.mask_pixels, chosen.find_bad_pixels, chosen.bin_px)
        return WholeFit(apply_flags(fit, flags), flags)

    def _rescued(self, sweep: SweepStart, whole: WholeFit, unresolved: Unresolved) -> WholeFit:
        """Try the unresolved pixels again from their neighbours, where the settings ask for it."""
        if not self.settings.rescue:
            return whole
        passes = np.full(sweep.frequency_mhz.size, sweep.passes, np.int64)
        terms = fit_terms(sweep.frequency_mhz, passes, self.camera.width, self.camera.noise, self.settings)
        frequency = sweep.frequency_mhz
        fit, changed = rescue(whole.fit, unresolved, terms.passes, frequency, terms.noise, terms.settings)
        return WholeFit(fit, np.where(changed, whole.flags | PixelFlag.RESCUED, whole.flags).astype(np.uint8))

    def reference(self, sweep: SweepStart) -> SweepMaps | None:
        """Return the maps of the newest complete opening reference before the sweep, or of another run; or None."""
        if sweep.role == SweepRole.OPENING_REFERENCE:
            return None
        if self.other_reference is not None:
            return self.other_reference
        earlier = [
            number
            for number, maps in self.finals.items()
            if number < sweep.sweep and maps.start.role == SweepRole.OPENING_REFERENCE
        ]
        return self.finals[max(earlier)] if earlier else None

    def _settle(self) -> list[SweepMaps]:
        """Make the final maps of every sweep that waits for no reference any more."""
        made: list[SweepMaps] = []
        for number in sorted(self._waiting):
            if self._reference_pending(number):
                continue
            sweep, whole = self._waiting.pop(number)
            self.finals[number] = self._make(sweep, whole)
            made.append(self.finals[number])
        return made

    def _reference_pending(self, number: int) -> bool:
        """Return whether an opening reference before sweep `number` may still become complete."""
        mine = self.other_reference is None
        return mine and any(n < number and sweep.role == SweepRole.OPENING_REFERENCE for n, sweep in self._open.items())

    def _make(self, sweep: SweepStart, whole: WholeFit) -> SweepMaps:
        fit = whole.fit
        reference = self.reference(sweep)
        reason = self._no_ratio(sweep, reference)
        ratio, drift, now = None, None, fit.doublet(0) if fit.pairs else None
        if reference is not None and not reason and now is not None:
            drift = self._drift(reference, fit)
            now = now if drift is None else at_reference(now, drift)
            ratio = field_ratio(now, reference.fit.doublet(0), self.regions)
        stress, no_stress = self._stress(sweep, fit)
        number = reference.start.sweep if reference is not None and not reason else -1
        carried = self._carried(sweep, now, reference) if reference is not None and now and ratio else None
        change = self._change(ratio) if ratio is not None else None
        return SweepMaps(sweep, fit, ratio, reason, number, stress, no_stress, whole.flags, change, drift, carried)

    def _drift(self, reference: SweepMaps, fit: FitMap) -> Drift | None:
        """Return how far the view has moved; None where the settings do not ask, or the light does not tell."""
        if not self.settings.registration:
            return None
        moving = self.regions.sample if self.regions.has_outline else np.zeros(fit.shape, np.bool_)
        drift = find_drift(reference.fit.baseline, fit.baseline, moving)
        return drift if np.isfinite(drift.sigma_px).all() else None

    def _change(self, ratio: FieldRatioMap) -> Change:
        """Return where s differs from 1, judged over resolution elements of the sample."""
        edge_px = max(1, round(RESOLUTION_UM / self.start.pixel_size_um))
        masks = self.regions.judged, self.regions.off_sample
        return changed_elements(ratio.s, ratio.sigma_s, *masks, edge_px, ratio.off_sample_sigma)

    def _stress(self, sweep: SweepStart, fit: FitMap) -> tuple[StressMap | None, str]:
        """Return sigma_ZZ, or why there is none."""
        if len(self.settings.doublets) < 2:
            return None, "sigma_ZZ needs a second doublet, that of the tilted groups"
        chosen = StressSettings.of(self.settings)
        try:
            return stress_map(fit.doublet(0), fit.doublet(1), sweep.state.temperature_k, chosen, self.regions.ruby), ""
        except ValueError as error:  # a temperature outside the range of D(T)
            return None, str(error)

    def _carried(self, sweep: SweepStart, doublet: Doublet, reference: SweepMaps) -> NDArray[np.float32] | None:
        """Return the reference's sigma_ZZ moved by what the [111] centre has moved since, or None."""
        if reference.stress is None:
            return None
        chosen = StressSettings.of(self.settings)
        now, then = doublet.centre_mhz, reference.fit.doublet(0).centre_mhz
        temperatures = sweep.state.temperature_k, reference.start.state.temperature_k
        try:
            carried = sigma_zz_from_111_shift(now, temperatures[0], reference.stress, then, temperatures[1], chosen)
        except ValueError:  # a temperature outside the range of D(T): `stress_reason` says so
            return None
        return np.where(self.regions.ruby, np.nan, carried).astype(np.float32)

    def _no_ratio(self, sweep: SweepStart, reference: SweepMaps | None) -> str:
        """Return why a sweep has no s, or an empty text."""
        if not self.settings.doublets:
            return "no doublet is named in the settings"
        if sweep.role == SweepRole.OPENING_REFERENCE:
            return "this sweep is the reference"
        if reference is None:
            return "the run has no complete reference sweep before this one"
        ours, theirs = sweep.state.field_gauss, reference.start.state.field_gauss
        if abs(theirs) < 1.0 or abs(ours - theirs) > FIELD_TOLERANCE * abs(theirs):
            return f"the reference was taken at {theirs:g} G, this sweep at {ours:g} G"
        if sweep.state.load_index != reference.start.state.load_index:
            return "the reference was taken at another load"
        return ""

    def attributes(self, maps: SweepMaps) -> Json:
        """Return what a sweep's maps file says about itself: nothing that differs between live, replay and offline."""
        ratio, stress = maps.ratio, maps.stress
        return {
            **self.run_attributes(),
            "sweep_start": sweep_to_json(maps.start),
            "temperature_k": maps.start.state.temperature_k,
            "field_gauss": maps.start.state.field_gauss,
            "pixel_flags": flag_counts(maps.flags),
            "reference_run": self.reference_run,
            "reference_sweep": maps.reference_sweep,
            "reference": "opening reference alone" if ratio else "none",
            "microwave_off_frames": int(np.count_nonzero(maps.start.frequency_mhz == 0.0)) * maps.start.passes,
            "registration": _about_drift(maps.drift),
            "no_s_because": maps.ratio_reason,
            "history": str(maps.start.state.history),
            "history_flags": list(history_flags(maps.start)),
            "off_sample_region": ratio.off_sample_name if ratio else "none",
            "off_sample_ratio": ratio.off_sample_ratio if ratio else 1.0,
            "off_sample_ratio_sigma": ratio.off_sample_sigma if ratio else 0.0,
            "s_changed": _about_change(maps.change),
            "no_sigma_zz_because": maps.stress_reason,
            "sigma_zz_systematics_gpa": dict(stress.systematics_gpa) if stress else {},
        }

    def run_attributes(self) -> Json:
        """Return what every file of the run says about the run and the analysis."""
        start = self.start
        return {
            "run_uid": start.run_uid,
            "sample": start.sample,
            "rig": start.rig,
            "pixel_size_um": start.pixel_size_um,
            "bin_px": self.settings.bin_px,
            "regions": start.regions,
            "noise_source": start.noise.source,
            "electrons_per_count": start.noise.electrons_per_count,
            "version": self.version,
            "analysis": self.settings.to_json(),
            "constants": constant_set(self.settings),
            "status_codes": status_names(),
        }


def _about_drift(drift: Drift | None) -> Json:
    """Return the shift that was undone in s and all that is compared with the reference; empty where none was."""
    if drift is None:
        return {}
    return {
        "shift_px": list(drift.shift_px),
        "shift_sigma_px": list(drift.sigma_px),
        "residual": drift.residual,
        "pixels": drift.pixels,
    }


def _about_change(change: Change | None) -> Json:
    if change is None:
        return {}
    return {
        "fraction": change.fraction,
        "elements": change.elements,
        "false_discovery_rate": FALSE_DISCOVERY_RATE,
        "sigma_scale": change.sigma_scale,
    }


def _stress_planes(stress: StressMap) -> dict[str, NDArray[np.generic]]:
    return {
        "sigma_zz_gpa": stress.sigma_zz_gpa,
        "sigma_zz_sigma_gpa": stress.sigma_zz_sigma_gpa,
        "in_plane_gpa": stress.in_plane_gpa,
        "half_tilt_residual_mhz": stress.half_tilt_residual_mhz,
        "sigma_zz_status": stress.status,
    }
