"""One pressure point of S1 at 21 GPa on the real site of the twin, from stress map to remnant, with nobody there.

Minutes long: `make soak`. Frames, fits and maps are real; what they say is held beside the twin's truth.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.calibrate import book_lines, calibrate, newest_coil
from deploy.rig_file import RIGS
from devices.settings import TwinSettings
from devices.twin.thermal import sample_offset_k
from devices.twin.truth import truth_of
from physics.constants import GAMMA_MHZ_PER_GAUSS
from stream.document_log import read_documents
from stream.maps_file import read_maps
from stream.paths import documents_path

pytestmark = [
    pytest.mark.skipif(not os.environ.get("NVDAC_SOAK"), reason="minutes long: `make soak`"),
    pytest.mark.timeout(1800),
]
DRIVER = """
import json, sys
from pathlib import Path
from deploy import processes
from deploy.environment import enter_environment
from deploy.launch import Parts, launch, make_site, wait_until_ready
from deploy.rig_file import load_rig
rig_path, data = Path(sys.argv[1]), Path(sys.argv[2])
rig, parts = load_rig(rig_path), Parts(web=False)
site = make_site("whole-load", rig_path, rig, data, parts)
try:
    site = launch(site, rig, parts)
    wait_until_ready(site)
    enter_environment(site)
    from deploy.plan_arguments import coil_settings, load_settings, run_info
    from plans.calibration_runs import (
        CameraCalibrationSettings, ThermometerSettings, calibrate_camera, calibrate_thermometer
    )
    from plans.calibrations import calibrate_coil
    from plans.stubs import settle_temperature
    from deploy.results import wait_finished
    from deploy.session import open_session
    from plans.whole_load import whole_load
    with open_session(site, rig, interactive=False) as session:
        runs = session.engine(whole_load(session.rig, load_settings(rig), run_info(rig)))
        stream = rig.stream_settings(site.runtime_dir, site.data_dir)
        wait_finished(stream, runs[-1])
        about = run_info(rig)
        engine, devices = session.engine, session.rig
        engine(settle_temperature(devices, 150.0))
        runs += engine(calibrate_coil(devices, coil_settings(rig), about))
        wait_finished(stream, runs[-1])
        runs += engine(calibrate_camera(devices, CameraCalibrationSettings(), about))
        runs += engine(calibrate_thermometer(devices, ThermometerSettings((150.0, 120.0, 90.0))))
    (data / "runs.json").write_text(json.dumps(runs))
finally:
    processes.stop(site)
