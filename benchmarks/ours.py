"""Our engine on a scene, through the interface users have."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from analyzers.fitmap import FitMap
from analyzers.fitting import fit_band, fit_image
from analyzers.rescue import keep_unresolved, rescue
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


def final(scene: Scene, settings: AnalysisSettings = SETTINGS) -> FitMap:
    """Return the final map of a scene laid out as an image: fits, then the second try from the neighbours."""
    cube, noise = cube_of(scene)
    rows = next(n for n in range(int(cube.shape[2] ** 0.5), 0, -1) if cube.shape[2] % n == 0)
    image = cube.reshape(len(cube), rows, -1)
    fit = fit_image(image, scene.passes, scene.frequency_mhz, noise, settings, threads=1)
    again = keep_unresolved(image, fit, 0, rows)
    return rescue(fit, again, scene.passes, scene.frequency_mhz, noise, settings)[0]


def result_of(found: FitMap) -> Result:
    """Return of a map what the peers return."""
    centre, sigma, status = found.centre_mhz.reshape(2, -1), found.centre_mhz_sigma.reshape(2, -1), found.status.ravel()
    strength = np.abs(found.contrast / found.contrast_sigma).reshape(2, -1).astype(float)
    good = status == StatusCode.OK
    return Result(centre.astype(float), sigma.astype(float), good, np.nan_to_num(strength).min(axis=0))


def engine(scene: Scene, guessed: bool = True, whole: bool = True) -> Result:
    """Fit a scene, from the guess that the peers get too or from none, and return what the peers return.

    A sloped baseline gets the default, linear one. `whole` False leaves out what only a whole map has: neighbours.
    """
    baseline = "linear" if scene.name == "sloped" else SETTINGS.baseline
    start = scene.start_mhz if guessed else ()
    settings = dataclasses.replace(SETTINGS, baseline=baseline, start_mhz=start)
    return result_of(final(scene, settings) if whole else fit(scene, settings))
