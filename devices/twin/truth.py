"""What is true in the twin, per pixel: the object that tests and the demonstration ask.

Plain numpy and scipy, so that any process may hold it. Arrays are (y, x) on the camera's pixels, row 0 at the top.
The stress is that of the reference temperature 150 K, in the culet frame; `stress_at` adds the drift on cooling.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from devices.settings import TwinSettings
from devices.twin.history import FieldStep
from devices.twin.layout import lead_mask, lead_polygons, ruby_mask, ruby_polygon
from devices.twin.order import superfluid_fraction
from devices.twin.samples import REFERENCE_LOAD_GPA, TAU_CRITICAL_GPA, Crystal, draw_crystal
from devices.twin.screening import Screening
from physics.geometry import miscut_rotation, rotate_stress

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

CACHE_BYTES = 64 << 20
"""Memory that the maps of one truth may take."""
LOAD_RANGE_GPA = (0.0, 30.0)
"""Mean sigma_ZZ that the model covers."""
REFERENCE_TEMPERATURE_K = 150.0
"""Temperature of the stress fields."""
BASE_TEMPERATURE_K = 20.0
"""Temperature at which the size of the response is set."""
PEARL_UM = 150.0
"""Pearl length of a fully superconducting place, um, of the coherent part."""
CALIBRATION_PIXELS = 96
"""Pixels of 1 um along each side of the grid on which the size of the response is set."""
REFERENCE_FIELD_GAUSS = 97.0
"""Field whose answer `Truth.response` and `Truth.s` are, G."""
RESPONSES = ("granular", "coherent")
"""Names of the response models."""


@dataclass(frozen=True)
class Calibration:
    """How large the two parts of the response are, from the reference load."""

    grains: float
    """Magnetisation of a fully superconducting place, in units of -H."""
    film: float
    """Weight of the coherent film."""


@dataclass(frozen=True, eq=False)
class Truth:
    """The twin's sample at one load."""

    settings: TwinSettings
    """Which twin."""
    load_gpa: float
    """Mean sigma_ZZ over the sample at 150 K, GPa."""
    crystal: Crystal
    """What was drawn from the seed."""
    x_um: Array
    """Place of each pixel, um from the image centre to the right."""
    y_um: Array
    """Place of each pixel, um from the image centre down."""
    sample: Mask
    """True on the sample."""
    ruby: Mask
    """True on the ruby disc."""
    leads: Mask
    """True on the leads."""
    stress_gpa: Array
    """(y, x, 6) XX, YY, ZZ, YZ, XZ, XY in the culet frame at 150 K, GPa."""
    tc_local_k: Array
    """Local critical temperature, K; 0 off the sample and where it never superconducts."""
    screening: Screening
    """Solver of the response on this grid."""
    calibration: Calibration
    """Size of the response."""
    _cache: dict[tuple[str, float], NDArray[Any]] = field(
        default_factory=dict[tuple[str, float], NDArray[Any]], repr=False
    )

    @property
    def sigma_zz_gpa(self) -> Array:
        """(y, x) stress along the culet normal at 150 K, GPa."""
        return self.stress_gpa[..., 2]

    @property
    def sigma_111_gpa(self) -> Array:
        """(y, x) stress along [111] at 150 K, GPa: what an analysis that ignores the miscut finds."""
        rotation = miscut_rotation(self.settings.miscut_deg, self.settings.miscut_azimuth_deg)
        return rotate_stress(self.stress_gpa, rotation)[..., 2]

    @property
    def tau_gpa(self) -> Array:
        """(y, x) size of the shear vector (sigma_XZ, sigma_YZ) at 150 K, GPa."""
        return np.hypot(self.stress_gpa[..., 3], self.stress_gpa[..., 4])

    @property
    def shear_gpa(self) -> Array:
        """(y, x, 2) the shear vector (sigma_XZ, sigma_YZ) at 150 K, GPa."""
        return np.stack((self.stress_gpa[..., 4], self.stress_gpa[..., 3]), axis=-1)

    @property
    def in_plane_gpa(self) -> Array:
        """(y, x) mean in-plane stress (sigma_XX + sigma_YY)/2 at 150 K, GPa."""
        return 0.5 * (self.stress_gpa[..., 0] + self.stress_gpa[..., 1])

    @property
    def la_ni(self) -> Array:
        """(y, x) La:Ni ratio; NaN off the sample."""
        return np.where(self.sample, self.crystal.la_ni(self.x_um, self.y_um), np.nan)

    @property
    def thickness_um(self) -> Array:
        """(y, x) thickness of the sample, um; 0 beside it."""
        thickness = self.crystal.kind.thickness_um * self.crystal.thickness(self.x_um, self.y_um)
        return np.where(self.sample, thickness, 0.0)

    @property
    def hole(self) -> Mask:
        """(y, x) True on the sample where the shear is above critical."""
        return self.sample & (self.tau_gpa > TAU_CRITICAL_GPA)

    def stress_at(self, temperature_k: float, drift_gpa: float | None = None) -> Array:
        """(y, x, 6) stress at a temperature, GPa: the cell tightens on cooling.

        `drift_gpa` is the rise of the mean sigma_ZZ between 150 K and 20 K; that of the settings where None.
        """
        drift = self.settings.pressure_drift_gpa if drift_gpa is None else drift_gpa
        rise = drift * (REFERENCE_TEMPERATURE_K - temperature_k) / 130.0
        return self.stress_gpa * (1.0 + rise / max(self.load_gpa, 1.0))

    def superfluid(self, temperature_k: float) -> Array:
        """(y, x) superfluid fraction, averaged over the spread of Tc inside a pixel; 0 where normal."""
        exponent = self.crystal.exponent(self.x_um, self.y_um)
        total = np.zeros(self.sample.shape)
        for shift in (-1.0, 0.0, 1.0):
            tc = np.where(self.tc_local_k > 0.0, self.tc_local_k + shift * self.crystal.tc_spread_k, 0.0)
            ratio = np.divide(temperature_k, tc, out=np.full(tc.shape, 2.0), where=tc > 0.0)
            total += superfluid_fraction(self.crystal.form, ratio, exponent)
        return total / 3.0

    def response(self, temperature_k: float) -> Array:
        """(y, x, 3) field of the sample per unit of applied field after a zero-field cool and warming to T.

        It is that of `REFERENCE_FIELD_GAUSS`: pinned currents have a limit, so the answer is not quite linear.
        """
        return self._kept("response", temperature_k, self._respond)

    def _kept(self, what: str, temperature_k: float, make: Callable[[float], NDArray[Any]]) -> NDArray[Any]:
        """Return `make(temperature_k)`, remembered while the memory it takes allows."""
        key = (what, round(temperature_k, 4))
        if key not in self._cache:
            value = make(key[1])
            value.setflags(write=False)
            while self._cache and sum(one.nbytes for one in self._cache.values()) + value.nbytes > CACHE_BYTES:
                self._cache.pop(next(iter(self._cache)))
            self._cache[key] = value
        return self._cache[key]

    def _respond(self, temperature_k: float) -> Array:
        step = FieldStep(REFERENCE_FIELD_GAUSS, temperature_k)
        return self.answer_gauss((step,)) / REFERENCE_FIELD_GAUSS

    def _thick(self, temperature_k: float) -> Array:
        """(y, x) superfluid fraction times thickness over its mean."""
        return self.superfluid(temperature_k) * self.crystal.thickness(self.x_um, self.y_um)

    def _film(self, temperature_k: float) -> NDArray[np.complex128]:
        """Transform of b_z of the coherent part per unit of field."""
        return self.calibration.film * self.screening.coherent(self._thick(temperature_k), PEARL_UM)

    def answer_gauss(self, steps: tuple[FieldStep, ...]) -> Array:
        """(y, x, 3) field of the sample's currents after changes of the applied field, G.

        The film answers each change linearly. The grains are in the critical state: their magnetisation follows the
        field until pinning gives way, and the limit falls as the superfluid fraction to the power 3/2.
        """
        magnetisation = np.zeros(self.sample.shape)
        transform: NDArray[Any] = np.zeros((), dtype=np.complex128)
        for step in steps:
            thick = self._thick(step.temperature_max_k)
            if not thick.any():
                continue
            if self.calibration.film > 0.0:
                film = self._kept("film", step.temperature_max_k, self._film)
                transform = transform + step.gauss * film
            limit = self.crystal.saturation_gauss * thick * np.sqrt(self.superfluid(step.temperature_max_k))
            magnetisation = np.clip(magnetisation + step.gauss * thick, -limit, limit)
        if self.calibration.grains > 0.0 and magnetisation.any():
            transform = transform - self.calibration.grains * self.screening.granular(magnetisation)
        return self.screening.field(transform) if transform.ndim else np.zeros((*self.sample.shape, 3))

    def s(self, temperature_k: float) -> Array:
        """(y, x) s = B/H along the culet normal after a zero-field cool, as sharp as it is at the NV layer."""
        return 1.0 + self.response(temperature_k)[..., 2]

    def noise_free_s(self, temperature_k: float) -> Array:
        """(y, x) s that a camera without noise would find, by the definition of the analysis.

        Along [111], blurred by the optics, over the normal state, and divided by its median over the far region.
        """
        return self._kept("s", temperature_k, self._noise_free_s)

    def _noise_free_s(self, temperature_k: float) -> Array:
        normal = miscut_rotation(self.settings.miscut_deg, self.settings.miscut_azimuth_deg)[2]
        along = self.response(temperature_k) @ normal / normal[2]
        s = 1.0 + ndimage.gaussian_filter(along, self.psf_sigma_px, mode="nearest")
        far = self.far
        return s / np.median(s[far]) if far.any() else s

    @property
    def far(self) -> Mask:
        """(y, x) True more than one sample radius away from the sample, without ruby and leads."""
        distance = np.asarray(ndimage.distance_transform_edt(~self.sample), dtype=np.float64)
        radius = math.sqrt(np.count_nonzero(self.sample) / math.pi)
        return (distance > radius) & ~self.ruby & ~self.leads

    @property
    def psf_sigma_px(self) -> float:
        """Standard deviation of the optical blur, pixels."""
        return self.settings.psf_fwhm_um / math.sqrt(8.0 * math.log(2.0)) / self.settings.pixel_size_um

    def field_gauss(self, steps: tuple[FieldStep, ...], field_xyz_gauss: tuple[float, float, float]) -> Array:
        """(y, x, 3) field at the NV layer in the culet frame, G.

        Parameters
        ----------
        steps
            Changes of the applied field along Z while the sample was cold, in order, each with the highest
            temperature since, which is what the sample answers with.
        field_xyz_gauss
            Applied field, G.
        """
        return np.array(field_xyz_gauss, dtype=np.float64) + self.answer_gauss(steps)

    def tc_apparent_k(self, threshold: float = 0.003, step_k: float = 1.0) -> Array:
        """(y, x) highest temperature at which noise-free |s - 1| exceeds a threshold, K; 0 where it never does."""
        found = np.zeros(self.sample.shape)
        above = np.zeros(self.sample.shape)
        for temperature in np.arange(110.0, BASE_TEMPERATURE_K - 0.5 * step_k, -step_k):
            here = np.abs(self.noise_free_s(float(temperature)) - 1.0)
            first = (found == 0.0) & (here > threshold)
            rise = np.maximum(here - above, 1e-12)
            found = np.where(first, temperature + step_k * (here - threshold) / rise, found)
            above = here
        return found

    def regions(self) -> dict[str, object]:
        """Polygons and marked points in um from the image centre, as `RunStart.regions` wants them."""
        return {
            "sample": self.crystal.outline_um(),
            "ruby": ruby_polygon(),
            "leads": lead_polygons(self.crystal),
            "points": self._points(),
        }

    def _points(self) -> dict[str, list[float]]:
        cold = ndimage.gaussian_filter(self.noise_free_s(BASE_TEMPERATURE_K), 1.0)
        usable = ~(self.ruby | self.leads)
        inner = self.sample & (self.crystal.radius(self.x_um, self.y_um) < 0.85) & usable
        places = {
            "suppressed": np.where(inner, -cold, -np.inf),
            "enhanced": np.where(usable, cold, -np.inf),
            "hole": np.where(inner, self.tau_gpa, -np.inf),
        }
        points = {name: self._place(value) for name, value in places.items()}
        half_x, half_y = -float(self.x_um[0, 0]), -float(self.y_um[0, 0])
        return {**points, "outside": [round(0.85 * half_x, 2), round(0.85 * half_y, 2)]}

    def _place(self, value: Array) -> list[float]:
        row, column = np.unravel_index(int(np.argmax(value)), value.shape)
        return [round(float(self.x_um[row, column]), 2), round(float(self.y_um[row, column]), 2)]


