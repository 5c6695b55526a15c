"""Spectra with known truth on which every fit engine is judged: the reference problem and what makes fits fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SCALE = 40_000.0
"""Counts of the baseline."""


@dataclass(frozen=True)
class Scene:
    """Spectra of n pixels with two lines, and the truth."""

    name: str
    frequency_mhz: Floats
    """(f,)."""
    signal: Floats
    """(f, n) PL / PL0."""
    sigma: float
    """Noise per point of the signal."""
    centre_mhz: Floats
    """(2, n); NaN where there is no line."""
    fwhm_mhz: Floats
    """(2, n)."""
    contrast: Floats
    """(2, n), dips negative."""
    start_mhz: tuple[float, ...] = ()
    """Common guess an engine is given."""
    fwhm_start_mhz: float = 10.0
    """Common guess of the width."""
    ambiguity_mhz: float = 0.0
    """Error that the data themselves leave open: one step where the list slipped by one."""
    passes: NDArray[np.int64] = field(default_factory=lambda: np.ones(101, np.int64))
    """(f,) 0 where a frame was lost."""


def lines(frequency: Floats, centre: Floats, fwhm: Floats, contrast: Floats) -> Floats:
    """Return 1 + the sum of Lorentzian lines (f, n)."""
    out = np.ones((len(frequency), centre.shape[1]))
    for k in range(centre.shape[0]):
        t = 2 * (frequency[:, None] - centre[k]) / fwhm[k]
        out += contrast[k] / (1 + t * t)
    return out


def reference(n: int, snr: float = 10.0, seed: int = 0, name: str = "reference") -> Scene:
    """Make the reference problem: 101 points at 1 MHz, splitting 30 +- 6, HWHM 4.2-5.8, contrast 1.1-1.9 %."""
    random = np.random.default_rng(seed)
    frequency = 2820.0 + np.arange(101.0)
    split = 30 + random.uniform(-6, 6, n)
    centre = np.stack([2870 - split / 2, 2870 + split / 2])
    fwhm = 2 * random.uniform(4.2, 5.8, (2, n))
    contrast = -random.uniform(0.011, 0.019, (2, n))
    sigma = 0.015 / snr
    signal = lines(frequency, centre, fwhm, contrast) + sigma * random.standard_normal((101, n))
    return Scene(name, frequency, signal, sigma, centre, fwhm, contrast, (2855.0, 2885.0))


def _redraw(scene: Scene, seed: int, extra: Floats | float = 0.0) -> Scene:
    """Make the signal anew from the scene's truth, plus `extra`."""
    noise = scene.sigma * np.random.default_rng(seed + 1).standard_normal(scene.signal.shape)
    truth = np.nan_to_num(scene.centre_mhz, nan=0.0)
    contrast = np.where(np.isfinite(scene.centre_mhz), scene.contrast, 0.0)
    return replace(scene, signal=lines(scene.frequency_mhz, truth, scene.fwhm_mhz, contrast) + extra + noise)


def _overlap(n: int, share: float, seed: int) -> Scene:
    scene = reference(n, 10.0, seed, f"overlap_{share}_fwhm")
    half = share * scene.fwhm_mhz.mean(axis=0) / 2
    return _redraw(replace(scene, centre_mhz=np.stack([2870 - half, 2870 + half])), seed)


def _guess_off(n: int, share: float, seed: int) -> Scene:
    scene = reference(n, 10.0, seed, f"guess_off_{share}_fwhm")
    return replace(scene, start_mhz=(2855 + share * 10, 2885 + share * 10))


def _widths(n: int, factor: float, seed: int) -> Scene:
    scene = reference(n, 10.0, seed, f"width_x{factor:g}")
    split = 30.0 if factor < 2 else 45.0
    centre = np.stack([np.full(n, 2870 - split / 2), np.full(n, 2870 + split / 2)])
    start = (2870 - split / 2, 2870 + split / 2)
    return _redraw(replace(scene, fwhm_mhz=scene.fwhm_mhz * factor, centre_mhz=centre, start_mhz=start), seed)


def _positive(n: int, seed: int) -> Scene:
    scene = reference(n, 10.0, seed, "positive_contrast")
    return _redraw(replace(scene, contrast=-scene.contrast), seed)


def _missing(n: int, seed: int) -> Scene:
    scene = reference(n, 10.0, seed, "one_line_missing")
    centre = scene.centre_mhz.copy()
    centre[1] = np.nan
    return _redraw(replace(scene, centre_mhz=centre), seed)


