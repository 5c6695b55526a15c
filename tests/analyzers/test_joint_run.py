"""The joint fit of a stored run: which sweeps belong together, the same bits however it is made, the file."""

import dataclasses

import numpy as np
import pytest

from analyzers.joint_map import DESCRIPTIONS, UNITS
from analyzers.joint_run import applied_field, joint_of_run, joint_set, joint_settings, joint_version
from analyzers.offline import fit_run
from analyzers.settings import AnalysisSettings
from benchmarks.joint_scene import ALONG, LISTS, NOISE, NONE, frames_of, state, twin_of
from deploy.errors import DeployError
from deploy.files import fit_to_file, read_options
from devices.twin.truth import truth_of
from stream.archive_hdf5 import FrameFile, FrameWriter, crc32c
from stream.maps_file import compare_planes, read_maps
from stream.messages import RunMode, RunStart, SweepRole, SweepStart

TWIN = twin_of(14)
SETTINGS = AnalysisSettings(miscut_azimuth_deg=20.0)
NO_OPTIONS = read_options("", "", "", "", "", 0.0, 0.0, 0.0, 0)


def opening(number, field, temperature_k=150.0, role=SweepRole.SINGLE, load=0):
    here = state(field, temperature_k)
    point = dataclasses.replace(here.point(), load_index=load)
    return SweepStart("joint", number, role, point, LISTS[field], 2, here.to_json())


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("joint") / "joint.h5"
    truth = truth_of(TWIN)
    regions = truth.regions()
    start = RunStart("joint", RunMode.SIMULATED, 14, 14, "<u2", NOISE, SETTINGS.to_json(), regions, 1.5)
    sweeps = [opening(0, ALONG, role=SweepRole.OPENING_REFERENCE), opening(1, NONE), opening(2, ALONG, 20.0)]
    with FrameWriter(path, start) as writer:
        for sweep in sweeps:
            writer.add_sweep(sweep)
            for pass_index, index, frame in frames_of(TWIN, applied_field(sweep), 2, sweep.state.temperature_k):
                frequency = float(sweep.frequency_mhz[index])
                writer.append(sweep.sweep, pass_index, index, frequency, frame, crc32c(frame), 0.0)
    return path


def made(path, threads):
    with FrameFile(path) as file:
        return joint_of_run(file, fit_run(file, threads=1).maps, threads)


def test_sweeps_of_one_load_and_temperature_belong_together():
    chosen = joint_set(
        [
            opening(0, NONE, 20.0),
            opening(1, ALONG, role=SweepRole.OPENING_REFERENCE),
            opening(2, NONE, 152.0),
            opening(3, ALONG, 151.0, SweepRole.CLOSING_REFERENCE),
            opening(4, NONE, load=1),
        ]
    )
    assert [sweep.sweep for sweep in chosen] == [1, 2]
    assert joint_set([]) == []
    assert [sweep.sweep for sweep in joint_set([opening(5, ALONG, 60.0)])] == [5]


def test_a_camera_that_says_nothing_of_a_transverse_field_has_none():
    plain = dataclasses.replace(opening(0, ALONG), source_state={})
    assert applied_field(plain) == (0.0, 0.0, 97.0)
    tilted = dataclasses.replace(plain, source_state={"field_xyz_gauss": [40.0, 0.0, 97.0]})
    assert applied_field(tilted) == (40.0, 0.0, 97.0)


def test_stress_of_a_stored_run_in_any_number_of_threads(stored):
    one, two = made(stored, 1), made(stored, 2)
    assert compare_planes(one.planes, two.planes) == ""
    assert one.attributes == two.attributes
    assert one.attributes["joint_sweeps"] == [0, 1]
    assert one.attributes["joint_constants"] == "barson2017/1"
    truth = truth_of(TWIN)
    error = one.planes["joint_sigma_zz_gpa"] - truth.sigma_zz_gpa
    sigma = one.planes["joint_sigma_zz_sigma_gpa"]
    assert np.isfinite(error).mean() > 0.8
    assert np.nanmean(np.abs(error) > 4.0 * sigma) < 0.03


def test_the_maps_file_holds_the_joint_map_beside_the_sum_rule(stored, tmp_path):
    out = tmp_path / "maps.h5"
    fit_to_file(str(stored), NO_OPTIONS, None, out, None, None, joint=True)
    planes, attributes = read_maps(out, "joint")
    assert compare_planes(planes, made(stored, 1).planes) == ""
    assert set(planes) == set(UNITS) == set(DESCRIPTIONS)
    assert set(attributes["joint_systematics_gpa"]["sigma_zz"]) == {"a1", "a2", "b", "c", "d0"}
    assert "sigma_zz_gpa" in read_maps(out, "sweep_0000")[0]
    fit_to_file(str(stored), NO_OPTIONS, None, out, None, None)
    with pytest.raises(Exception, match="no part 'joint'"):
        read_maps(out, "joint")


def test_a_measured_file_is_refused_with_the_reason(tmp_path):
    path = tmp_path / "measured.npz"
    rng = np.random.default_rng(2)
    frequency = np.linspace(2800.0, 2940.0, 40)
    np.savez(path, signal=rng.poisson(50_000.0, (40, 6, 6)).astype("<u2"), frequency=frequency)
    options = read_options("signal", "frequency", "MHz", "fyx", "", 1.0, 0.0, 0.0, 1)
    with pytest.raises(DeployError, match="stored run"):
        fit_to_file(str(path), options, 2, tmp_path / "out.h5", None, None, joint=True)


def test_the_version_follows_the_settings():
    usual = joint_settings(SETTINGS)
    assert joint_version("a", usual) == joint_version("a", joint_settings(SETTINGS))
    assert joint_version("b", usual) != joint_version("a", usual)
    assert joint_version("a", dataclasses.replace(usual, shear_prior_gpa=1.0)) != joint_version("a", usual)
