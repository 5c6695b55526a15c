"""A session killed in the middle of a field warming, and `nvdac resume`: whole sites, real signals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.rig_file import RIGS
from deploy.site import find_site
from devices.channel_access import loopback_variables
from stream.document_log import DIED, read_documents
from stream.paths import documents_path
from tests.deploy.command import NVDAC, User, one_line, until

pytestmark = pytest.mark.timeout(900)
SMALL = {
    "height = 96": "height = 32",
    "width = 96": "width = 32",
    "pixel_size_um = 1.0": "pixel_size_um = 3.0",
    "speed = 200.0": "speed = 2000.0",
    "passes = 6": "passes = 2",
    "base_temperature_k = 20.0": "base_temperature_k = 60.0",
}


class Reader:
    """Reads PVs in a process of its own."""

    def __init__(self, site) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("pv_reader.py"))],
            env={**os.environ, **loopback_variables(site.ca_port, site.guard_port)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, name: str) -> str:
        self._process.stdin.write(f"NVDAC:{name}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


def documents_of(data: Path) -> dict[str, list[tuple[str, dict]]]:
    return {path.stem: list(read_documents(path)) for path in documents_path(data, "x").parent.glob("*.jsonl")}


def decided(data: Path) -> bool:
    return any("decision_reason" in doc.get("data", {}) for rows in documents_of(data).values() for _, doc in rows)


def test_a_killed_warming_goes_on_where_it_was(user: User) -> None:
    text = (RIGS / "twin-s1.toml").read_text()
    for old, new in SMALL.items():
        assert old in text
        text = text.replace(old, new)
    (user.folder / "small.toml").write_text(text)
    up = user.run("up", "--rig", "small.toml", "--data", "data", timeout_s=400)
    assert up.returncode == 0, up.stderr
    with user.here():
        site = find_site("twin-s1")
    data = Path(site.data_dir)
    one_line(user.run("resume"), "was not left open by a session that died")
    session = subprocess.Popen(
        [*NVDAC, "session"],
        cwd=user.folder,
        env={**user.environment, "IPY_TEST_SIMPLE_PROMPT": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    pv = Reader(site)
    try:
        session.stdin.write("RE(history())\n")
        session.stdin.flush()
        until(lambda: decided(data), 400, "the first decision of the warming")
        until(lambda: pv("MW:ENABLE_RBV") == "1", 60, "the next sweep")
        killed = time.monotonic()
        session.kill()
        until(lambda: (pv("MW:ENABLE_RBV"), pv("LASER:SHUTTER_RBV")) == ("0", "0"), 10, "darkness")
        assert time.monotonic() - killed < 2.0
        assert float(pv("MAG:FIELD_Z_GAUSS_RBV")) == 97.0
        assert "ZFC_FW" in pv("GUARD:HISTORY")
        resumed = user.run("resume", "--json", "-", timeout_s=600)
        assert resumed.returncode == 0, resumed.stderr
        said = json.loads(resumed.stdout)
        runs = documents_of(data)
        new, old = runs[said["run_uid"]], runs[said["resumes"]]
        assert old[-1][1]["reason"] == DIED
        assert new[0][1]["resumes"] == said["resumes"]
        assert [start["setup"]["sample"]["values"]["name"] for start in (old[0][1], new[0][1])] == ["S1", "S1"]
        assert new[0][1]["ledger"]["history"] == "ZFC_FW"
        assert (new[-1][0], new[-1][1]["exit_status"]) == ("stop", "success")
        assert "ledger: NORMAL_STATE" in new[-1][1]["reason"], "the closing reference is in the normal state"
        sweeps = [doc["data"]["camera_sweep"] for _, doc in (*old, *new) if "camera_sweep" in doc.get("data", {})]
        assert sweeps == sorted(set(sweeps))
        finished = [doc["data"]["decision_finished"] for _, doc in new if "decision_finished" in doc.get("data", {})]
        assert finished[-1] == 1
        assert list((data / "processed" / said["resumes"]).rglob("products.h5"))
    finally:
        pv.close()
        session.kill()
        session.wait(10)
        session.stdin.close()
