"""The instruments against a real IOC: limits, settling, refusals with their reason, time-outs, one clear line."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
import time

import pytest
from ophyd.utils import LimitError

from devices import settings as s
from devices.cryostat import Cryostat
from devices.epics import DeviceError, wait_connected
from devices.laser import Laser
from devices.magnet import Magnet
from devices.microwave import MicrowaveSource
from devices.pressure import Membrane
from devices.rig import connect_rig
from devices.ruby import RubySpectrometer
from devices.transport import TransportMeter
from stream.settings import StreamSettings

SETTINGS = {
    MicrowaveSource: s.MicrowaveSettings(),
    Magnet: s.MagnetSettings(),
    Cryostat: s.CryostatSettings(),
    TransportMeter: s.TransportSettings(),
    Membrane: s.PressureSettings(),
    RubySpectrometer: s.RubySettings(),
    Laser: s.LaserSettings(),
}


@pytest.fixture
def make(bench_ioc):
    made = []

    def connect(kind, settings):
        device = kind(bench_ioc, settings, name=kind.__name__.lower())
        made.append(device)
        wait_connected({device.name: device}, 10)
        return device

    yield connect
    for device in made:
        device.destroy()


@pytest.fixture
def knob(bench_ioc):
    from ophyd import EpicsSignal

    turned = []

    def turn(name, value, rest):
        signal = EpicsSignal(f"{bench_ioc}TEST:{name}", name=name.lower())
        signal.wait_for_connection(timeout=10)
        signal.put(value, use_complete=True)
        signal.set(value).wait(5)
        turned.append((signal, rest))
        return signal

    yield turn
    for signal, rest in turned:
        signal.set(rest).wait(5)
        signal.destroy()


def test_magnet_ramps_and_is_done_at_the_set_point(make):
    magnet = make(Magnet, s.MagnetSettings())
    seen = []
    status = magnet.set(97.0)
    status.watch(lambda **step: seen.append(step["current"]))
    status.wait(20)
    assert magnet.field_z_gauss_rbv.get() == pytest.approx(97.0, abs=0.05)
    assert magnet.done.get() == 1
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(seen)), "a coil must not overshoot"
    magnet.set(0.0).wait(20)


def test_magnet_passes_the_reason_of_a_refusal_on(make, knob):
    magnet = make(Magnet, s.MagnetSettings())
    knob("REFUSE_FIELD", "no field while a zero-field cool runs", "")
    with pytest.raises(DeviceError, match="no field while a zero-field cool runs"):
        magnet.set(50.0).wait(20)
    assert magnet.field_z_gauss_rbv.get() == pytest.approx(0.0, abs=0.05)


def test_limits_are_checked_before_the_pv(make):
    magnet = make(Magnet, s.MagnetSettings(limits_gauss=(-10.0, 10.0)))
    with pytest.raises(LimitError, match="outside the rig's limits"):
        magnet.set(97.0)
    assert magnet.field_z_gauss.get() == pytest.approx(0.0)
    cryostat = make(Cryostat, s.CryostatSettings())
    with pytest.raises(LimitError):
        cryostat.set(float("nan"))


def test_a_magnet_at_rest_is_not_touched_by_stop(make):
    magnet = make(Magnet, s.MagnetSettings())
    magnet.set(30.0).wait(20)
    magnet.stop()
    assert magnet.field_z_gauss.get() == 30.0
    magnet.set(0.0).wait(20)


def test_a_pause_holds_a_ramp_and_ends_its_status(make):
    magnet = make(Magnet, s.MagnetSettings())
    magnet.set(0.0).wait(20)
    status = magnet.set(200.0)
    while magnet.field_z_gauss_rbv.get(use_monitor=False) < 20.0:
        assert not status.done
    magnet.stop(success=True)
    status.wait(20)
    held = magnet.field_z_gauss_rbv.get(use_monitor=False)
    assert 20.0 <= held < 200.0
    magnet.set(210.0 if held > 205 else 205.0).wait(20)
    magnet.set(0.0).wait(20)
    cryostat = make(Cryostat, s.CryostatSettings())
    status = cryostat.set(140.0)
    cryostat.stop(success=False)
    with pytest.raises(DeviceError, match="temperature: stopped"):
        status.wait(20)


def test_cryostat_settles_after_the_set_point_was_taken(make):
    cryostat = make(Cryostat, s.CryostatSettings())
    for target in (100.0, 20.0, 22.0, 30.0):
        cryostat.set(target).wait(30)
        assert cryostat.temperature_k_rbv.get(use_monitor=False) == pytest.approx(target)
        assert cryostat.settled.get(use_monitor=False) == 1
        assert cryostat.sample_k.get() == pytest.approx(target + 0.5)
    assert cryostat.overshoot_k.get() < 0.2


def test_a_set_point_that_is_reached_already_is_done_after_the_grace(make):
    cryostat = make(Cryostat, s.CryostatSettings(grace_s=0.3))
    cryostat.set(40.0).wait(60)
    began = time.monotonic()
    cryostat.set(40.0).wait(20)
    assert time.monotonic() - began < 5


def test_a_stuck_cryostat_fails_with_one_line(make, knob):
    cryostat = make(Cryostat, s.CryostatSettings(timeout_s=1.0, grace_s=0.2))
    knob("STUCK", 1, 0)
    with pytest.raises(Exception, match="not settled at 90 K"):
        cryostat.set(90.0).wait(20)


def test_transport_measures_once_per_trigger(make):
    meter = make(TransportMeter, s.TransportSettings())
    before = meter.count.get()
    meter.trigger().wait(20)
    assert meter.count.get() == before + 1
    assert meter.resistance_ohm.get() > 0


def test_a_silent_transport_meter_fails(make, knob):
    meter = make(TransportMeter, s.TransportSettings(timeout_s=0.5))
    lazy = knob("NO_COUNT", 1, 0)
    with pytest.raises(DeviceError, match=r"no resistance within 0.5 s.*TRANSPORT:COUNT_RBV"):
        meter.trigger().wait(20)
    lazy.set(0).wait(5)
    meter.measure.set(0).wait(5)


WHOLE_METER = s.TransportSettings(
    mode="{P}TRANSPORT:MODE",
    check_contacts="{P}TRANSPORT:CHECK_CONTACTS",
    contacts_ohm="{P}TRANSPORT:CONTACTS_OHM_RBV",
    contacts_count="{P}TRANSPORT:CONTACTS_COUNT_RBV",
)


def test_a_bad_contact_is_named(make, knob):
    meter = make(TransportMeter, WHOLE_METER)
    meter.contact_check().wait(20)
    knob("THIRD_CONTACT_OHM", 1e7, 17.0)
    with pytest.raises(DeviceError, match=r"contact 3: 1e\+07 ohm; check the lead"):
        meter.contact_check().wait(20)
    with pytest.raises(DeviceError, match="no contact check; name its PV"):
        make(TransportMeter, s.TransportSettings()).contact_check()


def test_a_current_that_would_heat_the_sample_is_refused_with_the_largest_that_would_not(make):
    meter = make(TransportMeter, WHOLE_METER)
    meter.contact_check().wait(20)
    meter.trigger().wait(20)
    # About 31 ohm of contacts and 2 ohm of sample: 10 uW at some 550 uA.
    meter.set(400.0).wait(20)
    with pytest.raises(
        LimitError, match=r"would heat sample and contacts with .* uW, above the limit of 10 uW; at most"
    ):
        meter.set(900.0)
    meter.set(10.0).wait(20)


def test_a_reading_out_of_phase_is_no_resistance_and_a_mode_can_be_chosen(make, knob):
    meter = make(TransportMeter, WHOLE_METER)
    meter.trigger().wait(20)
    assert meter.resistive.get() == 1
    knob("PHASE_DEG", 12.0, 0.1)
    meter.trigger().wait(20)
    assert meter.resistive.get() == 0
    assert meter.read()["transportmeter_resistive"]["value"] == 0
    meter.mode.set(1).wait(10)
    assert meter.read_configuration()["transportmeter_mode"]["value"] == 1
    meter.mode.set(0).wait(10)


def test_the_ruby_s_spectrum_is_fitted_and_both_scales_are_told(make):
    ruby = make(RubySpectrometer, s.RubySettings(temperature_k="{P}TEST:RUBY_K", pressure_gpa=""))
    ruby.trigger().wait(20)
    assert ruby.fit_r1_nm.get() == pytest.approx(700.854, abs=0.003)
    assert ruby.fit_r2_nm.get() == pytest.approx(699.404, abs=0.003)
    assert ruby.ruby2020_gpa.get() == pytest.approx(21.0, abs=0.02)
    assert ruby.mao_gpa.get() == pytest.approx(20.9, abs=0.02)
    assert ruby.pressure_gpa.get() == ruby.ruby2020_gpa.get()
    assert 0.0 < ruby.fit_sigma_gpa.get() < 0.05


def test_without_a_thermometer_the_fit_gives_lines_and_no_pressure(make):
    ruby = make(RubySpectrometer, s.RubySettings())
    ruby.trigger().wait(20)
    assert ruby.fit_r1_nm.get() == pytest.approx(700.854, abs=0.003)
    assert math.isnan(ruby.ruby2020_gpa.get())


UNITS = re.compile(r"_(dbm|mhz|gauss|gauss_per_s|a|k|k_per_min|ohm|deg|ua|uw|bar|nm|gpa|mw)$")
UNITLESS = re.compile(
    r"(enable|.*count|done|reason|settled|measure|mode|resistive|shutter|acquire|spectrum|load_index|check_contacts)$"
)
HINTS = {
    MicrowaveSource: "power_dbm",
    Magnet: "field_z_gauss_rbv",
    Cryostat: "sample_k",
    TransportMeter: "resistance_ohm",
    Membrane: "membrane_bar_rbv",
    RubySpectrometer: "pressure_gpa",
    Laser: "power_mw",
}


@pytest.mark.parametrize("kind", HINTS)
def test_names_carry_their_unit_and_one_number_is_hinted(make, kind):
    for name in kind.component_names:
        bare = name.removesuffix("_rbv")
        assert UNITLESS.match(bare) or UNITS.search(bare), name
    device = make(kind, SETTINGS[kind])
    assert device.hints["fields"] == [f"{device.name}_{HINTS[kind]}"]


def test_a_device_that_is_let_go_of_ends_what_it_has_under_way(make, knob):
    knob("STUCK", 1, 0)
    cryostat = make(Cryostat, s.CryostatSettings())
    status = cryostat.set(120.0)
    assert not status.done
    cryostat.destroy()
    with pytest.raises(DeviceError):
        status.wait(0.5)


def test_membrane_refuses_a_decrease_before_the_pv(make, bench_ioc):
    from ophyd import EpicsSignalRO

    membrane = make(Membrane, s.PressureSettings())
    puts = EpicsSignalRO(f"{bench_ioc}TEST:MEMBRANE_PUTS", name="puts")
    puts.wait_for_connection(timeout=10)
    now = membrane.membrane_bar_rbv.get()
    membrane.set(now + 2.0).wait(20)
    count = puts.get(use_monitor=False)
    with pytest.raises(LimitError, match="pressure only increases"):
        membrane.set(now)
    assert puts.get(use_monitor=False) == count
    with pytest.raises(DeviceError, match="a jump of more than 50 bar"):
        membrane.set(150.0).wait(20)
    puts.destroy()
    # an IOC may keep the set point that it refused: it does not count as the pressure that was asked for
    membrane.set(now + 3.0).wait(20)
    assert membrane.membrane_bar_rbv.get(use_monitor=False) == pytest.approx(now + 3.0, abs=0.05)


def test_ruby_laser_and_microwave(make):
    ruby = make(RubySpectrometer, s.RubySettings())
    ruby.trigger().wait(20)
    assert ruby.pressure_gpa.get() == pytest.approx(21.0)
    laser = make(Laser, s.LaserSettings())
    laser.set(80.0).wait(10)
    laser.shutter.set(1).wait(10)
    assert laser.shutter.get(use_monitor=False) == 1
    laser.shutter.set(0).wait(10)
    with pytest.raises(LimitError, match="mW"):
        laser.set(5000.0)
    source = make(MicrowaveSource, s.MicrowaveSettings())
    source.prepare([2800.0, 2870.0, 3400.0]).wait(10)
    assert source.list_count.get(use_monitor=False) == 3
    with pytest.raises(LimitError, match="MHz"):
        source.prepare([2800.0, 1e6])
    with pytest.raises(DeviceError, match="empty"):
        source.prepare([])


def test_an_unknown_pv_is_one_line_with_what_to_check(bench_ioc, tmp_path):
    magnet = s.MagnetSettings(done="{P}MAG:DOEN")
    devices = s.DevicesSettings(prefix=bench_ioc, connect_timeout_s=1.5, magnet=magnet, laser=s.LaserSettings())
    stream = StreamSettings(runtime_dir=str(tmp_path), data_dir=str(tmp_path))
    with pytest.raises(DeviceError) as caught:
        connect_rig("lab", devices, stream)
    text = str(caught.value)
    assert "BENCH:MAG:DOEN" in text
    assert "laser" not in text
    assert "EPICS_CA_ADDR_LIST" in text
    assert "\n" not in text


def test_a_missing_device_is_one_line(bench_ioc, tmp_path):
    devices = s.DevicesSettings(prefix=bench_ioc, laser=s.LaserSettings())
    stream = StreamSettings(runtime_dir=str(tmp_path), data_dir=str(tmp_path))
    rig = connect_rig("lab", devices, stream)
    try:
        rig.require("laser")
        with pytest.raises(DeviceError, match=r"rig 'lab' has no magnet and cryostat.*\[devices.magnet\]"):
            rig.require("laser", "magnet", "cryostat")
    finally:
        rig.close()


def test_an_empty_pv_name_leaves_a_soft_signal(make):
    magnet = make(Magnet, dataclasses.replace(s.MagnetSettings(), current_a="", reason=""))
    assert magnet.reason.get() == ""
    magnet.set(5.0).wait(20)
    magnet.set(0.0).wait(20)
    assert magnet.read()["magnet_current_a"]["value"] == 0.0
