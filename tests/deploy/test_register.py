"""`nvdac register`: an EDX map onto a run's pixels, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from deploy.errors import DeployError
from deploy.register import register_chemistry
from stream.image_files import ImageFileError, read_plane
from stream.maps_file import read_maps
from tests.analyzers.campaign.stored_campaign import write_load
from tests.analyzers.campaign.twin_loads import load_of, twin

POINTS = np.array([[4.0, 5.0], [33.0, 6.0], [30.0, 34.0], [6.0, 31.0]])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_load(folder, load_of(twin("S3", 1, 40), 21.0, 0, (9.0, 60.0), tc=False), 21.0)
    return folder


@pytest.fixture
def files(tmp_path):
    """Return La and Ni at twice the run's resolution, and control points."""
    rows, columns = np.indices((80, 80))
    la = np.where(columns < 40, 18.0, 15.0)
    tifffile.imwrite(tmp_path / "la.tif", la.astype(np.float32))
    tifffile.imwrite(tmp_path / "ni.tif", np.full(la.shape, 12.0, np.float32))
    np.savetxt(tmp_path / "points.csv", np.hstack([POINTS, 2.0 * POINTS + 0.5]), delimiter=",", header="a,b,c,d")
    assert rows.size
    return tmp_path


def _register(files, data, **changes):
    chosen = {
        "planes": [files / "la.tif", files / "ni.tif"],
        "unit": "at%",
        "points_file": files / "points.csv",
        "run": "S3-1-0",
        "data_dir": data,
        "out": files / "out.h5",
        "sample": "S3",
    }
    return register_chemistry(**{**chosen, **changes})


def test_the_ratio_lies_on_the_runs_pixels_with_residuals_stored(files, data):
    result = _register(files, data)
    planes, facts = read_maps(files / "out.h5")
    assert planes["la_ni"].shape == (40, 40)
    assert planes["la_ni"][20, 10] == pytest.approx(1.5)
    assert planes["la_ni"][20, 30] == pytest.approx(1.25)
    assert facts["registered_on_run"] == "S3-1-0"
    assert np.abs(facts["residual_px"]).max() < 1e-6
    assert result["covered"] > 0.9


def test_another_sample_a_mirrored_map_and_wrong_units_are_refused(files, data):
    with pytest.raises(DeployError, match="of sample 'S1'"):
        _register(files, data, sample="S1")
    with pytest.raises(DeployError, match="atomic per cent given as a ratio"):
        _register(files, data, planes=[files / "la.tif"], unit="ratio")
    mirrored = np.hstack([POINTS, 2.0 * POINTS + 0.5])
    mirrored[:, 3] = 80.0 - mirrored[:, 3]
    np.savetxt(files / "points.csv", mirrored, delimiter=",")
    with pytest.raises(DeployError, match="mirrored"):
        _register(files, data)


def test_text_of_instruments_is_read(tmp_path):
    comma = tmp_path / "a.csv"
    comma.write_text("EDX map;La\n\n1,5;2,5;\n3,5;;\n")
    assert np.array_equal(read_plane(comma), [[1.5, 2.5], [3.5, np.nan]], equal_nan=True)
    blank = tmp_path / "b.txt"
    blank.write_text("1 2 3\n4 5 6\n")
    assert read_plane(blank).shape == (2, 3)
    ragged = tmp_path / "c.csv"
    ragged.write_text("1,2\n1,2,3\n")
    with pytest.raises(ImageFileError, match="2 to 3 numbers"):
        read_plane(ragged)
    with pytest.raises(ImageFileError, match="no reader"):
        read_plane(tmp_path / "d.xyz")
    with pytest.raises(ImageFileError, match="cannot read"):
        read_plane(tmp_path / "none.csv")
