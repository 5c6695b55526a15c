"""The same plan on the twin's IOC: its instruments keep what the plan relies on."""

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
from devices.settings import TwinProcess, TwinSettings
from plans.adaptive import TemperatureLimits
from plans.histories import zfc_field_warming
from plans.settings import RunInfo, SweepSettings, ZfcSettings
from stream.settings import StreamSettings, dump_settings

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


def test_the_whole_history_on_the_twin(twin, make_bench_at, documents):
    rows, take = documents
    bench = make_bench_at(twin)
    engine = RunEngine({}, context_managers=[])
    engine.subscribe(take)
    sweep = SweepSettings((2857.0, 2870.0, 3401.0), passes=2, analysis_timeout_s=20.0)
    settings = ZfcSettings(sweep, base_temperature_k=60.0, limits=TemperatureLimits(point_price_k=0.5))
    engine(zfc_field_warming(bench.rig, settings, RunInfo(sample="S1")))
    names = {doc["uid"]: doc["name"] for name, doc in rows if name == "descriptor"}
    primary = [doc["data"] for name, doc in rows if name == "event" and names[doc["descriptor"]] == "primary"]
    samples = [row["cryostat_sample_k"] for row in primary[1:]]
    assert all(a < b for a, b in itertools.pairwise(samples))
    assert all(row["cryostat_overshoot_k"] < 0.2 for row in primary[1:])
    assert all(row["cryostat_stage_k"] == pytest.approx(row["cryostat_temperature_k"], abs=0.1) for row in primary)
    assert all(row["magnet_field_z_gauss_rbv"] == pytest.approx(97.0, abs=0.05) for row in primary)
    assert all(row["transport_resistance_ohm"] > 0 for row in primary)
    units = next(doc for name, doc in rows if name == "descriptor" and doc["name"] == "primary")["data_keys"]
    assert units["cryostat_sample_k"]["units"] == "K"
    assert units["magnet_field_z_gauss_rbv"]["units"] == "G"
    magnet = bench.rig.magnet
    magnet.settings = dataclasses.replace(magnet.settings, limits_gauss=(-1e4, 1e4))
    with pytest.raises(DeviceError, match="300 G refused"):
        magnet.set(300.0).wait(20)
