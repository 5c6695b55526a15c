"""The response solvers against what is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from devices.twin.screening import Screening


def disk(radius_um, pixels, pixel_um):
    axis = (np.arange(pixels) - 0.5 * (pixels - 1)) * pixel_um
    return np.hypot(axis[:, None], axis[None]) <= radius_um


def test_flux_is_conserved():
    mask = disk(20.0, 64, 1.0)
    screening = Screening(mask, 1.0, 5.0, 0.5)
    transform = screening.granular(-np.ones(mask.shape)) + screening.coherent(np.ones(mask.shape), 150.0)
    assert transform[0, 0] == 0.0


def test_a_thick_granular_disk_has_the_field_of_a_cylinder():
    radius, thickness = 30.0, 10.0
    mask = disk(radius, 256, 1.0)
    screening = Screening(mask, 1.0, thickness, 0.0)
    field = screening.normal_field(screening.granular(np.ones(mask.shape)))
    on_axis = 0.5 * thickness / np.hypot(radius, thickness)
    assert field[127:129, 127:129].mean() == pytest.approx(on_axis, rel=0.03)


def test_a_weakly_screening_film_carries_the_current_of_a_uniform_induced_field():
    # For Lambda far above the radius a the stream function of a disk is g = -(a^2 - r^2) / (4 Lambda).
    radius, pearl = 20.0, 1e5
    mask = disk(radius, 96, 0.5)
    stream = Screening(mask, 0.5, 5.0, 0.5).stream_function(np.ones(mask.shape), pearl)
    axis = (np.arange(96) - 47.5) * 0.5
    expected = -(radius**2 - axis[:, None] ** 2 - axis[None] ** 2) / (4.0 * pearl)
    np.testing.assert_allclose(stream[mask], expected[mask], atol=0.03 * radius**2 / (4.0 * pearl))


def test_a_film_screens_more_the_shorter_its_pearl_length():
    mask = disk(20.0, 64, 1.0)
    screening = Screening(mask, 1.0, 5.0, 0.5)
    middle = [
        screening.normal_field(screening.coherent(np.ones(mask.shape), pearl))[32, 32] for pearl in (600.0, 150.0)
    ]
    assert middle[1] < middle[0] < 0.0
    assert middle[1] == pytest.approx(4.0 * middle[0], rel=0.15)


def test_a_normal_sample_answers_nothing():
    mask = disk(10.0, 32, 1.0)
    screening = Screening(mask, 1.0, 5.0, 0.5)
    assert not screening.coherent(np.zeros(mask.shape), 150.0).any()
    assert not screening.field(screening.granular(np.zeros(mask.shape))).any()


def test_lateral_field_is_odd_around_a_disk():
    mask = disk(10.0, 64, 1.0)
    screening = Screening(mask, 1.0, 5.0, 0.5)
    field = screening.field(screening.granular(-np.ones(mask.shape)))
    np.testing.assert_allclose(field[..., 0], -field[:, ::-1, 0], atol=1e-6)
    np.testing.assert_allclose(field[..., 0], field[..., 1].T, atol=1e-6)


def test_a_meissner_disk_has_the_moment_and_the_shielding_of_the_closed_form():
    """g(0) = -4 a H / pi, moment -(8/3) H a^3 and no field inside, in the limit of a vanishing Pearl length."""
    radius, pixels, pixel = 30.0, 256, 0.5
    mask = disk(radius, pixels, pixel)
    screening = Screening(mask, pixel, 1.0, 0.0)
    stream = screening.stream_function(np.ones(mask.shape), 1e-3 * radius)
    moment = stream.sum() * pixel**2
    assert moment == pytest.approx(-8.0 / 3.0 * radius**3, rel=0.02)
    middle = slice(pixels // 2 - 1, pixels // 2 + 1)
    assert stream[middle, middle].mean() == pytest.approx(-4.0 * radius / np.pi, rel=0.02)
    field = 1.0 + screening.normal_field(screening.coherent(np.ones(mask.shape), 1e-3 * radius))
    assert np.abs(field[disk(0.6 * radius, pixels, pixel)]).max() < 0.01
