"""Steps of a campaign on frames: keys from contents, and a new version beside the old one."""

from __future__ import annotations

import pytest

from analyzers.campaign.tasks import RunTask, analyse_run, run_key
from stream.maps_file import compare_planes, read_maps
from tests.analyzers.test_offline import write_frames


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    (folder / "frames").mkdir()
    write_frames(folder / "frames" / "run-1.h5")
    return folder


def test_new_constants_make_a_new_version_and_the_old_one_stays(data):
    frames = str(data / "frames" / "run-1.h5")
    first = analyse_run(RunTask(str(data), frames))
    before = {path.name: read_maps(path)[0] for path in (data / "processed").glob("*/*/*.h5")}
    other = RunTask(str(data), frames, (("stress_constants", "hsieh2019"),))
    second = analyse_run(other)
    assert first["version"] != second["version"]
    assert first["maps"] == second["maps"] > 1
    assert first["no_joint_because"] == "one field only"
    for name, planes in before.items():
        kept = read_maps(data / "processed" / "run-1" / str(first["version"]) / name)[0]
        assert compare_planes(planes, kept) == ""
    changed = read_maps(data / "processed" / "run-1" / str(second["version"]) / "sweep_0000.h5")
    assert "hsieh2019" in changed[1]["constants"]["stress_constants"]
    assert run_key(other) != run_key(RunTask(str(data), frames))


def test_a_key_is_that_of_the_contents(data, tmp_path):
    frames = data / "frames" / "run-1.h5"
    copy = tmp_path / "other-name.h5"
    copy.write_bytes(frames.read_bytes())
    assert run_key(RunTask(str(data), str(frames))) == run_key(RunTask(str(tmp_path), str(copy)))
    lacking = tmp_path / "lacking.h5"
    write_frames(lacking, drop=(1, 0, 3))
    assert run_key(RunTask(str(data), str(frames))) != run_key(RunTask(str(tmp_path), str(lacking)))


def test_an_unknown_setting_is_refused(data):
    task = RunTask(str(data), str(data / "frames" / "run-1.h5"), (("no_such", 1),))
    with pytest.raises(ValueError, match="no_such"):
        run_key(task)
