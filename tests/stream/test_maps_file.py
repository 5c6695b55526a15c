"""The maps file: round trip with units, whole or absent, never changed."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from stream.maps_file import MapsDiffer, MapsFileError, read_maps, write_maps

PLANES = {
    "s": np.array([[1.0, np.nan], [0.0, 0.95]], dtype="f4"),
    "status": np.array([[0, 3], [1, 0]], dtype="u1"),
    "centre_mhz": np.arange(8, dtype="f8").reshape(2, 2, 2),
}
UNITS = {"s": "", "status": "", "centre_mhz": "MHz"}
DESCRIPTIONS = {"s": "Field ratio.", "status": "Status code.", "centre_mhz": "Line centres."}
ATTRIBUTES = {"run_uid": "u", "sweep": 3, "status_names": {"0": "ok"}, "long": "x" * 100_000}


def write(path, planes=PLANES, attributes=ATTRIBUTES):
    write_maps(path, planes, UNITS, DESCRIPTIONS, attributes)


def test_round_trip_and_documentation(tmp_path):
    write(tmp_path / "new" / "m.h5")
    planes, attributes = read_maps(tmp_path / "new" / "m.h5")
    assert {name: (a.dtype, a.tobytes()) for name, a in planes.items()} == {
        name: (a.dtype, a.tobytes()) for name, a in PLANES.items()
    }
    assert attributes == ATTRIBUTES
    with h5py.File(tmp_path / "new" / "m.h5") as file:
        assert file["/centre_mhz"].attrs["unit"] == "MHz"
        assert file["/centre_mhz"].attrs["dimensions"] == "line, y, x"
        assert file["/s"].attrs["dimensions"] == "y, x"
        assert file["/s"].attrs["description"] == "Field ratio."
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["m.h5"]


def test_equal_maps_make_equal_files(tmp_path):
    write(tmp_path / "a.h5")
    write(tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_existing_file_is_compared_not_changed(tmp_path):
    path = tmp_path / "m.h5"
    write(path)
    before = path.stat()
    write(path, attributes={"other": "host"})
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    other = {**PLANES, "s": PLANES["s"].copy()}
    other["s"][0, 0] = np.nextafter(np.float32(1), np.float32(2))
    with pytest.raises(MapsDiffer, match=r"first differing map is s$") as caught:
        write(path, other)
    assert caught.value.name == "s"
    with pytest.raises(MapsDiffer, match="centre_mhz"):
        write(path, {name: a for name, a in PLANES.items() if name != "centre_mhz"})
    with pytest.raises(MapsDiffer, match="status"):
        write(path, {**PLANES, "status": PLANES["status"].astype("u2")})
    assert read_maps(path)[1] == ATTRIBUTES


def test_sign_of_zero_is_a_bit(tmp_path):
    write(tmp_path / "m.h5")
    with pytest.raises(MapsDiffer, match=r"s$"):
        write(tmp_path / "m.h5", {**PLANES, "s": -PLANES["s"] * -1 - 0.0 + np.array([[0, 0], [-0.0, 0]], "f4") * -1})


def test_nothing_half_written(tmp_path):
    with pytest.raises((TypeError, ValueError)):
        write(tmp_path / "m.h5", {**PLANES, "s": np.array([object()])})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="without unit"):
        write(tmp_path / "m.h5", {"unknown": PLANES["s"]})
    with pytest.raises(ValueError, match="JSON"):
        write(tmp_path / "m.h5", attributes={"x": float("nan")})
    (tmp_path / "file").write_text("")
    with pytest.raises(MapsFileError, match="cannot write"):
        write(tmp_path / "file" / "m.h5")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_unreadable_files(tmp_path):
    with pytest.raises(MapsFileError, match="cannot read"):
        read_maps(tmp_path / "absent.h5")
    with h5py.File(tmp_path / "other.h5", "w"):
        pass
    with pytest.raises(MapsFileError, match="not a maps file"):
        read_maps(tmp_path / "other.h5")
