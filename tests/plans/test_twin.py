"""The same plan file on the twin and on bridges to simulated instruments: both keep what it relies on."""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys
import time

import pytest
from bluesky import RunEngine

from devices.epics import DeviceError
from devices.processes import TwinProcess
from devices.settings import TwinSettings, all_devices
from stream.settings import StreamSettings, dump_settings
from tests.plans.plan_file import measure

PREFIX = "PLANTWIN:"


@pytest.fixture
def twin(ca_ports, tmp_path):
    """The twin's IOC at 2000 times real time."""
    settings = StreamSettings(runtime_dir=str(tmp_path / "r"), data_dir=str(tmp_path / "d"))
    (tmp_path / "r" / "ready").mkdir(parents=True)
    file = tmp_path / "twin.json"
    dump_settings(TwinProcess(settings, TwinSettings(height=24, width=24, speed=2000.0), PREFIX), file)
    port = str(ca_ports[1])
    environment = {**os.environ, "EPICS_CA_SERVER_PORT": port, "EPICS_CAS_SERVER_PORT": port}
    log = (tmp_path / "ioc.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "devices.twin.ioc", str(file)], env=environment, stdout=log, stderr=log
    )
    ready = tmp_path / "r" / "ready" / "ioc"
    deadline = time.monotonic() + 120
    while not ready.exists():
        assert process.poll() is None, (tmp_path / "ioc.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield PREFIX
    process.terminate()
    process.wait(20)
    log.close()


@pytest.fixture(params=["twin", "bridges"])
def rig_settings(request):
    """Every device of the twin, or those that have a bridge: no laser and no ruby spectrometer."""
    if request.param == "twin":
        return all_devices(request.getfixturevalue("twin"))
    laboratory = request.getfixturevalue("lab")
    devices = all_devices(laboratory.prefix)
    magnet = dataclasses.replace(devices.magnet, tolerance_gauss=0.1)
    return dataclasses.replace(devices, laser=None, ruby=None, magnet=magnet)


def test_the_whole_history(rig_settings, make_bench_at, documents):
    rows, take = documents
    bench = make_bench_at(rig_settings)
    engine = RunEngine({}, context_managers=[])
    engine.subscribe(take)
    before = bench.rig.pressure.membrane_bar_rbv.get(use_monitor=False)
    engine(measure(bench.rig))
    names = {doc["uid"]: doc["name"] for name, doc in rows if name == "descriptor"}
    primary = [doc["data"] for name, doc in rows if name == "event" and names[doc["descriptor"]] == "primary"]
    samples = [row["cryostat_sample_k"] for row in primary[1:]]
    assert all(a < b for a, b in itertools.pairwise(samples))
    assert all(row["cryostat_overshoot_k"] < 0.2 for row in primary[1:])
    assert all(row["cryostat_stage_k"] == pytest.approx(row["cryostat_temperature_k"], abs=0.1) for row in primary)
    tolerance = bench.rig.magnet.settings.tolerance_gauss
    assert all(row["magnet_field_z_gauss_rbv"] == pytest.approx(97.0, abs=tolerance) for row in primary)
    assert all(row["transport_resistance_ohm"] > 0 for row in primary)
    assert all(row["pressure_membrane_bar_rbv"] == pytest.approx(before + 2.0, abs=0.05) for row in primary)
    units = next(doc for name, doc in rows if name == "descriptor" and doc["name"] == "primary")["data_keys"]
    assert units["cryostat_sample_k"]["units"] == "K"
    assert units["magnet_field_z_gauss_rbv"]["units"] == "G"
    magnet = bench.rig.magnet
    magnet.settings = dataclasses.replace(magnet.settings, limits_gauss=(-1e4, 1e4))
    with pytest.raises(DeviceError, match="300 G refused"):
        magnet.set(300.0).wait(20)
    magnet.set(0.0).wait(60)
