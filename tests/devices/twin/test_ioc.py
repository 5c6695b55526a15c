"""The twin IOC as a laboratory sees it: over Channel Access."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest


def test_serves_every_pv_of_the_rig_file(twin):
    from devices.settings import (
        CryostatSettings,
        LaserSettings,
        MagnetSettings,
        MicrowaveSettings,
        PressureSettings,
        RubySettings,
        TransportSettings,
    )

    kinds = (
        MicrowaveSettings,
        MagnetSettings,
        CryostatSettings,
        TransportSettings,
        PressureSettings,
        RubySettings,
        LaserSettings,
    )
    names = [v.removeprefix("{P}") for kind in kinds for v in vars(kind()).values() if isinstance(v, str) and v]
    assert len(names) > 30
    for name in [*names, "TWIN:STATE", "TWIN:CLOCK_S_RBV", "TWIN:SPEED"]:
        assert twin.client.get(name) != "not connected", name


def test_starts_safe_and_at_rest(fresh_twin):
    client = fresh_twin.client
    assert client.get("LASER:SHUTTER_RBV") == 0
    assert client.get("MW:ENABLE_RBV") == 0
    assert client.get("CRYO:SETTLED") == 1
    assert client.get("MAG:DONE") == 1
    assert client.get("DAC:DONE") == 1
    assert client.get("MAG:REASON", text=True) == ""
    assert client.state()["history"] == "NORMAL_STATE"


def test_a_ramp_settles_and_the_sample_lags_and_stays_warmer(twin):
    client = twin.client
    client.put("CRYO:TEMPERATURE_K", 120.0)
    assert client.get("CRYO:SETTLED") == 0, "the put returns after SETTLED went to 0"
    assert client.get("CRYO:SAMPLE_K_RBV") > client.get("CRYO:TEMPERATURE_K_RBV")
    assert client.until("CRYO:SETTLED", 1, 1)
    assert client.get("CRYO:TEMPERATURE_K_RBV") == pytest.approx(120.0)
    assert client.get("CRYO:STAGE_K_RBV") == pytest.approx(120.0, abs=0.05)
    assert 0.05 < client.get("CRYO:SAMPLE_K_RBV") - 120.0 < 1.0
    assert abs(client.get("CRYO:DRIFT_K_PER_MIN_RBV")) < 0.05


def test_the_field_ramps_without_overshoot_and_refuses_beyond_its_limit(twin):
    client = twin.client
    client.put("MAG:FIELD_Z_GAUSS", 97.0)
    assert client.until("MAG:DONE", 1, 1)
    assert client.get("MAG:FIELD_Z_GAUSS_RBV") == 97.0
    assert client.get("MAG:CURRENT_A_RBV") == pytest.approx(97.0 / 24.11)
    client.put("MAG:FIELD_Z_GAUSS", 400.0)
    assert "outside" in client.get("MAG:REASON", text=True)
    assert client.get("MAG:FIELD_Z_GAUSS") == 97.0
    assert client.get("MAG:FIELD_Z_GAUSS_RBV") == 97.0
    client.put("MAG:FIELD_Z_GAUSS", 50.0)
    assert client.get("MAG:REASON", text=True) == ""


def test_pressure_only_increases(fresh_twin):
    client = fresh_twin.client
    assert client.get("DAC:MEMBRANE_BAR_RBV") == pytest.approx(42.0)
    client.put("DAC:MEMBRANE_BAR", 30.0)
    assert "only increases" in client.get("DAC:REASON", text=True)
    assert client.get("DAC:MEMBRANE_BAR") == pytest.approx(42.0)
    assert client.get("DAC:LOAD_INDEX_RBV") == 0
    client.put("DAC:MEMBRANE_BAR", 46.0)
    assert client.get("DAC:REASON", text=True) == ""
    assert client.until("DAC:DONE", 1, 1)
    assert client.state()["load_gpa"] == pytest.approx(23.0, abs=0.1), "the last part comes by creep"
    assert client.get("DAC:LOAD_INDEX_RBV") == 1


def test_faults_come_and_go_through_their_pvs(fresh_twin):
    client = fresh_twin.client
    client.put("TWIN:FAULT:DROPPED_FRAME", 3)
    client.put("TWIN:FAULT:FREQUENCY_SLIP", 5)
    client.put("TWIN:FAULT:HOT_PIXELS", 7)
    state = client.state()
    assert [state[name] for name in ("dropped_frame", "frequency_slip", "hot_pixels")] == [3, 5, 7]
    client.put("TWIN:FAULT:CRYOSTAT_STUCK", 1)
    client.put("CRYO:TEMPERATURE_K", 100.0)
    clock = client.get("TWIN:CLOCK_S_RBV")
    assert client.until("TWIN:CLOCK_S_RBV", clock + 3600.0, 1e9), "long enough for a cryostat that is not stuck"
    assert client.get("CRYO:SETTLED") == 0
    client.put("TWIN:FAULT:CRYOSTAT_STUCK", 0)
    assert client.until("CRYO:SETTLED", 1, 1)
    client.put("TWIN:FAULT:OPEN_LEAD", 2)
    client.put("TRANSPORT:CHECK_CONTACTS", 1)
    assert client.get("TRANSPORT:CONTACTS_COUNT_RBV") == 1
    assert [ohm > 1e6 for ohm in client.get("TRANSPORT:CONTACTS_OHM_RBV")] == [False, True, False, False]
    for name in ("MW:ENABLE", "LASER:SHUTTER"):
        client.put(name, 1)
    client.put("TWIN:FAULT:MAINS_LOST", 1)
    assert [client.get(f"{name}_RBV") for name in ("MW:ENABLE", "LASER:SHUTTER", "LASER:POWER_MW")] == [0, 0, 0.0]
    assert client.get("CRYO:COMPRESSOR_RBV") == 0
    client.put("LASER:SHUTTER", 1)
    assert client.get("LASER:REASON", text=True) == "there is no mains power"
    assert client.get("LASER:SHUTTER_RBV") == 0
    client.put("TWIN:FAULT:MAINS_LOST", 0)
    client.put("LASER:SHUTTER", 1)
    assert client.get("LASER:REASON", text=True) == ""
    assert client.get("LASER:POWER_MW_RBV") == 0.0, "nothing restarts by itself"
    load = client.state()["load_gpa"]
    client.put("TWIN:FAULT:ANVIL_FAILED", 1)
    assert client.state()["load_gpa"] < 0.5 * load


def test_history_follows_what_was_done(fresh_twin):
    client = fresh_twin.client
    client.put("CRYO:TEMPERATURE_K", 60.0)
    assert client.until("CRYO:SETTLED", 1, 1)
    client.put("MAG:FIELD_Z_GAUSS", 97.0)
    assert client.until("MAG:DONE", 1, 1)
    state = client.state()
    assert state["history"] == "ZFC_FW"
    assert state["field_steps"][0][0] == pytest.approx(97.0)
    client.put("CRYO:TEMPERATURE_K", 150.0)
    assert client.until("CRYO:SETTLED", 1, 1)
    assert client.state()["history"] == "NORMAL_STATE"
    client.put("CRYO:TEMPERATURE_K", 60.0)
    assert client.until("CRYO:SETTLED", 1, 1)
    assert client.state()["history"] == "FC"


def test_a_switch_is_in_the_state_when_the_put_returns(twin):
    client = twin.client
    for name, key in (("MW:ENABLE", "microwave_enable"), ("LASER:SHUTTER", "shutter")):
        for value in (1, 0, 1):
            client.put(name, value)
            assert client.state()[key] == value


def test_a_list_is_counted(twin):
    client = twin.client
    client.put("MW:LIST_MHZ", list(np.linspace(2800.0, 3460.0, 120)))
    assert client.get("MW:LIST_COUNT_RBV") == 120
    assert client.get("MW:FREQUENCY_MHZ_RBV") == 2800.0


def test_transport_and_ruby_read_once_per_trigger(twin):
    client = twin.client
    client.put("TRANSPORT:MEASURE", 1)
    assert client.get("TRANSPORT:MEASURE") == 0
    assert client.get("TRANSPORT:COUNT_RBV") == 1
    assert 0.01 < client.get("TRANSPORT:RESISTANCE_OHM_RBV") < 1.0
    client.put("LASER:SHUTTER", 1)
    client.put("RUBY:ACQUIRE", 1)
    assert client.get("RUBY:COUNT_RBV") == 1
    assert client.get("RUBY:PRESSURE_GPA_RBV") == pytest.approx(21.25, abs=0.2)
    assert len(client.get("RUBY:SPECTRUM")) == len(client.get("RUBY:WAVELENGTH_NM"))


def test_the_camera_reads_the_state_from_the_ioc(twin, tmp_path):
    program = (
        "from devices.channel_access import quiet_repeater\n"
        "quiet_repeater()\n"
        "from devices.twin.state_reader import StateReader\n"
        "reader = StateReader('TWIN-TEST:')\n"
        "print(reader()['sample'], reader()['load_gpa'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=twin.environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["S1", "21.0"]


def test_a_silent_ioc_is_one_clear_line(twin):
    program = (
        "from devices.channel_access import quiet_repeater\n"
        "quiet_repeater()\n"
        "from devices.twin.state_reader import StateReader\n"
        "StateReader('NOBODY:', timeout_s=0.5)()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=twin.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "NOBODY:TWIN:STATE does not answer" in done.stderr


def listeners(pid, kind):
    """[address, port], in hexadecimal, of a process's TCP sockets that listen or of all its UDP sockets."""
    links = [str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()]
    rows = [line.split() for line in Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:]]
    return [row[1].split(":") for row in rows if f"socket:[{row[9]}]" in links and (kind == "udp" or row[3] == "0A")]


def test_listens_on_loopback_alone_and_ends_quickly(fresh_twin):
    port = f"{int(fresh_twin.environment['EPICS_CA_SERVER_PORT']):04X}"
    assert listeners(fresh_twin.process.pid, "tcp") == [["0100007F", port]]
    # What else speaks UDP sends beacons from ports that nobody is told of; PVAccess would listen on 5076.
    udp = listeners(fresh_twin.process.pid, "udp")
    assert {address for address, at in udp if at == port} == {"0100007F"}
    assert not {f"{5075:04X}", f"{5076:04X}"} & {at for _, at in udp}
    start = time.monotonic()
    assert fresh_twin.stop() == 0
    assert time.monotonic() - start < 4.0
    assert not fresh_twin.ready.exists()
