"""Histories: the right order gives the paper's maps, any other order another one."""

from __future__ import annotations

import numpy as np
import pytest

from devices.settings import TwinSettings
from devices.twin.history import SampleHistory
from devices.twin.truth import truth_of
from stream.messages import FieldHistory

TRUTH = truth_of(TwinSettings())


def walk(*points):
    """Go through (field, temperature) points in small steps."""
    field, temperature = points[0]
    history = SampleHistory(field, temperature, temperature, field if temperature > 110 else 0.0)
    for field_next, temperature_next in points[1:]:
        for part in np.linspace(0.0, 1.0, 40)[1:]:
            history = history.advanced(
                field + part * (field_next - field), temperature + part * (temperature_next - temperature)
            )
        field, temperature = field_next, temperature_next
    return history


def normal_field(history):
    return TRUTH.field_gauss(history.answering_steps(), (0.0, 0.0, history.field_gauss))[..., 2]


def test_zero_field_cooling_gives_s():
    history = walk((0, 150), (0, 20), (97, 20))
    assert history.label() is FieldHistory.ZFC_FW
    np.testing.assert_allclose(normal_field(history) / 97.0, TRUTH.s(20.0), atol=1e-9)


def test_field_warming_follows_the_highest_temperature():
    warmed = walk((0, 150), (0, 20), (97, 20), (97, 60))
    np.testing.assert_allclose(normal_field(warmed) / 97.0, TRUTH.s(60.0), atol=1e-9)
    cooled_again = walk((0, 150), (0, 20), (97, 20), (97, 60), (97, 20))
    assert cooled_again.temperature_max_since_field_k == pytest.approx(60.0)
    np.testing.assert_allclose(normal_field(cooled_again), normal_field(warmed), atol=1e-9)


def test_field_cooling_hardly_expels():
    history = walk((97, 150), (97, 20))
    assert history.label() is FieldHistory.FC
    weak = np.abs(normal_field(history) / 97.0 - 1.0)
    assert 0.0 < weak.max() < 0.1 * np.abs(TRUTH.s(20.0) - 1.0).max()


def test_remnant_is_the_mirror_image_of_the_screening():
    history = walk((150, 150), (150, 20), (0, 20))
    assert history.label() is FieldHistory.FC_REMNANT
    trapped = normal_field(history)
    assert np.percentile(trapped[TRUTH.sample], 95) == pytest.approx(8.7, abs=1.5)
    cold = TRUTH.sample & (TRUTH.tc_local_k > 40)
    assert np.corrcoef(trapped[cold], 1.0 - TRUTH.s(20.0)[cold])[0, 1] > 0.99


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_7_to_10_gauss_are_trapped_after_a_field_cool_at_150_gauss(seed):
    truth = truth_of(TwinSettings(seed=seed))
    history = walk((150, 150), (150, 20), (0, 20))
    trapped = truth.field_gauss(history.answering_steps(), (0.0, 0.0, history.field_gauss))[..., 2]
    strong = truth.sample & (truth.s(20.0) < 0.955)
    assert 7.0 < np.median(trapped[strong]) < 8.0
    assert np.percentile(trapped[strong], 1) > 6.0
    assert 9.0 < trapped.max() < 10.5


def test_warming_removes_the_remnant_for_good():
    history = walk((150, 150), (150, 20), (0, 20), (0, 100), (0, 20))
    assert np.abs(normal_field(history)).max() < 0.5


def test_field_on_before_cooling_looks_normal():
    wrong = walk((0, 150), (97, 150), (97, 20))
    right = walk((0, 150), (0, 20), (97, 20))
    assert np.abs(normal_field(wrong) / 97.0 - 1.0).max() < 0.01
    assert np.abs(normal_field(right) / 97.0 - 1.0).max() > 0.05


def test_a_field_pulse_spoils_a_zero_field_cool():
    spoiled = walk((0, 150), (0, 60), (97, 60), (0, 60), (0, 20), (97, 20))
    clean = walk((0, 150), (0, 20), (97, 20))
    assert spoiled.label() is FieldHistory.UNKNOWN
    assert (normal_field(spoiled) - normal_field(clean))[TRUTH.tc_local_k > 65].mean() > 0.3


def test_a_normal_sample_forgets():
    history = walk((0, 150), (0, 20), (97, 20), (97, 150))
    assert history.label() is FieldHistory.NORMAL_STATE
    assert history.answering_steps() == ()


def test_steps_stay_few_and_keep_the_field():
    history = SampleHistory(0.0, 20.0, 20.0)
    for number in range(1, 60):
        history = history.advanced(float(number), 20.0 + number)
    assert len(history.steps) <= 8
    assert sum(step.gauss for step in history.steps) == pytest.approx(59.0)
