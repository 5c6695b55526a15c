"""The report on a final map: what a plan may decide on. Analyzers report, plans decide."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from analyzers.fitmap import FitMap
from analyzers.pipeline import RunMaps, SweepMaps
from analyzers.protocol import wrong_history
from analyzers.status import StatusCode
from analyzers.tc import TcMaps
from stream.messages import AnalysisReport, SweepRole

SMALLEST_COVERAGE = 0.2
"""Share of the sample that must be resolved for a report to be valid."""

LINE_QUANTILES = 9
"""Quantiles of a line's centres that are reported."""


def make_report(
    run: RunMaps, maps: SweepMaps, tc: TcMaps | None, frames_lost: int = 0, revision: int = 1
) -> AnalysisReport:
    """Return the report on the final maps of a sweep; every number is finite."""
    judged = run.regions.judged
    coverage = resolved_share(maps, judged)
    reason = _why_not(maps, coverage)
    s, sigma_s = _s_values(maps, judged)
    candidates = density = information = np.zeros(0)
    tc_sigma, open_fraction = 0.0, 1.0
    if tc is not None:
        candidates, density = tc.density.candidate_temperature_k, tc.density.tc_density_per_k
        information = tc.density.information_bits
        tc_sigma, open_fraction = tc.density.tc_sigma_median_k, tc.density.open_fraction
    return AnalysisReport(
        run_uid=maps.start.run_uid,
        sweep=maps.start.sweep,
        revision=revision,
        final=True,
        valid=not reason,
        reason=reason,
        temperature_k=maps.start.state.temperature_k,
        field_gauss=maps.start.state.field_gauss,
        fraction_changed=maps.change.fraction if maps.change is not None else 0.0,
        s_median=_percentile(s, 50, 1.0),
        s_low=_percentile(s, 1, 1.0),
        s_high=_percentile(s, 99, 1.0),
        sigma_s_median=_percentile(sigma_s, 50, 0.0),
        sigma_zz_mean_gpa=_sigma_zz_mean(maps, judged),
        coverage=coverage,
        frames_lost=frames_lost,
        time_s=time.time(),
        tc_sigma_median_k=tc_sigma,
        open_fraction=open_fraction,
        candidate_temperature_k=np.asarray(candidates, dtype=np.float64),
        tc_density_per_k=np.asarray(density, dtype=np.float64),
        expected_information_bits=np.asarray(information, dtype=np.float64),
        **lines_seen(maps.fit, judged),
    )


def lines_seen(fit: FitMap, judged: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    """Return where each line lies over the judged pixels, how wide it is and whether s hangs on it.

    Only lines that a tenth of the pixels resolve; the outermost half per cent of the centres on either side is left
    out, so that no single wrong fit widens a window.
    """
    outer = fit.pairs[0] if fit.pairs else ()
    shares = np.linspace(0.005, 0.995, LINE_QUANTILES)
    centres: list[NDArray[np.float64]] = []
    widths: list[float] = []
    dense: list[float] = []
    for line in range(fit.centre_mhz.shape[0]):
        found = judged & np.isfinite(fit.centre_mhz[line]) & (fit.line_status[line] == StatusCode.OK)
        if np.count_nonzero(found) < 0.1 * max(1, np.count_nonzero(judged)):
            continue
        centres.append(np.quantile(fit.centre_mhz[line][found].astype(np.float64), shares))
        widths.append(float(np.median(fit.fwhm_mhz[line][found])))
        dense.append(float(line in outer))
    return {
        "line_centre_mhz": np.array(centres).reshape(len(centres), LINE_QUANTILES if centres else 0),
        "line_fwhm_mhz": np.array(widths),
        "line_dense": np.array(dense),
    }


def resolved_share(maps: SweepMaps, judged: NDArray[np.bool_]) -> float:
    """Return the share of the judged pixels with an s (of a reference: with a resolved [111] doublet)."""
    if maps.ratio is not None:
        status = maps.ratio.status
    elif maps.fit.pairs:
        status = maps.fit.doublet(0).status
    else:
        status = maps.fit.status
    total = int(np.count_nonzero(judged))
    return float(np.count_nonzero((status == StatusCode.OK) & judged) / total) if total else 0.0


def _why_not(maps: SweepMaps, coverage: float) -> str:
    """Return why the numbers must not be used; empty where they may. A reference has s = 1 by definition."""
    if maps.ratio is None and maps.start.role != SweepRole.OPENING_REFERENCE:
        return maps.ratio_reason
    if coverage < SMALLEST_COVERAGE:
        return f"only {coverage:.0%} of the sample is resolved"
    return wrong_history(maps.start)


def _s_values(maps: SweepMaps, judged: NDArray[np.bool_]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return the resolved s and sigma_s of the judged pixels, (n,) each."""
    if maps.ratio is None:
        return np.zeros(0), np.zeros(0)
    usable = judged & (maps.ratio.status == StatusCode.OK)
    return maps.ratio.s[usable], maps.ratio.sigma_s[usable]


def _sigma_zz_mean(maps: SweepMaps, judged: NDArray[np.bool_]) -> float:
    """Return the mean sigma_ZZ over the resolved judged pixels, GPa; 0 where there is none."""
    if maps.stress is None:
        return 0.0
    values = maps.stress.sigma_zz_gpa[judged & (maps.stress.status == StatusCode.OK)]
    return float(values.astype(np.float64).mean()) if values.size else 0.0


def _percentile(values: NDArray[np.floating], percent: float, empty: float) -> float:
    return float(np.percentile(values.astype(np.float64), percent)) if values.size else empty
