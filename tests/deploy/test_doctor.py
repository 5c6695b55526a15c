"""`nvdac doctor`: each thing it looks at, good and bad."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
from collections import namedtuple
from pathlib import Path

import pytest

from deploy import doctor, places
from deploy.doctor import Finding, examine
from deploy.launch import Parts, make_site
from deploy.rig_file import RIGS, RigFile, find_rig, load_rig
from tests.deploy.command import User
from tests.deploy.test_processes import rig as small_rig
from tests.deploy.test_processes import start_small, supervisor_pid

Usage = namedtuple("Usage", "total used free")
TWIN = RIGS / "twin-s1.toml"
GIB = 2**30


@pytest.fixture(autouse=True)
def clean(user: User, monkeypatch: pytest.MonkeyPatch):
    """Nothing set, nothing running, an empty folder."""
    for name in ("NVDAC_TILED_API_KEY", "NVDAC_DATA", "EPICS_CA_ADDR_LIST", "EPICS_CA_AUTO_ADDR_LIST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(user.folder)
    with user.here():
        yield


def finding(topic: str, rig: object = "twin-s1", data: Path | None = None) -> Finding:
    (found,) = [row for row in examine(str(rig), data, warm=False) if row.topic == topic]
    return found


def changed(old: str, new: str) -> Path:
    text = TWIN.read_text()
    assert old in text
    path = Path("rig.toml")
    path.write_text(text.replace(old, new))
    return path


def real_rig() -> Path:
    """Write a rig file without a twin."""
    text = TWIN.read_text()
    path = Path("real.toml")
    path.write_text(text[: text.index("[twin]")] + text[text.index("[camera]") :])
    return path


def test_a_good_machine_has_no_bad_finding() -> None:
    findings = examine("twin-s1", None, warm=False)
    assert [row.line() for row in findings if not row.ok and row.topic != "cores"] == []
    assert list(Path().iterdir()) == []


def test_every_bad_finding_says_how_to_mend_it(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 0))
    monkeypatch.setenv("NVDAC_TILED_API_KEY", "with-a-dash")
    bad = [row for row in examine("twin-s1", None, warm=False) if not row.ok]
    assert {"disk", "ring", "Tiled key"} <= {row.topic for row in bad}
    assert all(row.mend for row in bad)
    assert all("\n" not in row.line() for row in bad)


def test_the_command_fails_where_something_is_bad(user: User) -> None:
    good = user.run("doctor")
    assert (good.returncode, good.stderr) == (0, "")
    assert all(line.startswith("ok  ") for line in good.stdout.splitlines())
    bad = user.run("doctor", NVDAC_TILED_API_KEY="with-a-dash")
    assert (bad.returncode, bad.stderr) == (1, "")
    assert [line for line in bad.stdout.splitlines() if line.startswith("BAD  Tiled key")]


def test_a_disk_below_the_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    assert finding("disk").ok
    monkeypatch.setattr(places.shutil, "disk_usage", lambda _: Usage(10 * GIB, 9 * GIB, 1 * GIB))
    found = finding("disk")
    assert (found.ok, found.detail.split(" free")[0]) == (False, "1.0 GiB")


def test_a_data_folder_that_cannot_be_written() -> None:
    assert not finding("disk", data=Path("/proc/data")).ok
    assert "that you may write to" in finding("frame files (SWMR)", data=Path("/proc/data")).mend
    assert finding("frame files (SWMR)", data=Path("new/data")).ok


def test_a_port_in_use_and_one_that_our_own_site_serves(user: User) -> None:
    assert finding("ports").ok
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        rig = changed("web_port = 0", f"web_port = {port}")
        found = finding("ports", rig)
        assert not found.ok
        assert f"port {port} for the live page is in use" in found.detail
    site = start_small(user)
    rig = changed("web_port = 0", f"web_port = {site.web_port}")
    found = finding("ports", rig)
    assert (found.ok, found.detail) == (False, f"port {site.web_port} for the live page is held by site small")
    assert "nvdac down --site small" in found.mend
    rig.write_text(re.sub(r'^name = ".*?"', 'name = "small"', rig.read_text(), count=1, flags=re.MULTILINE))
    found = finding("ports", rig)
    assert (found.ok, found.detail) == (True, f"{site.web_port} is served by site small, which runs")


def test_a_site_that_runs_and_one_whose_processes_are_gone(user: User) -> None:
    site = start_small(user)
    assert finding("site small").ok
    os.kill(supervisor_pid(site), signal.SIGKILL)
    found = finding("site small")
    assert not found.ok
    assert "stale" in found.detail
    assert "nvdac down --site small" in found.mend
    make_site("other", TWIN, small_rig(), user.folder / "other", Parts(web=False, tiled=False, instruments=False))
    assert not finding("site other").ok


def test_epics_without_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "loopback" in finding("EPICS").detail
    rig = real_rig()
    found = finding("EPICS", rig)
    assert not found.ok
    assert "EPICS_CA_ADDR_LIST" in found.mend
    monkeypatch.setenv("EPICS_CA_AUTO_ADDR_LIST", "NO")
    assert not finding("EPICS", rig).ok
    monkeypatch.setenv("EPICS_CA_ADDR_LIST", "10.0.0.7")
    assert finding("EPICS", rig) == Finding("EPICS", True, "searches 10.0.0.7")


def test_a_bad_rig_file_and_one_without_a_magnet() -> None:
    assert finding("rig file").ok
    found = finding("rig file", changed("workers = 2", "worker = 2"))
    assert not found.ok
    assert "did you mean 'workers'?" in found.detail
    assert found.mend == "mend the file"
    assert finding("rig file", "no-such-rig.toml").mend == "name a file that is there with --rig"
    assert not finding("rig file", changed("top_temperature_k = 150.0", "top_temperature_k = 10.0")).ok
    without = finding("rig file", changed("[devices.magnet]\n", ""))
    assert without.ok
    assert "no magnet: field histories are refused" in without.detail


def test_a_folder_of_sockets_that_others_may_read(user: User) -> None:
    assert finding("sockets").ok
    (user.runtime / "nvdac").chmod(0o755)
    found = finding("sockets")
    assert not found.ok
    assert "not private" in found.detail
    assert not finding("sites").ok
    (user.runtime / "nvdac").chmod(0o700)


def test_a_folder_of_sockets_with_a_long_path(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    long = user.runtime / ("long" * 15)
    long.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    assert "too long" in finding("sockets").detail


def camera_rig(folder: Path, kind: str, source: str) -> Path:
    """The twin's rig file with another camera, and without the twin."""
    text = TWIN.read_text().replace('kind = "twin"', f'kind = "{kind}"\nsource = "{source}"')
    path = folder / "camera.toml"
    path.write_text(re.sub(r"\[twin\].*?(?=\n\[)", "", text, flags=re.DOTALL))
    return path