"""


class Load:
    """What the three runs left on the disk."""

    def __init__(self, data: Path, runs: list[str]) -> None:
        self.data = data
        self.stress, self.warming, self.remnant, self.coil, self.camera, self.thermometer = runs
        truth = truth_of(TwinSettings())
        self.truth, self.judged = truth, truth.sample & ~truth.ruby

    def maps(self, run: str, name: str) -> Any:
        (path,) = (self.data / "processed" / run).glob(f"*/{name}.h5")
        return read_maps(path)[0]

    def documents(self, run: str) -> list[tuple[str, Any]]:
        return list(read_documents(documents_path(self.data, run)))

    def events(self, run: str, stream: str) -> list[Any]:
        documents = self.documents(run)
        names = {doc["uid"]: doc["name"] for name, doc in documents if name == "descriptor"}
        return [doc["data"] for name, doc in documents if name == "event" and names[doc["descriptor"]] == stream]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    data = tmp_path_factory.mktemp("load") / "data"
    with tempfile.TemporaryDirectory(prefix="nvdac-t-", dir="/tmp") as runtime:
        environment = {**os.environ, "XDG_RUNTIME_DIR": runtime}
        command = [sys.executable, "-c", DRIVER, str(RIGS / "twin-s1.toml"), str(data)]
        # no operator: nothing can be typed
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr[-4000:]
    return Load(data, json.loads((data / "runs.json").read_text()))


def test_three_runs_end_well_and_name_each_other(load: Load) -> None:
    starts = [load.documents(run)[0][1] for run in (load.stress, load.warming, load.remnant)]
    assert [start["plan_name"] for start in starts] == ["stress_map", "zfc_field_warming", "field_cool_remnant"]
    assert len({start["load_uid"] for start in starts}) == 1
    assert all(
        load.documents(run)[-1][1]["exit_status"] == "success" for run in (load.stress, load.warming, load.remnant)
    )
    assert len(load.events(load.stress, "ruby")) == 1


def test_the_annulus(load: Load) -> None:
    """Suppressed all round a core that shear keeps normal."""
    s = load.maps(load.warming, "sweep_0001")["s"]
    true = load.truth.noise_free_s(20.7)
    core = load.judged & (np.abs(true - 1.0) < 0.005)
    ring = load.judged & (true < 0.96)
    assert abs(np.nanmedian(s[core]) - 1.0) < 0.01
    assert 0.93 < np.nanmedian(s[ring]) < 0.97
    assert abs(np.nanmedian(s[ring]) - np.median(true[ring])) < 0.005
    y, x = np.nonzero(core)
    middle = np.median(y), np.median(x)
    rows, columns = np.nonzero(ring)
    azimuth = np.arctan2(rows - middle[0], columns - middle[1])
    sectors = np.unique(np.floor((azimuth + np.pi) / (np.pi / 4.0)).astype(int) % 8)
    assert sectors.size >= 7, "the suppressed region closes round the core"


def test_tc_and_transport_agree(load: Load) -> None:
    tc = load.maps(load.warming, "products")["tc_k"][load.judged]
    assert 65.0 < np.nanmedian(tc) < 82.0
    highest = float(np.nanpercentile(tc, 95.0))
    assert 72.0 < highest < 88.0
    rows = load.events(load.warming, "cooldown")
    temperature = np.array([row["cryostat_sample_k"] for row in rows])
    ohm = np.array([row["transport_resistance_ohm"] for row in rows])
    assert temperature.size > 12  # as many as a busy machine gets out of a cool-down 200 times too fast
    normal = temperature > 100.0
    line = np.polyfit(temperature[normal], ohm[normal], 1)
    # The first deviation from the normal state, of either sign: current crowds about the first islands before R drops.
    away = np.abs(1.0 - ohm / np.polyval(line, temperature))
    first = float(temperature[away > 0.03].max())
    assert abs(first - highest) < 5.0, "R leaves its line where the first pixels become diamagnetic"
    assert ohm.min() < 0.5 * np.polyval(line, temperature.min()), "and drops below"


def test_trapped_flux_sits_where_flux_was_kept_out(load: Load) -> None:
    """The shift of the lowest line, [111]'s lower one, gives b; the core traps nothing."""
    before, after = (load.maps(load.remnant, f"sweep_000{number}")["centre_mhz"].astype(float) for number in (0, 2))
    across = 0.5 * (before[1] - before[0])
    shift = before[0] - after[0]
    square = shift * (2.0 * across + shift) / GAMMA_MHZ_PER_GAUSS.value**2
    trapped = np.sqrt(np.clip(square, 0.0, None))
    true = load.truth.noise_free_s(20.7)
    ring = load.judged & (true < 0.955) & np.isfinite(trapped)
    core = load.judged & (np.abs(true - 1.0) < 0.005) & np.isfinite(trapped)
    expected = 150.0 * (1.0 - true)
    assert np.median(trapped[ring]) == pytest.approx(np.median(expected[ring]), rel=0.35)
    assert 5.0 < np.median(trapped[ring]) < 12.0, "up to about 10 G"
    assert np.median(trapped[core]) < 0.4 * np.median(trapped[ring])


def test_calibrations_of_the_same_site_find_the_twin_and_are_on_record(load: Load) -> None:
    coil = calibrate(load.coil, load.data, None)
    assert abs(coil.values["remanence_gauss"]) < 0.3
    assert coil.sigmas["remanence_gauss"] < 0.055
    assert coil.values["scale"] == pytest.approx(np.cos(np.radians(3.0)), abs=0.005)
    camera = calibrate(load.camera, load.data, None)
    assert camera.values["electrons_per_count"] == pytest.approx(8.0, rel=0.03)
    assert camera.values["offset_counts"] == pytest.approx(100.0, abs=0.5)
    assert camera.values["read_noise_electrons"] == pytest.approx(20.0, rel=0.05)
    thermometer = calibrate(load.thermometer, load.data, None)
    at = thermometer.values["at_k"]
    assert thermometer.values["offset_k"] == pytest.approx(sample_offset_k(at), abs=0.05)
    said = "\n".join(book_lines(load.data))
    assert said.count("of at most") == 3
    assert "TOO OLD" not in said
    assert newest_coil(load.data) == coil
