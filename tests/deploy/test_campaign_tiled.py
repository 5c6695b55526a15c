"""`nvdac campaign --tiled`: a query over a real server, killed and started again, maps registered, versions kept."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from datetime import date, timedelta
from pathlib import Path

import pytest

from analyzers.campaign.products import CampaignSettings
from analyzers.campaign.tasks import RunTask, analyse_run
from benchmarks.twin_runs import BRIGHT, warming, write_runs
from deploy.campaign import CampaignRequest, run_campaign
from deploy.version_diff import diff_versions
from devices.settings import TwinSettings
from stream.archive_tiled import send_log
from stream.catalog import PROCESSED, catalog
from stream.maps_file import compare_planes, read_maps
from stream.run_list import RunQuery, runs_in_catalog
from tests.conftest import KEY, TiledServer
from tests.deploy.command import NVDAC, User

TWIN = TwinSettings(height=14, width=14, pixel_size_um=5.7, electrons_per_frame=BRIGHT)
LADDER_K = (9.0, 60.0)
RUNS = ("warming-21", "warming-23")
OPTIONS = ("--plan", "zfc_field_warming", "--processes", "1", "--draws", "20")
TIMEOUT_S = 120.0


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    one = TiledServer(tmp_path_factory.mktemp("campaign-tiled"))
    write_runs(
        one.data_dir,
        TWIN,
        [
            warming("warming-21", 21.0, 0, LADDER_K),
            warming("warming-23", 23.0, 1, LADDER_K),
            warming("other-reference", 21.0, 0, ()),
        ],
    )
    try:
        one.start()
        with catalog(one.uri, KEY) as client:
            for uid in (*RUNS, "other-reference"):
                send_log(one.data_dir, uid, client)
        yield one
    finally:
        one.stop()


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    return User(tmp_path_factory.mktemp("runtime"), tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def expected(server, tmp_path_factory):
    """The maps of the runs as nobody interrupted them."""
    folder = tmp_path_factory.mktemp("expected")
    shutil.copytree(server.data_dir / "frames", folder / "frames")
    tasks = [RunTask(str(folder), str(folder / "frames" / f"{uid}.h5")) for uid in RUNS]
    return {uid: Path(str(analyse_run(task)["folder"])) for uid, task in zip(RUNS, tasks, strict=True)}


@pytest.fixture(scope="module")
def killed(user, server, tmp_path_factory):
    """A campaign that was killed as soon as the maps of one run were kept; returns the folder of its result."""
    steps = server.data_dir / "campaigns" / "steps"
    out = tmp_path_factory.mktemp("killed") / "c"
    place = ("--data", str(server.data_dir), "--out", str(out), "--tiled", server.uri)
    process = subprocess.Popen(
        [*NVDAC, "campaign", *RUNS, *place, *OPTIONS],
        env={**user.environment, "NVDAC_TILED_API_KEY": KEY},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + TIMEOUT_S
    try:
        while not any(steps.glob("*.json")):
            assert process.poll() is None, "the campaign ended before it was killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        # the pool's processes too: a machine that goes down spares none
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)
    return out


@pytest.fixture(scope="module")
def finished(user, server, killed):
    """The same campaign, started again; returns its result."""
    assert not (killed / "campaign.h5").exists()
    place = ("--data", server.data_dir, "--out", killed, "--tiled", server.uri)
    done = user.run("campaign", *RUNS, *place, *OPTIONS, "--json", "-", timeout_s=TIMEOUT_S, NVDAC_TILED_API_KEY=KEY)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def campaign(server, out: Path, run: str, **changed) -> dict:
    """Make the campaign of one run, in this process."""
    settings = CampaignSettings(bootstrap_draws=20)
    return run_campaign(
        CampaignRequest(server.data_dir, out, RunQuery((run,)), server.uri, settings=settings, processes=1, **changed)
    )


def in_tiled(server, uid):
    """Return the version to take, and the maps of each version."""
    with catalog(server.uri, KEY) as client:
        found = client[PROCESSED, uid]
        return found.metadata["latest"], {version: set(found[version]) for version in found}


def test_what_was_missing_is_made_with_the_same_bits_and_registered(server, finished, expected, tmp_path):
    assert finished["failed"] == {}
    assert finished["steps_known"] >= 1
    assert finished["loads"] == 2
    for uid, folder in expected.items():
        mine = server.data_dir / "processed" / uid / folder.name
        assert {path.name for path in mine.iterdir()} == {path.name for path in folder.iterdir()}
        for path in folder.glob("*.h5"):
            assert compare_planes(read_maps(path)[0], read_maps(mine / path.name)[0]) == ""
        latest, versions = in_tiled(server, uid)
        assert latest == folder.name
        assert versions[latest] == {path.stem for path in folder.glob("*.h5")}
    with catalog(server.uri, KEY) as client:
        s = client[PROCESSED, RUNS[0], expected[RUNS[0]].name, "products", "s"]
        assert s[0].tobytes() == read_maps(expected[RUNS[0]] / "products.h5")[0]["s"][0].tobytes()
    again = campaign(server, tmp_path / "c", RUNS[1])
    assert again["steps_done"] == 1  # the products in their new place
    assert again["tiled"] == {"maps": 0, "waiting": 0, "refused": []}


def test_new_constants_and_a_new_reference_make_versions_beside_the_old(server, finished, expected, tmp_path):
    assert finished["failed"] == {}
    run, old = RUNS[0], expected[RUNS[0]].name
    campaign(server, tmp_path / "c", run, changes=(("stress_constants", "hsieh2019"),))
    constants, _ = in_tiled(server, run)
    campaign(server, tmp_path / "c", run, reference="other")
    reference, versions = in_tiled(server, run)
    assert set(versions) == {old, constants, reference}
    assert len(set(versions)) == 3
    changed = diff_versions(server.data_dir, run, old, constants)
    assert changed["settings"]["constants.stress_constants"] == ["barson2017/1", "hsieh2019/1"]
    assert "sigma_zz_gpa" in changed["maps"]["sweep_0001.h5"]
    assert "s" not in changed["maps"]["sweep_0001.h5"]
    changed = diff_versions(server.data_dir, run, old, reference)
    assert changed["settings"]["reference_run"] == ["own", "other-reference"]
    s = changed["maps"]["sweep_0001.h5"]["s"]
    assert 0 < abs(s["median_change"]) < 0.003
    assert s["where"]["rows"][1] > s["where"]["rows"][0]
    assert "doublet_status" not in changed["maps"]["sweep_0001.h5"]


def test_the_query_runs_on_the_server(server):
    def found(**query):
        return [run.run_uid for run in runs_in_catalog(server.uri, RunQuery(**query), KEY)]

    today = date.today()
    assert found(sample="S1") == sorted([*RUNS, "other-reference"], key=found().index)
    assert found(sample="S2") == []
    assert found(plan="stress_map") == []
    assert found(load_index=1) == ["warming-23"]
    assert found(uids=("warming-",)) == list(RUNS)
    assert len(found(since=today - timedelta(days=1), until=today + timedelta(days=1))) == 3
    assert found(since=today + timedelta(days=2)) == []
    assert found(until=today - timedelta(days=2)) == []


def test_a_reference_that_is_not_there_is_one_line(server, user):
    done = user.run("campaign", "--data", server.data_dir, "--out", "c", "--reference", "nothing")
    assert done.returncode == 1
    assert "--reference nothing: 0 runs" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
