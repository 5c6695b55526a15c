"""Twin and bridges serve the same PVs, by name and type: a plan and a rig file cannot tell them apart."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from devices.settings import all_devices

TWIN_ALONE = re.compile(r"X:(TWIN|RUBY|LASER):|X:(MAG:(COIL_K|LEAD_OK)|CRYO:(COMPRESSOR|VACUUM_OK|CRYOGEN_OK))_RBV$")
"""What no bridge is there for, and gauges of the house that the guard's inputs name."""


def records(which: str, folder: Path) -> dict[str, str]:
    """Return record -> type and, of an array, its length and element."""
    program = Path(__file__).with_name("pv_lists.py")
    subprocess.run([sys.executable, str(program), which, str(folder)], check=True, timeout=120)
    found: dict[str, str] = {}
    for kind, name, body in re.findall(
        r'record\((\w+), "([^"]+)"\)\s*\{(.*?)\n\}', (folder / f"{which}.db").read_text(), re.S
    ):
        fields = dict(re.findall(r'field\((FTVL|NELM|EGU), "([^"]*)"\)', body))
        found[name] = " ".join([kind, *(f"{key}={value}" for key, value in sorted(fields.items()))])
    return found


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lists")
    twin, bridges = (records(which, folder) for which in ("twin", "bridges"))
    return {name: kind for name, kind in twin.items() if not TWIN_ALONE.match(name)}, bridges


def test_bridges_and_twin_serve_the_same_pvs(served):
    twin, bridges = served
    assert len(bridges) > 30
    assert sorted(twin.items()) == sorted(bridges.items())


def test_every_pv_that_a_device_asks_for_by_default_is_served(served):
    devices = all_devices("X:")
    for name in ("microwave", "magnet", "cryostat", "transport", "pressure"):
        asked = [
            value.replace("{P}", "X:") for value in vars(getattr(devices, name)).values() if isinstance(value, str)
        ]
        assert [pv for pv in asked if pv and pv not in served[1]] == []
