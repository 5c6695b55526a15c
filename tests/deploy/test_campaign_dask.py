"""`nvdac campaign --dask`: a scheduler and a worker as the how-to starts them give the bits of local processes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time

import pytest

from analyzers.campaign.products import CampaignSettings
from benchmarks.twin_runs import BRIGHT, warming, write_runs
from deploy.campaign import CampaignRequest, run_campaign
from devices.settings import TwinSettings
from stream.maps_file import compare_planes, part_names, read_maps
from tests.deploy.command import environment

WAIT_S = 60.0


@pytest.fixture
def cluster(tmp_path):
    """The address of a scheduler on loopback, with one worker."""
    file, started = tmp_path / "scheduler.json", []

    def start(program: str, *options: str) -> None:
        command = [sys.executable, "-m", f"distributed.cli.dask_{program}", "--host", "127.0.0.1", "--no-dashboard"]
        with (tmp_path / "dask.log").open("ab") as log:
            started.append(
                subprocess.Popen(
                    [*command, "--scheduler-file", str(file), *options],
                    env=environment(tmp_path),
                    cwd=tmp_path,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )

    try:
        start("scheduler", "--port", "0")
        deadline = time.monotonic() + WAIT_S
        while not file.exists():
            assert time.monotonic() < deadline, (tmp_path / "dask.log").read_text()
            time.sleep(0.02)
        start("worker", "--nthreads", "1", "--no-nanny")
        yield json.loads(file.read_text())["address"]
    finally:
        for process in reversed(started):
            process.kill()  # a worker that loses its scheduler takes its time
            process.wait(30)


def test_a_cluster_and_local_processes_give_the_same_bits(cluster, tmp_path):
    twin = TwinSettings(height=14, width=14, pixel_size_um=5.7, electrons_per_frame=BRIGHT)
    runs = [warming("on-21", 21.0, 0, (9.0, 60.0)), warming("on-23", 23.0, 1, (9.0, 60.0))]
    write_runs(tmp_path / "local", twin, runs)
    shutil.copytree(tmp_path / "local", tmp_path / "far")
    settings, results = CampaignSettings(bootstrap_draws=20), {}
    for place, options in (("local", {"processes": 1}), ("far", {"dask": cluster})):
        request = CampaignRequest(tmp_path / place, tmp_path / f"{place}-out", settings=settings, **options)
        results[place] = run_campaign(request)
        assert results[place]["failed"] == {}
        assert results[place]["steps_done"] == 5
    assert results["local"]["key"] == results["far"]["key"]
    for path in sorted((tmp_path / "local" / "processed").rglob("*.h5")):
        other = tmp_path / "far" / path.relative_to(tmp_path / "local")
        assert compare_planes(read_maps(path)[0], read_maps(other)[0]) == ""
    products = tmp_path / "local-out" / "campaign.h5"
    assert part_names(products)
    for name in part_names(products):
        far = read_maps(tmp_path / "far-out" / "campaign.h5", name)[0]
        assert compare_planes(read_maps(products, name)[0], far) == ""
