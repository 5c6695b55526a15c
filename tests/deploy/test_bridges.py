"""A site whose rig names bridges: one process per instrument, on loopback, restarted without moving anything."""

from __future__ import annotations

import ast
import ipaddress
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy import processes
from deploy.doctor import examine
from deploy.environment import process_environment
from deploy.launch import Parts, launch, make_site, wait_until_ready
from deploy.rig_file import load_rig
from deploy.site import Site, find_site
from tests.deploy.command import User, until
from tests.devices.ioc.lakeshore_simulator import LakeShoreSimulator
from tests.devices.ioc.supply_simulator import SupplySimulator

BRIDGES_ONLY = Parts(web=False, tiled=False, camera=False, analyzers=False)
RIG = """
[rig]
name = "lab"
[camera]
kind = "file"
[devices]
prefix = "LAB:"
[devices.magnet]
[devices.cryostat]
[devices.guard]
[bridge.magnet]
address = "{magnet}"
kind = "kepco"
rate_a_per_s = 1.0
[bridge.cryostat]
address = "{cryostat}"
"""


@pytest.fixture
def magnet() -> Iterator[SupplySimulator]:
    simulator = SupplySimulator()
    yield simulator
    simulator.stop()


@pytest.fixture
def cryostat() -> Iterator[LakeShoreSimulator]:
    simulator = LakeShoreSimulator(100.0)
    yield simulator
    simulator.stop()


@pytest.fixture
def rig_path(tmp_path: Path, magnet: SupplySimulator, cryostat: LakeShoreSimulator) -> Path:
    path = tmp_path / "lab.toml"
    path.write_text(RIG.format(magnet=magnet.address, cryostat=cryostat.address))
    return path


def read_pvs(site: Site, *names: str) -> list[Any]:
    """Read PVs as a session of this site would."""
    environment = {**process_environment(site)}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("pv_reader.py"))],
        input="".join(f"LAB:{name}\n" for name in names),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ast.literal_eval(line) for line in done.stdout.splitlines()]


def put_pv(site: Site, name: str, value: float) -> None:
    """Put a PV and wait until its IOC has taken or refused it."""
    put = f"import epics; epics.caput('LAB:{name}', {value}, wait=True, timeout=20)"
    subprocess.run([sys.executable, "-c", put], env={**process_environment(site)}, capture_output=True, check=True)


def pid_of(site: Site, name: str) -> int:
    return next(row.pid for row in processes.states(site) if row.name == name)


def test_each_bridge_is_a_process_on_loopback_that_comes_back(
    user: User, rig_path: Path, magnet: SupplySimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EPICS_CA_ADDR_LIST", raising=False)
    magnet.output, magnet.set_a = True, 2.0
    magnet.coil.target = magnet.coil.value = 2.0
    rig = load_rig(rig_path)
    with user.here():
        site = launch(make_site("lab", rig_path, rig, user.folder / "data", BRIDGES_ONLY), rig, BRIDGES_ONLY)
        wait_until_ready(site)
        assert set(site.programs) == {"bridge-magnet", "bridge-cryostat", "guard", "monitor"}
        field, stage = read_pvs(site, "MAG:FIELD_Z_GAUSS_RBV", "CRYO:STAGE_K_RBV")
        assert field == pytest.approx(2.0 * 24.11, abs=0.1)
        assert stage == pytest.approx(150.0, abs=0.1)
        # nobody holds the lease: the guard permits no field, and the bridge asks it
        assert read_pvs(site, "GUARD:HISTORY", "GUARD:MAGNET:PERMIT") == ["NORMAL_STATE", 0]
        put_pv(site, "MAG:FIELD_Z_GAUSS", 10.0)
        (refused,) = read_pvs(site, "MAG:REASON")
        assert "session" in refused
        pids = {row.name: row.pid for row in processes.states(site)}
        for name, port in site.bridge_ports.items():
            served = [c.laddr for c in psutil.Process(pids[name]).net_connections("tcp") if c.status == "LISTEN"]
            assert [address.port for address in served] == [port]
            assert all(ipaddress.ip_address(address.ip).is_loopback for address in served)
        os.kill(pids["bridge-magnet"], signal.SIGKILL)
        until(lambda: pid_of(site, "bridge-magnet") not in (0, pids["bridge-magnet"]), 30)
        wait_until_ready(site)
        until(lambda: read_pvs(site, "MAG:FIELD_Z_GAUSS_RBV")[0] == pytest.approx(2.0 * 24.11, abs=0.1), 30)
        assert magnet.set_points == [], "the field held"
        (answer,) = [row for row in examine(str(rig_path), None, warm=False) if row.topic == "instruments"]
        assert answer.detail == "not asked: site lab speaks to instruments"
        processes.stop(find_site("lab"))
    user.assert_nothing_left()


def test_doctor_asks_each_instrument_who_it_is(
    user: User, rig_path: Path, magnet: SupplySimulator, cryostat: LakeShoreSimulator
) -> None:
    cryostat.stop()
    with user.here():
        rows = {row.topic: row for row in examine(str(rig_path), None, warm=False)}
    assert rows["bridge magnet"].ok
    assert "KEPCO,BOP 20-20" in rows["bridge magnet"].detail
    assert magnet.heard == ["*IDN?"]
    assert not rows["bridge cryostat"].ok
    assert cryostat.address in rows["bridge cryostat"].detail
    assert "switched on" in rows["bridge cryostat"].mend


def test_addresses_of_the_laboratory_are_searched_too(
    user: User, rig_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = load_rig(rig_path)
    with user.here():
        site = make_site("lab", rig_path, rig, user.folder / "data", BRIDGES_ONLY)
        ours = [f"127.0.0.1:{port}" for port in (*site.bridge_ports.values(), site.guard_port)]
        assert len(ours) == 3
        monkeypatch.setenv("EPICS_CA_ADDR_LIST", "192.0.2.1")
        monkeypatch.delenv("EPICS_CA_AUTO_ADDR_LIST", raising=False)
        for name in ("EPICS_PVA_ADDR_LIST", "EPICS_PVA_AUTO_ADDR_LIST"):
            monkeypatch.delenv(name, raising=False)
        environment = process_environment(site)
        # nobody named a camera's address: no stranger's is searched
        assert (environment["EPICS_PVA_ADDR_LIST"], environment["EPICS_PVA_AUTO_ADDR_LIST"]) == ("127.0.0.1", "NO")
        monkeypatch.setenv("EPICS_PVA_ADDR_LIST", "192.0.2.9")
        environment = process_environment(site)
        assert environment["EPICS_PVA_ADDR_LIST"] == "192.0.2.9"
        assert "EPICS_PVA_AUTO_ADDR_LIST" not in environment
        own = process_environment(replace(site, ca_port=5999))
        assert (own["EPICS_PVA_ADDR_LIST"], own["EPICS_PVA_AUTO_ADDR_LIST"]) == ("127.0.0.1", "NO")
        assert environment["EPICS_CA_ADDR_LIST"].split() == ["192.0.2.1", *ours]
        assert "EPICS_CA_AUTO_ADDR_LIST" not in environment
        monkeypatch.delenv("EPICS_CA_ADDR_LIST")
        assert process_environment(site)["EPICS_CA_AUTO_ADDR_LIST"] == "NO"
        processes.stop(site)