@pytest.mark.parametrize(("kind", "package"), [("pva", "p4p"), ("dectris", "hdf5plugin")])
def test_a_camera_whose_package_is_missing(
    user: User, monkeypatch: pytest.MonkeyPatch, kind: str, package: str
) -> None:
    path = camera_rig(user.folder, kind, "13SIM1:Pva1:Image")
    found = finding("camera", path)
    assert (found.ok, found.detail) == (True, f"{kind} at 13SIM1:Pva1:Image: {package} is there")
    monkeypatch.setattr("deploy.doctor_camera.find_spec", lambda _: None)
    found = finding("camera", path)
    assert not found.ok
    assert f"{package} is missing" in found.detail
    assert found.mend == f".venv/bin/pip install -c constraints.txt -e '.[{kind}]'"
    assert finding("camera").detail == "twin: needs nothing else"


def test_a_camera_that_plays_frames_which_are_not_there(user: User) -> None:
    found = finding("camera", camera_rig(user.folder, "file", "data/nvdac/frames/UID.h5"))
    assert (found.ok, found.detail) == (False, "file: there is no data/nvdac/frames/UID.h5")
    (user.folder / "run.h5").touch()
    assert finding("camera", camera_rig(user.folder, "file", "run.h5")).ok


def test_where_the_channel_of_a_camera_is_searched(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    path = camera_rig(user.folder, "pva", "13SIM1:Pva1:Image")
    monkeypatch.delenv("EPICS_PVA_ADDR_LIST", raising=False)
    monkeypatch.delenv("EPICS_PVA_AUTO_ADDR_LIST", raising=False)
    found = finding("PVAccess", path)
    assert not found.ok
    assert "EPICS_PVA_ADDR_LIST" in found.mend
    monkeypatch.setenv("EPICS_PVA_ADDR_LIST", "192.0.2.30")
    monkeypatch.setenv("EPICS_PVA_AUTO_ADDR_LIST", "NO")
    assert finding("PVAccess", path).detail == "searches 192.0.2.30"


def test_more_workers_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.os, "sched_getaffinity", lambda _: {0})
    found = finding("cores")
    assert (found.ok, found.detail) == (False, "2 workers on 1 cores")


def test_warm_compiles_for_workers_builder_and_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    import analyzers.builder
    import analyzers.fitting
    import devices.twin.camera

    warmed: list[object] = []
    rig: RigFile = load_rig(find_rig("twin-s1"))
    monkeypatch.setattr(analyzers.fitting, "warm_up", warmed.append)
    monkeypatch.setattr(analyzers.builder, "warm_up", lambda: warmed.append("builder"))
    monkeypatch.setattr(devices.twin.camera, "TwinCamera", lambda twin, *_: warmed.append(twin))
    (found,) = [row for row in examine("twin-s1", None, warm=True) if row.topic == "kernels"]
    assert found.ok
    assert warmed == [rig.analysis, "builder", rig.twin]
