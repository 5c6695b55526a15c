"""What the re-analysis of many stored runs costs: `nvdac campaign` on runs of 180 x 180 pixels and 300 frequencies.

`python -m benchmarks.campaign [--runs 200] [--json FILE]`; the exit code is 1 where a limit is missed. One run is
written through the real stream; the others have files of their own that share its frames, so that all are cached.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np

from analyzers.campaign.products import CampaignSettings
from analyzers.fitting import fit_image
from analyzers.offline import fit_and_keep, sweep_cube
from analyzers.pipeline import RunMaps
from analyzers.prepare import fit_terms, prepare_sums
from benchmarks.twin_runs import BRIGHT, TwinRun, warming, write_runs
from deploy.campaign import CampaignRequest, run_campaign
from deploy.tiled_config import API_KEY_VARIABLE, write_tiled_config
from devices.settings import TwinSettings
from stream.archive_hdf5 import FRAMES, FrameFile
from stream.archive_tiled import send_log
from stream.catalog import catalog
from stream.document_log import write_log
from stream.paths import documents_path, frames_path
from stream.records import run_start_to_json, sweep_to_record

EDGE_PX = 180
POINTS = 300
FREQUENCY_MHZ = np.linspace(2800.0, 3460.0, POINTS)
READ_LIMIT = 1.20
"""Seconds of reading and fitting a run over those of the bare kernel on the same counts in memory."""
LOOK_UP_LIMIT_S = 0.5
"""Seconds per run of the look-up and of what Tiled is told."""
MEMORY_LIMIT_MIB = 1024
"""Largest resident memory of any process."""
ROUNDS = 6
WARMING, SOURCE = "warming", "run-000"


def write_data(data: Path, runs: int) -> None:
    """Write the runs: a field warming, a single map through the stream, and copies of the latter."""
    twin = TwinSettings(height=EDGE_PX, width=EDGE_PX, pixel_size_um=80.0 / EDGE_PX, electrons_per_frame=BRIGHT)
    ladder = warming(WARMING, 21.0, 0, (20.0,), frequency_mhz=FREQUENCY_MHZ)
    single = TwinRun(SOURCE, 21.0, 0, ladder.points[:1], "map", frequency_mhz=FREQUENCY_MHZ)
    write_runs(data, twin, [ladder, single])
    for number in range(1, runs - 1):
        _copy(data, f"run-{number:03d}")


def _copy(data: Path, run_uid: str) -> None:
    """Make a run with the frames of the first one: keys and openings of its own, a link to the frames."""
    source = frames_path(data, SOURCE)
    with FrameFile(source) as file:
        start = dataclasses.replace(file.start, run_uid=run_uid)
        record = np.frombuffer(sweep_to_record(dataclasses.replace(file.sweeps[0], run_uid=run_uid)), np.uint8)
    with h5py.File(source) as old, h5py.File(frames_path(data, run_uid), "w", libver="latest") as new:
        contents: Any = old
        new.attrs["nvdac_format"] = contents.attrs["nvdac_format"]
        new.attrs["run_uid"], new.attrs["run_start"] = run_uid, run_start_to_json(start)
        for name, column in contents["/entry/data"].items():
            if f"/entry/data/{name}" != FRAMES:
                new.create_dataset(f"/entry/data/{name}", data=column[...])
        new[FRAMES] = h5py.ExternalLink(source.name, FRAMES)
        new.create_dataset("/sweeps/records", data=record)
        new.create_dataset("/sweeps/offsets", data=np.array([record.size], np.int64))
    log = documents_path(data, SOURCE).read_text().replace(SOURCE, run_uid)
    rows = [json.loads(line) for line in log.splitlines()]
    write_log(data, run_uid, [(row["name"], row["doc"]) for row in rows])


def read_and_fit(data: Path) -> dict[str, float]:
    """Return the least seconds of the bare kernel on counts in memory, and of reading and fitting the file.

    One thread each, processor time: what others do at the same time only adds to it.
    """
    with FrameFile(frames_path(data, SOURCE)) as file:
        run, sweep = RunMaps.of(file.start), file.sweeps[0]
        cube = sweep_cube(file, sweep)
        sums = prepare_sums(cube.sums, cube.passes_added, sweep, run.camera, run.settings)
        terms = fit_terms(sweep.frequency_mhz, cube.passes_added, run.camera.width, run.camera.noise, run.settings)
        bare, whole = [], []
        for _ in range(ROUNDS):
            began = time.process_time()
            fit_image(sums, terms.passes, sweep.frequency_mhz, terms.noise, terms.settings, 1)
            fitted = time.process_time()
            fit_and_keep(run, sweep, sweep_cube(file, sweep), 1)
            bare.append(fitted - began)
            whole.append(time.process_time() - fitted)
    return {"kernel_s": min(bare), "read_and_kernel_s": min(whole)}


@contextmanager
def tiled(folder: Path, data: Path) -> Generator[str]:
    """Give the address of a Tiled server over the data folder."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    configuration, ready = write_tiled_config(folder / "tiled.yml", data, port), folder / "ready"
    command = [sys.executable, "-m", "deploy.tiled_server", str(configuration), str(ready)]
    with (folder / "tiled.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        while not ready.exists():
            if process.poll() is not None:
                raise RuntimeError((folder / "tiled.log").read_text())
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def measure(folder: Path, runs: int) -> dict[str, Any]:
    """Write the runs, analyse them in one command, then tell Tiled of them: look-up and Tiled alone."""
    data, settings = folder / "data", CampaignSettings(bootstrap_draws=20)
    began = time.perf_counter()
    write_data(data, runs)
    cores = os.cpu_count() or 1
    result: dict[str, Any] = {
        "runs": runs,
        "cores": cores,
        "write_s": time.perf_counter() - began,
        **read_and_fit(data),
    }
    with tiled(folder, data) as uri:
        with catalog(uri) as client:
            for path in sorted((data / "documents").glob("*.jsonl")):
                send_log(data, path.stem, client)
        began = time.perf_counter()
        made = run_campaign(CampaignRequest(data, folder / "campaign", settings=settings))
        analysed = time.perf_counter()
        told = run_campaign(CampaignRequest(data, folder / "campaign", tiled_uri=uri, settings=settings))
        ended = time.perf_counter()
    seconds = cast("dict[str, float]", made["seconds"])
    reading = result["read_and_kernel_s"] / result["kernel_s"]
    whole = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return result | {
        "read_over_kernel": reading,
        "campaign_s": analysed - began,
        "seconds": seconds,
        "maps_s_per_run_and_core": seconds["maps"] * cores / runs,
        "look_up_and_tiled_s_per_run": (ended - analysed) / runs,
        "told": told["tiled"],
        "failed": {**made["failed"], **told["failed"]},  # pyright: ignore[reportGeneralTypeIssues]
        "memory_mib": {"this_process": whole[0], "largest_other": whole[1]},
        "load": os.getloadavg()[0],
    }


def main() -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.campaign", description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    os.environ.setdefault(API_KEY_VARIABLE, "0123456789abcdef")
    folder = Path(tempfile.mkdtemp(prefix="nvdac-campaign-"))
    try:
        result = measure(folder, chosen.runs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result["passed"] = {
        "read": result["read_over_kernel"] <= READ_LIMIT,
        "look_up_and_tiled": result["look_up_and_tiled_s_per_run"] <= LOOK_UP_LIMIT_S,
        "memory": max(result["memory_mib"].values()) <= MEMORY_LIMIT_MIB,
        "all_analysed": not result["failed"],
    }
    text = json.dumps(result, indent=2)
    sys.stdout.write(text + "\n")
    if chosen.json:
        chosen.json.write_text(text + "\n")
    return 0 if all(result["passed"].values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
