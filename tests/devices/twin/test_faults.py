"""What goes wrong on demand, and what else it takes with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from devices.settings import TwinSettings
from devices.twin.faults import FrameDroppedError
from devices.twin.optics import brightness
from devices.twin.rig import TwinRig
from devices.twin.state import parse_state
from devices.twin.truth import truth_of
from stream.messages import FieldHistory
from tests.devices.twin.test_camera import FREQUENCY, TWIN, armed, state
from tests.devices.twin.test_rig import settle


def rig(**changes):
    return TwinRig(TwinSettings(**changes))


def zero_field_cooled():
    twin = rig()
    settle(twin, 20.0)
    twin.set_field_gauss("z", 97.0)
    twin.advance(60.0)
    return twin


def test_a_dropped_frame_is_not_delivered_and_the_others_are_as_ever():
    camera, faulty = armed(state()), armed(state(dropped_frame=7))
    with pytest.raises(FrameDroppedError, match="dropped frame 7 of pass 0"):
        faulty.frame(0, 7)
    np.testing.assert_array_equal(faulty.frame(0, 6), camera.frame(0, 6))
    np.testing.assert_array_equal(faulty.frame(1, 7), camera.frame(1, 7))


def test_a_frequency_slip_shows_the_frequency_before_from_its_index_on():
    camera = armed(state(), twin=replace(TWIN, laser_noise=0.0))
    slipped = armed(state(frequency_slip=12), twin=replace(TWIN, laser_noise=0.0))
    np.testing.assert_array_equal(slipped.frame(0, 11), camera.frame(0, 11))
    # The noise is that of the frame's own number; the light is that of the frequency before.
    for index in (12, 30, FREQUENCY.size - 1):
        mean = slipped.frame(0, index).astype(float).mean()
        assert mean == pytest.approx(camera.noise_free(index - 1).mean(), rel=1e-4)


def test_hot_pixels_stay_in_place_and_nothing_else_changes():
    frames = [[armed(state(hot_pixels=count)).frame(0, index) for index in (3, 4)] for count in (0, 20, 40)]
    changed = [np.array(row) != np.array(frames[0]) for row in frames[1:]]
    few, many = (np.argwhere(one.all(axis=0)) for one in changed)
    assert (len(few), len(many)) == (20, 40)
    assert {tuple(place) for place in few} <= {tuple(place) for place in many}
    again = armed(state(hot_pixels=20)).frame(0, 3)
    np.testing.assert_array_equal(again, frames[1][0])


def test_a_stuck_cryostat_takes_a_set_point_and_does_not_settle():
    twin = rig()
    twin.faults.cryostat_stuck = 1
    assert twin.set_temperature_k(20.0) == ""
    twin.advance(3600.0)
    assert not twin.cryostat.settled
    assert twin.cryostat.stage_k == pytest.approx(150.0)
    twin.faults.cryostat_stuck = 0
    twin.advance(4000.0)
    assert twin.cryostat.settled


def test_a_mains_loss_ends_the_history_and_nothing_restarts_by_itself():
    twin = zero_field_cooled()
    twin.shutter = twin.microwave_enable = 1
    assert twin.state().history is FieldHistory.ZFC_FW
    twin.faults.mains_lost = 1
    twin.advance(5.0)
    dark = twin.state()
    assert (dark.shutter, dark.microwave_enable, dark.laser_power_mw) == (0, 0, 0.0)
    assert dark.field_xyz_gauss[2] == pytest.approx(0.0, abs=0.5)
    for refused in (
        twin.set_temperature_k(30.0),
        twin.set_field_gauss("z", 97.0),
        twin.set_membrane_bar(44.0),
        twin.set_output("shutter", 1),
    ):
        assert refused == "there is no mains power"
    twin.faults.mains_lost = 0
    warm = twin.cryostat.stage_k
    twin.advance(3600.0)
    back = twin.state()
    assert back.history is FieldHistory.UNKNOWN
    assert (back.shutter, back.microwave_enable, back.field_xyz_gauss[2]) == (0, 0, 0.0)
    assert twin.cryostat.stage_k > warm + 20.0, "the compressor stays off"
    assert not twin.cryostat.settled
    assert twin.set_temperature_k(60.0) == ""
    settle(twin, 60.0)


def test_a_broken_anvil_takes_load_and_light_and_does_not_heal():
    twin = rig()
    twin.shutter = 1
    whole = twin.take_ruby().pressure_gpa
    twin.faults.anvil_failed = 1
    twin.advance(1.0)
    broken = twin.state()
    assert broken.load_gpa == pytest.approx(0.35 * 21.0, abs=0.01)
    assert twin.take_ruby().pressure_gpa < 0.5 * whole
    twin.faults.anvil_failed = 0
    twin.advance(1.0)
    assert twin.state().anvil_failed == 1
    truth = truth_of(TWIN, broken.load_gpa)
    ratio = brightness(truth, state(anvil_failed=1)).centres / brightness(truth, state()).centres
    assert np.median(ratio) == pytest.approx(0.2)


def test_an_open_lead_reads_nothing_and_the_contact_check_names_it():
    twin = rig()
    assert all(5.0 < ohm < 50.0 for ohm in twin.meter.contacts())
    twin.meter.open_lead = 3
    assert not np.isfinite(twin.measure_resistance().ohm)
    assert [number for number, ohm in enumerate(twin.meter.contacts(), 1) if not np.isfinite(ohm)] == [3]


def test_a_state_kept_before_these_faults_existed_is_still_read():
    values = state().to_json()
    for name in ("pressure_drift_gpa", "dropped_frame", "frequency_slip", "hot_pixels", "anvil_failed"):
        del values[name]
    assert parse_state(values) == state()
