"""Our engine on a scene, through the interface users have."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from analyzers.fitmap import FitMap
from analyzers.fitting import fit_band
from analyzers.settings import AnalysisSettings
from analyzers.status import StatusCode
from benchmarks.peers import Result
from benchmarks.scenarios import SCALE, Scene
from stream.messages import NoiseModel

SETTINGS = AnalysisSettings(lines=2, doublets=((0, 1),), baseline="constant", fwhm_start_mhz=10.0, fwhm_max_mhz=45.0)


def cube_of(scene: Scene) -> tuple[NDArray[np.float32], NoiseModel]:
    """Return the scene's counts as a cube (f, 1, n) and the noise model that belongs to them."""
    cube = np.ascontiguousarray((scene.signal * SCALE)[:, None, :], np.float32)
    return cube, NoiseModel("gain", electrons_per_count=1 / (SCALE * scene.sigma**2))


def fit(scene: Scene, settings: AnalysisSettings = SETTINGS) -> FitMap:
    """Fit a scene; no guess of the centres is given."""
    cube, noise = cube_of(scene)
    return fit_band(cube, scene.passes, scene.frequency_mhz, noise, settings)


def engine(scene: Scene, guessed: bool = True) -> Result:
    """Fit a scene, from the guess that the peers get too or from none, and return what the peers return.

    A sloped baseline gets the default, linear one.
    """
    baseline = "linear" if scene.name == "sloped" else SETTINGS.baseline
    start = scene.start_mhz if guessed else ()
    found = fit(scene, dataclasses.replace(SETTINGS, baseline=baseline, start_mhz=start))
    strength = np.nan_to_num(np.abs(found.contrast / found.contrast_sigma)[:, 0].astype(float)).min(axis=0)
    sigma = found.centre_mhz_sigma[:, 0].astype(float)
    return Result(found.centre_mhz[:, 0].astype(float), sigma, found.status[0] == StatusCode.OK, strength)
