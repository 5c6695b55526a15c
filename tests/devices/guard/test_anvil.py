"""A suspected anvil failure: what gives rise to it, what does not, and what follows on the real guard and twin."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from devices.guard_settings import AnvilSettings
from devices.ioc.anvil import AnvilWatch, Frame
from stream.state import StatePublisher
from tests.devices.guard.conftest import GuardedTwin

RULES = AnvilSettings()


def watch(**changes) -> AnvilWatch:
    return AnvilWatch(AnvilSettings(**changes))


def test_a_ruby_that_falls_between_two_spectra_is_suspicious_and_a_thermal_cycle_is_not():
    anvil = watch()
    assert [anvil.ruby(count, gpa) for count, gpa in ((1, 21.0), (2, 19.4), (3, 22.0))] == [""] * 3
    assert anvil.ruby(3, 7.0) == "", "the same spectrum, its pressure not shown yet"
    assert watch().ruby(1, 7.0) == ""
    assert anvil.ruby(4, 22.0) == ""
    assert anvil.ruby(5, 7.6) == "the ruby fell by 14.4 GPa to 7.6 GPa"
    assert anvil.ruby(6, 7.5) == "", "said once"
    assert all(watch(ruby_fall_gpa=0.0).ruby(count, 30.0 - 9.0 * count) == "" for count in (1, 2))


def test_a_mean_stress_that_falls_at_the_same_field_is_suspicious():
    anvil = watch()
    assert anvil.stress(97.0, 21.0, 0.8) == ""
    assert anvil.stress(0.0, 17.0, 0.8) == "", "another field has another bias"
    assert anvil.stress(0.0, 16.0, 0.8) == ""
    assert anvil.stress(0.0, 9.0, 0.02) == "", "hardly a pixel is resolved"
    assert anvil.stress(0.0, 9.0, 0.5) == "sigma_ZZ fell by 7.0 GPa to 9.0 GPa"


def lit(
    anvil: AnvilWatch, time_s: float, counts: float, shutter: float = 1.0, mw: float = 100.0, run: str = "a"
) -> str:
    return anvil.light(Frame(run, time_s, counts), shutter, mw)


def test_light_that_collapses_for_longer_than_a_moment_is_suspicious():
    anvil = watch()
    assert [lit(anvil, time_s, 40_000.0 + 500.0 * (time_s % 2)) for time_s in range(4)] == [""] * 4
    assert lit(anvil, 4.0, 8_000.0) == ""
    assert lit(anvil, 4.5, 8_000.0) == ""
    assert lit(anvil, 5.1, 8_000.0) == "the light fell to 20 %"


@pytest.mark.parametrize("changes", [{"shutter": 0.0}, {"mw": 20.0}, {"run": "b"}])
def test_light_that_somebody_took_away_is_not(changes):
    anvil = watch()
    lit(anvil, 0.0, 40_000.0)
    assert [lit(anvil, 1.0 + time_s, 8_000.0, **changes) for time_s in range(4)] == [""] * 4
    # the dark frame before the shutter was opened again is shown late, and is followed by bright ones
    assert lit(anvil, 6.0, 0.0, **(changes | {"shutter": 1.0})) == ""
    assert lit(anvil, 6.9, 40_000.0, **(changes | {"shutter": 1.0})) == ""


class Broken:
    """A guarded twin under way to a higher load with its light on."""

    def __init__(self, rig: GuardedTwin) -> None:
        self.rig = rig
        rig.session("laser.shutter=1", "microwave.enable=1", "magnet=50")

    def frozen(self, what: str) -> None:
        """Hold that the shutter is closed, the load frozen, the field held, and that a person has the word."""
        rig = self.rig
        rig.until("LASER:SHUTTER_RBV", 0)
        rig.until("MW:ENABLE_RBV", 0)
        said = f"suspected anvil failure: {what}"
        assert said in rig.get("GUARD:FAULTS", text=True)
        rig.put("DAC:MEMBRANE_BAR", 44.0)
        assert rig.get("DAC:MEMBRANE_BAR") == pytest.approx(rig.get("DAC:MEMBRANE_BAR_RBV"), abs=0.3)
        assert said in rig.get("DAC:REASON", text=True)
        rig.put("LASER:SHUTTER", 1)
        assert rig.get("LASER:SHUTTER_RBV") == 0
        assert rig.get("MAG:FIELD_Z_GAUSS_RBV") == 50.0
        assert rig.get("GUARD:LATCHED", text=True) == "anvil"


def test_the_twins_broken_anvil_is_seen_by_its_ruby_and_survives_a_restart_of_the_guard(make_guarded):
    rig = make_guarded()
    broken = Broken(rig)
    for _ in range(2):
        rig.put("RUBY:ACQUIRE", 1)
    assert rig.get("GUARD:FAULTS", text=True) == ""
    rig.put("TWIN:FAULT:ANVIL_FAILED", 1)
    rig.put("RUBY:ACQUIRE", 1)
    broken.frozen("the ruby fell by ")
    rig.kill("guard")
    rig.start("guard")
    rig.until("GUARD:LEASE_HELD", 1)
    broken.frozen("the ruby fell by ")
    word = {"fault": "anvil", "by": "Ada", "reason": "new cell"}
    rig.put("GUARD:ACKNOWLEDGE", json.dumps(word))
    assert rig.get("GUARD:ACKNOWLEDGE_REASON", text=True) == ""
    rig.until("GUARD:LASER:PERMIT", 1)
    assert rig.get("LASER:SHUTTER_RBV") == 0, "nothing restarts by itself"


def test_what_analysis_and_camera_publish_is_heard(make_guarded):
    rig = make_guarded()
    broken = Broken(rig)
    bright, dark = (np.full((16, 16), counts, np.uint16) for counts in (40_000, 4_000))
    with StatePublisher(rig.stream, "camera") as camera:
        camera.publish("camera", {"run_uid": "a"})
        begun = time.time()

        def show(frame: np.ndarray) -> None:
            camera.publish("frame", {"sweep": 0, "index": 0, "time_s": time.time()}, {"value": frame})
            time.sleep(0.1)

        while rig.get("GUARD:FAULTS", text=True) == "":
            show(bright if time.time() - begun < 2.0 else dark)
            assert time.time() - begun < 40.0
    broken.frozen("the light fell to 10 %")
    rig.put("GUARD:ACKNOWLEDGE", json.dumps({"fault": "anvil", "by": "Ada", "reason": "lamp"}))
    header = {"final": True, "valid": True, "field_gauss": 50.0, "coverage": 0.9}
    with StatePublisher(rig.stream, "builder") as builder:
        begun, gpa = time.time(), 21.0
        while rig.get("GUARD:FAULTS", text=True) == "":
            gpa = 21.0 if time.time() - begun < 2.0 else gpa - 4.0
            builder.publish("analysis", {**header, "sigma_zz_mean_gpa": gpa})
            time.sleep(0.3)
            assert time.time() - begun < 40.0
    assert "suspected anvil failure: sigma_ZZ fell by 4.0 GPa" in rig.get("GUARD:FAULTS", text=True)
