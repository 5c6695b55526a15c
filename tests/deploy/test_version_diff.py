"""What a new version of a run's maps changed."""

from __future__ import annotations

import numpy as np
import pytest

from deploy.errors import DeployError
from deploy.version_diff import diff_lines, diff_versions
from stream.maps_file import write_maps
from stream.paths import maps_path


def _write(data, version, plane, constants, name="sweep_0000"):
    facts = {"analysis": {"shape": "lorentzian"}, "constants": {"stress_constants": constants}}
    write_maps(maps_path(data, "run-1", version, name), {"sigma": plane}, {"sigma": "GPa"}, {"sigma": "stress"}, facts)


@pytest.fixture
def data(tmp_path):
    old = np.zeros((6, 8), np.float32)
    new = old.copy()
    new[2:4, 5] = 0.5
    new[0, 0] = np.nan
    _write(tmp_path, "aaaa", old, "barson2017")
    _write(tmp_path, "bbbb", new, "hsieh2019")
    _write(tmp_path, "bbbb", new, "hsieh2019", "sweep_0001")
    return tmp_path


def test_says_what_changed_by_how_much_and_where(data):
    found = diff_versions(data, "run", "aa", "bb")
    assert found["settings"] == {"constants.stress_constants": ["barson2017", "hsieh2019"]}
    change = found["maps"]["sweep_0000.h5"]["sigma"]
    assert (change["values"], change["of"]) == (3, 48)
    assert change["largest_change"] == 0.5
    assert change["resolved_only_in_old"] == 1
    assert change["where"] == {"rows": [0, 4], "columns": [0, 6]}
    assert found["maps"]["sweep_0001.h5"] == {"missing_in": "aaaa"}
    assert any("3 of 48 differ" in line for line in diff_lines(found))


def test_equal_versions_differ_nowhere(data):
    assert "no map differs" in diff_lines(diff_versions(data, "run-1", "aaaa", "aaaa"))[-1]


def test_unknown_versions_are_named_with_those_there_are(data):
    with pytest.raises(DeployError, match="there are aaaa, bbbb"):
        diff_versions(data, "run-1", "cccc", "aaaa")
    with pytest.raises(DeployError, match="none begins"):
        diff_versions(data, "other", "aaaa", "bbbb")
