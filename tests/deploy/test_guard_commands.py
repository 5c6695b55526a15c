"""`nvdac guard` on a running site of the twin: what waits for a person, and their word."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from deploy.environment import process_environment
from deploy.launch import Parts, launch, make_site, wait_until_ready
from deploy.rig_file import find_rig, load_rig
from deploy.site import Site
from tests.deploy.command import User, one_line, until

INSTRUMENTS = Parts(web=False, tiled=False, camera=False, analyzers=False)


def put(site: Site, name: str, value: int) -> None:
    code = f"import epics; epics.caput('NVDAC:{name}', {value}, wait=True, timeout=20)"
    subprocess.run([sys.executable, "-c", code], env=process_environment(site), capture_output=True, check=True)


def test_a_latched_fault_is_let_go_of_by_a_named_person_once_it_has_passed(user: User) -> None:
    path = find_rig("twin-s1")
    rig = load_rig(path)
    with user.here():
        site = launch(make_site("t", path, rig, user.folder / "data", INSTRUMENTS), rig, INSTRUMENTS)
        wait_until_ready(site)
    acknowledge = ("guard", "acknowledge", "mains", "--by", "Ada", "--reason", "breaker reset")
    one_line(user.run(*acknowledge), "not acknowledged: no fault 'mains' waits for a person")

    def status() -> dict:
        said = user.run("guard", "status", "--json", "-")
        assert said.returncode == 0, said.stderr
        return json.loads(said.stdout)

    put(site, "TWIN:FAULT:MAINS_LOST", 1)
    said = until(lambda: (now := status())["latched"] and now, 60)
    assert said["latched"] == ["mains"]
    assert "mains were lost" in said["refused"]["cryostat"]
    one_line(user.run(*acknowledge), "mains were lost: that still stands; mend it first")
    put(site, "TWIN:FAULT:MAINS_LOST", 0)

    def gone() -> bool:
        done = user.run(*acknowledge)
        assert done.returncode == 0 or "still stands" in done.stderr, done.stderr
        return done.returncode == 0

    until(gone, 60)
    assert status()["latched"] == []
    assert "waits for a person: nothing" in user.run("guard", "status").stdout
    ledger = "".join(file.read_text() for file in (Path(site.data_dir) / "ledger").glob("*.jsonl"))
    assert "mains acknowledged by Ada: breaker reset" in ledger