def _weak(n: int, seed: int) -> Scene:
    scene = reference(n, 10.0, seed, "second_line_5x_weaker")
    return _redraw(replace(scene, contrast=scene.contrast * np.array([[1.0], [0.2]])), seed)


def _flat(n: int, seed: int) -> Scene:
    scene = reference(n, 10.0, seed, "flat")
    return _redraw(replace(scene, centre_mhz=np.full((2, n), np.nan)), seed)


def _baseline(n: int, kind: str, seed: int) -> Scene:
    scene = reference(n, 10.0, seed, kind)
    u = (scene.frequency_mhz - 2870) / 50
    extra = 0.01 * u if kind == "sloped" else 0.002 * np.sin(2 * np.pi * u * 0.9 + 0.4)
    return _redraw(scene, seed, extra[:, None])


def _spoiled(n: int, kind: str, seed: int) -> Scene:
    scene = reference(n, 10.0, seed, kind)
    signal = scene.signal.copy()
    half = slice(0, n // 2)
    if kind == "nan":
        signal[::2, half] = np.nan
    elif kind == "dead":
        signal[:, half] = 0.0
    else:
        signal[:, half] = np.minimum(signal[:, half], np.percentile(signal[:, half], 40))
    bad = np.zeros((2, n), bool)
    bad[:, half] = True
    return replace(scene, signal=signal, centre_mhz=np.where(bad, np.nan, scene.centre_mhz))


def _lost(n: int, seed: int) -> Scene:
    scene = reference(n, 10.0, seed, "lost_frame")
    passes = np.ones(101, np.int64)
    passes[37] = 0
    signal = scene.signal.copy()
    signal[37] = 0.0
    return replace(scene, signal=signal, passes=passes)


def _slip(n: int, seed: int) -> Scene:
    scene = reference(n, 10.0, seed, "frequency_slip")
    signal = scene.signal.copy()
    signal[51:] = scene.signal[50:-1]
    return replace(scene, signal=signal, ambiguity_mhz=1.0)


def all_scenes(n: int = 2000, seed: int = 0) -> list[Scene]:
    """Make every scenario with n pixels."""
    makers: list[Callable[[], Scene]] = [
        *[lambda snr=snr: reference(n, snr, seed, f"snr_{snr:g}") for snr in (30.0, 10.0, 5.0, 3.0, 2.0, 1.0)],
        *[lambda share=share: _overlap(n, share, seed) for share in (0.6, 0.4)],
        *[lambda share=share: _guess_off(n, share, seed) for share in (0.8, 1.2, 2.0)],
        *[lambda factor=factor: _widths(n, factor, seed) for factor in (3.0, 0.25)],
        lambda: _positive(n, seed),
        lambda: _missing(n, seed),
        lambda: _weak(n, seed),
        lambda: _flat(n, seed),
        *[lambda kind=kind: _baseline(n, kind, seed) for kind in ("sloped", "rippled")],
        *[lambda kind=kind: _spoiled(n, kind, seed) for kind in ("nan", "dead", "saturated")],
        lambda: _lost(n, seed),
        lambda: _slip(n, seed),
    ]
    return [make() for make in makers]


INFORMATIVE = 0.5
"""Largest standard deviation of a centre, in widths, that tells where the line is."""


def score(scene: Scene, centre: Floats, sigma: Floats, ok: NDArray[np.bool_]) -> tuple[float, float]:
    """Judge an engine's result.

    Parameters
    ----------
    centre, sigma
        (2, n) centres (ascending) and their standard deviations, MHz.
    ok
        (n,) pixels the engine calls good.

    Returns
    -------
    share of pixels wrong and unflagged, share correctly resolved. Wrong: called good, and a centre off by more than 5
    sigma and 0.15 of the width, or a line where there is none. Resolved: called good, not wrong, and the centres known
    to half a width or better: who says nothing cannot be wrong, but has resolved nothing either. The same for everyone.
    """
    limit = np.maximum(5 * sigma, 0.15 * scene.fwhm_mhz) + scene.ambiguity_mhz
    right = (np.abs(centre - scene.centre_mhz) <= limit).all(axis=0)
    known = (sigma <= INFORMATIVE * scene.fwhm_mhz).all(axis=0)
    return float((ok & ~right).mean()), float((ok & right & known).mean())