def _grid(settings: TwinSettings) -> tuple[Array, Array]:
    x: Array = (np.arange(settings.width, dtype=np.float64) - 0.5 * (settings.width - 1)) * settings.pixel_size_um
    y: Array = (np.arange(settings.height, dtype=np.float64) - 0.5 * (settings.height - 1)) * settings.pixel_size_um
    shape = (settings.height, settings.width)
    return np.broadcast_to(x, shape).copy(), np.broadcast_to(y[:, None], shape).copy()


def _build(settings: TwinSettings, load_gpa: float, calibration: Calibration) -> Truth:
    crystal = draw_crystal(settings.sample, settings.seed)
    x, y = _grid(settings)
    sample = crystal.radius(x, y) <= 1.0
    sample[[0, -1]] = sample[:, [0, -1]] = False
    stress = crystal.stress_gpa(load_gpa, x, y)
    tc = crystal.tc_local_k(stress[..., 2], np.hypot(stress[..., 3], stress[..., 4]), x, y)
    return Truth(
        settings=settings,
        load_gpa=load_gpa,
        crystal=crystal,
        x_um=x,
        y_um=y,
        sample=sample,
        ruby=ruby_mask(x, y),
        leads=lead_mask(crystal, x, y),
        stress_gpa=stress,
        tc_local_k=np.where(sample, tc, 0.0),
        screening=Screening(sample, settings.pixel_size_um, crystal.kind.thickness_um, settings.stand_off_um),
        calibration=calibration,
    )


