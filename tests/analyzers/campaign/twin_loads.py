"""Loads of a campaign made from the twin's truth: noise-free maps plus the noise that a good run has."""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from analyzers.campaign.load_maps import LoadMaps
from analyzers.onset import estimate_onset
from analyzers.status import StatusCode
from devices.settings import TwinSettings
from devices.twin.history import SampleHistory
from devices.twin.truth import Truth, truth_of
from physics.constants import GAMMA_MHZ_PER_GAUSS

LADDER_K = (9.0, 20.0, 30.0, 40.0, 48.0, 55.0, 60.0, 64.0, 68.0, 71.0, 74.0, 77.0, 80.0, 84.0, 90.0, 105.0)
SIGMA_S, SIGMA_S_REFERENCE = 0.0012, 0.0006
BASE_K, COOLED_IN_GAUSS, SIGMA_HALF_MHZ = 9.0, 150.0, 0.3
"""Of the remnant's runs."""
SIGMA_ZZ_GPA, SIGMA_TAU_GPA, SIGMA_LA_NI = 0.1, 0.06, 0.02


def twin(sample: str, seed: int = 1, edge: int = 64) -> TwinSettings:
    """Return a twin seen with few pixels."""
    return TwinSettings(sample=sample, seed=seed, height=edge, width=edge, pixel_size_um=80.0 / edge)


def without_shear(truth: Truth) -> Truth:
    """Return the same sample whose Tc does not know of the shear that is there."""
    tc = truth.crystal.tc_local_k(truth.sigma_zz_gpa, np.zeros_like(truth.tau_gpa), truth.x_um, truth.y_um)
    return dataclasses.replace(truth, tc_local_k=np.where(truth.sample, tc, 0.0), _cache={})


def load_of(
    settings: TwinSettings,
    load_gpa: float,
    load_index: int = 0,
    temperatures_k: tuple[float, ...] = LADDER_K,
    shear_matters: bool = True,
    tc: bool = True,
) -> LoadMaps:
    """Return one load as a campaign has it after registration."""
    truth = truth_of(settings, load_gpa)
    if not shear_matters:
        truth = without_shear(truth)
    random = np.random.default_rng([settings.seed, load_index, *settings.sample.encode()])
    judged = truth.sample & ~truth.ruby & ~truth.leads
    count, shape = len(temperatures_k), judged.shape
    normal = random.standard_normal
    reference = SIGMA_S_REFERENCE * normal(shape)
    s = np.stack([truth.noise_free_s(t) for t in temperatures_k]) + SIGMA_S * normal((count, *shape)) + reference
    sigma = np.full(s.shape, float(np.hypot(SIGMA_S, SIGMA_S_REFERENCE)))
    temperature = np.array(temperatures_k)
    stress = np.stack([truth.stress_at(t)[..., 2] for t in temperatures_k]) + SIGMA_ZZ_GPA * normal(shape)
    stress[:, truth.ruby] = np.nan
    tc_k, tc_sigma, status = _tc(temperature, s, sigma) if tc else _no_tc(shape)
    return LoadMaps(
        sample=settings.sample,
        load_index=load_index,
        pixel_size_um=settings.pixel_size_um,
        run_uids=(f"{settings.sample}-{settings.seed}-{load_index}",),
        temperature_k=temperature,
        s=s,
        sigma_s=sigma,
        sigma_s_reference=np.full(shape, SIGMA_S_REFERENCE),
        s_common_sigma=np.full(count, 1e-4),
        sigma_zz_gpa=stress,
        sigma_zz_sigma_gpa=np.full(shape, SIGMA_ZZ_GPA),
        tau_gpa=np.abs(truth.tau_gpa + SIGMA_TAU_GPA * normal(shape)),
        tau_sigma_gpa=np.full(shape, SIGMA_TAU_GPA),
        la_ni=truth.crystal.la_ni(truth.x_um, truth.y_um) + SIGMA_LA_NI * normal(shape),
        la_ni_sigma=np.full(shape, SIGMA_LA_NI),
        tc_k=tc_k,
        tc_sigma_k=tc_sigma,
        tc_status=status,
        trapped_gauss=np.full(shape, np.nan),
        trapped_sigma_gauss=np.full(shape, np.nan),
        trapped_limit_gauss=np.full(shape, np.nan),
        transport_temperature_k=np.zeros(0),
        resistance_ohm=np.zeros(0),
        judged=judged,
    )


def trapped_truth(truth: Truth) -> NDArray[np.float64]:
    """Return the field along Z that a field cool leaves behind, as the camera sees it, G."""
    history = SampleHistory(COOLED_IN_GAUSS, BASE_K, BASE_K, COOLED_IN_GAUSS).advanced(0.0, BASE_K)
    left = truth.answer_gauss(history.answering_steps())[..., 2]
    return ndimage.gaussian_filter(left, truth.psf_sigma_px, mode="nearest")


def bare_splittings(settings: TwinSettings, load_gpa: float):
    """Return the truth, and half splittings without and with trapped flux with their error, MHz.

    The transverse splitting grows with the shear: about 10 MHz per GPa, on a floor of 3 MHz.
    """
    truth = truth_of(settings, load_gpa)
    random = np.random.default_rng(settings.seed)
    transverse = 3.0 + 10.0 * np.abs(truth.tau_gpa)
    left = np.hypot(GAMMA_MHZ_PER_GAUSS.value * trapped_truth(truth), transverse)
    noise = SIGMA_HALF_MHZ * random.standard_normal((2, *transverse.shape))
    return truth, transverse + noise[0], left + noise[1], np.full(transverse.shape, SIGMA_HALF_MHZ)


@lru_cache(maxsize=4)
def campaign(samples: tuple[str, ...] = ("S1", "S2", "S3"), seed: int = 1) -> tuple[LoadMaps, ...]:
    """Return the loads of the seed paper's samples, 10 to 28 GPa."""
    loads = {"S1": (10.0, 14.0, 16.0, 18.0, 21.0, 23.0, 25.0, 28.0), "S2": (16.0, 19.0, 21.0, 24.0), "S3": (18.0, 21.0)}
    return tuple(
        load_of(twin(sample, seed), load_gpa, index)
        for sample in samples
        for index, load_gpa in enumerate(loads[sample])
    )


def _tc(temperature: NDArray[np.float64], s: NDArray[np.float64], sigma: NDArray[np.float64]):
    found = estimate_onset(temperature, s, sigma, SIGMA_S_REFERENCE)
    good = found.status == StatusCode.OK
    return np.where(good, found.tc_k, np.nan), np.where(good, found.tc_sigma_k, np.nan), found.status


def _no_tc(shape: tuple[int, ...]):
    return np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, StatusCode.LOW_SNR, np.uint8)
