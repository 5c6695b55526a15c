"""The real wide-field measurement: ingested, replayed through the whole stream, fitted as run and as file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream.maps_file import compare_planes, read_maps
from tests.deploy.command import User

ROOT = Path(__file__).parents[2]
FILE = ROOT.parent / "shared" / "data" / "widefield-odmr-21x25x200.mat"
NAMED = ("--signal", "M", "--frequency", "Ftot", "--frequency-unit", "GHz")
MAIN_LINE_MHZ = 3222.0

pytestmark = [
    pytest.mark.skipif(not FILE.exists(), reason=f"the measured file is not here: {FILE} (it may not be passed on)"),
    pytest.mark.timeout(400),
]


@dataclass
class Results:
    """What the commands said, and the maps they wrote."""

    ingested: dict[str, Any]
    replayed: dict[str, Any]
    fitted_run: dict[str, Any]
    fitted_file: dict[str, Any]
    replay_maps: dict[str, np.ndarray]
    run_maps: dict[str, np.ndarray]
    file_maps: dict[str, np.ndarray]
    user: User


@pytest.fixture(scope="module")
def results(module_user: User) -> Results:
    def said(*arguments: object) -> dict[str, Any]:
        result = module_user.run(*arguments, "--json", "-", timeout_s=300)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    ingested = said("ingest", FILE, *NAMED, "--data", "data")
    uid = ingested["uid"]
    replayed = said("replay", uid[:8], "--lines", 2, "--speed", "max", "--data", "data")
    fitted_run = said("fit", uid, "--lines", 2, "--data", "data", "--out", "run.h5")
    fitted_file = said("fit", FILE, *NAMED, "--lines", 2, "--out", "file.h5")
    folder = module_user.folder
    replay_maps = read_maps(Path(replayed["maps"]) / "sweep_0000.h5")[0]
    maps = [read_maps(folder / name)[0] for name in ("run.h5", "file.h5")]
    return Results(ingested, replayed, fitted_run, fitted_file, replay_maps, *maps, module_user)


def test_replay_and_both_fits_give_the_same_bits(results: Results) -> None:
    assert compare_planes(results.replay_maps, results.run_maps) == ""
    assert compare_planes(results.run_maps, results.file_maps) == ""
    assert results.replayed["version"] == results.fitted_run["version"]
    assert (results.replayed["frames_sent"], results.replayed["frames_lost"]) == (200, 0)


def test_the_main_line_is_found_in_every_pixel(results: Results) -> None:
    centre_mhz, contrast = results.file_maps["centre_mhz"], results.file_maps["contrast"]
    assert centre_mhz.shape == (2, 21, 25)
    # the second line is missing in some pixels
    strongest = np.nan_to_num(contrast).argmin(axis=0)[np.newaxis]
    main_mhz = np.take_along_axis(centre_mhz, strongest, axis=0)
    assert np.isfinite(main_mhz).all()
    assert np.abs(main_mhz - MAIN_LINE_MHZ).max() < 6.0
    assert np.take_along_axis(contrast, strongest, axis=0).max() < -0.05


def test_guesses_are_said_and_stored(results: Results) -> None:
    assert any("y before x is a guess" in note for note in results.ingested["notes"])
    assert any("noise estimated" in note for note in results.ingested["notes"])


def test_maps_with_other_bits_are_an_error_that_names_the_map(results: Results) -> None:
    import h5py

    path = Path(results.replayed["maps"]) / "sweep_0000.h5"
    before = path.read_bytes()
    try:
        with h5py.File(path, "r+") as file:
            file["chi2"][0, 0] += 1
        again = results.user.run("replay", results.ingested["uid"], "--lines", 2, "--data", "data", timeout_s=300)
        assert again.returncode == 1
        assert "not reproduced" in again.stderr.splitlines()[-1]
        assert "chi2" in again.stderr.splitlines()[-1]
    finally:
        path.write_bytes(before)


def test_nothing_runs_afterwards(results: Results) -> None:
    results.user.assert_nothing_left()