@functools.lru_cache(maxsize=8)
def calibrate(settings: TwinSettings) -> Calibration:
    """Set the size of the response: the hole reads s = 1 in the mean, the rest goes as deep as the sample's kind says.

    The film's share lowers the hole by as much as the grains around it raise it. Set on a grid of its own, so that the
    sample is the same for every camera.
    """
    settings = replace(settings, height=CALIBRATION_PIXELS, width=CALIBRATION_PIXELS, pixel_size_um=1.0)
    grains = _build(settings, REFERENCE_LOAD_GPA, Calibration(1.0, 0.0))
    film = _build(settings, REFERENCE_LOAD_GPA, Calibration(0.0, 1.0))
    local = grains.response(BASE_TEMPERATURE_K)[..., 2]
    coherent = film.response(BASE_TEMPERATURE_K)[..., 2]
    if settings.response == "coherent":
        local = np.zeros_like(local)
        share = 1.0
    else:
        core = grains.hole if grains.hole.any() else grains.sample
        share = max(0.0, -float(local[core].mean() / coherent[core].mean()))
    cold = grains.sample & (grains.tc_local_k > 40.0)
    depth = -float(np.percentile((local + share * coherent)[cold], 5.0))
    size = grains.crystal.kind.suppression / depth
    return Calibration(0.0 if settings.response == "coherent" else size, share * size)


@functools.lru_cache(maxsize=8)
def truth_of(settings: TwinSettings, load_gpa: float | None = None) -> Truth:
    """Truth of the twin at a load.

    Parameters
    ----------
    settings
        Which twin.
    load_gpa
        Mean sigma_ZZ over the sample, GPa; that of the settings where None.

    Raises
    ------
    ValueError
        When the sample or the response is unknown or the load outside the model's range.
    """
    load = settings.load_gpa if load_gpa is None else load_gpa
    if settings.response not in RESPONSES:
        raise ValueError(f"unknown response {settings.response!r}; known: {', '.join(RESPONSES)}")
    if not LOAD_RANGE_GPA[0] <= load <= LOAD_RANGE_GPA[1]:
        raise ValueError(f"load {load:g} GPa is outside {LOAD_RANGE_GPA[0]:g} to {LOAD_RANGE_GPA[1]:g} GPa")
    return _build(settings, float(load), calibrate(settings))
