"""Stored runs as a viewer finds them: on the disk and in a real Tiled server."""

from __future__ import annotations

import json

import numpy as np
import pytest
from bluesky import RunEngine, plans

from stream.archive_tiled import DocumentArchive
from stream.maps_file import write_maps
from stream.stored_maps import (
    finite_mean,
    marked_points,
    read_some,
    run_documents,
    runs_in_tiled,
    sample_mask,
    status_names,
    stored_runs,
)


def test_tiled_lists_its_runs_and_the_log_says_what_they_did(tiled_server):
    engine = RunEngine({}, call_returns_result=False)
    with DocumentArchive(tiled_server.settings, tiled_server.uri) as archive:
        engine.subscribe(archive)
        (uid,) = engine(plans.count([], 2), sample="S9")
        assert archive.wait_archived(60)
    (found,) = [row for row in runs_in_tiled(tiled_server.uri) if row["start"]["uid"] == uid]
    assert found["start"]["sample"] == "S9"
    assert found["stop"]["exit_status"] == "success"
    documents = run_documents(tiled_server.data_dir, uid)
    assert documents.start["sample"] == "S9"
    assert documents.exit_status == "success"


def test_a_refused_key_is_one_line_without_the_key(tiled_server):
    with pytest.raises(OSError, match="401") as refused:
        runs_in_tiled(tiled_server.uri, "wrongkey123")
    assert "wrongkey123" not in str(refused.value)
    with pytest.raises(OSError, match="does not list its runs"):
        runs_in_tiled("http://127.0.0.1:9")


def test_the_newest_version_is_taken_and_read_in_part(tmp_path):
    plane = np.arange(64.0 * 48).reshape(64, 48)
    plane[0, 0] = np.nan
    attributes = {"status_codes": {"0": "OK: resolved", "2": "LOW_SNR: no line"}, "pixel_size_um": 2.0,
                  "regions": {"points": {"inside": [9.0, -3.0], "outside": [900.0, 0.0]}}}  # fmt: skip
    path = tmp_path / "processed" / "run-a" / "v1" / "sweep_0000.h5"
    write_maps(path, {"s": plane}, {"s": ""}, {"s": "ratio"}, attributes)
    (run,) = stored_runs(tmp_path)
    assert (run.run_uid, run.version, run.sweeps, run.products) == ("run-a", "v1", (path,), None)
    planes, found = read_some(path, ("s", "tau"), 16)
    np.testing.assert_array_equal(planes["s"], plane[::4, ::4])
    assert found["step"] == 4
    assert set(planes) == {"s"}
    assert status_names(found) == ["OK", "", "LOW_SNR"]
    assert marked_points(found, (64, 48)) == [{"name": "inside", "x_px": 28, "y_px": 30}]
    assert finite_mean(plane) == pytest.approx(np.nanmean(plane))
    assert finite_mean(np.full(3, np.nan)) is None


def test_a_log_that_is_being_written_is_read_as_far_as_it_goes(tmp_path):
    assert run_documents(tmp_path, "none").start == {}
    rows = [
        ("start", {"uid": "run-b"}),
        ("descriptor", {"uid": "d", "name": "primary"}),
        ("event_page", {"descriptor": "d", "time": [1.0, 2.0], "data": {"t": [20.0, 21.0]}}),
        ("event", {"descriptor": "d", "time": 3.0, "data": {"t": 22.0}}),
    ]
    path = tmp_path / "documents" / "run-b.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps({"name": n, "doc": d}) + "\n" for n, d in rows) + '{"name": "ev')
    found = run_documents(tmp_path, "run-b")
    assert [(stream, when, data["t"]) for stream, when, data in found.events] == [
        ("primary", 1.0, 20.0), ("primary", 2.0, 21.0), ("primary", 3.0, 22.0)]  # fmt: skip
    assert found.exit_status == ""


def test_the_stress_of_a_row_of_the_gallery_is_that_of_the_sample_alone():
    square = [[-10.0, -10.0], [10.0, -10.0], [10.0, 10.0], [-10.0, 10.0]]
    attributes = {"regions": {"sample": square}, "pixel_size_um": 1.0}
    mask = sample_mask(attributes, (20, 20), 2)  # every 2nd pixel of 40 x 40: 20 um are 10 of them
    assert mask.sum() == 100
    assert mask[5:15, 5:15].all()
    plane = np.where(mask, 21.0, 17.0)
    plane[0, 0] = plane[7, 7] = np.nan
    assert finite_mean(plane, mask) == 21.0
    assert finite_mean(plane) < 20.0
    assert sample_mask({"regions": {}, "pixel_size_um": 1.0}, (20, 20), 2) is None
