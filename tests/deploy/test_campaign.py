"""`nvdac campaign` and `nvdac report` on a data folder, from outside."""

from __future__ import annotations

import json
import re
import shutil
from functools import partial

import numpy as np
import pytest

from stream.maps_file import part_names, read_maps
from tests.analyzers.campaign.stored_campaign import write_load
from tests.analyzers.campaign.twin_loads import load_of, twin
from tests.deploy.command import User

LOADS_GPA = (18.0, 21.0, 25.0)


@pytest.fixture(scope="module")
def nvdac(tmp_path_factory):
    user = User(tmp_path_factory.mktemp("runtime"), tmp_path_factory.mktemp("home"))
    return partial(user.run, timeout_s=240.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    settings = twin("S1", 1, 40)
    for index, gpa in enumerate(LOADS_GPA):
        write_load(folder, load_of(settings, gpa, index), gpa)
    return folder


@pytest.fixture(scope="module")
def made(nvdac, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "campaign"
    result = nvdac("campaign", "--data", str(data), "--out", str(out), "--draws", "20", "--json", "-")
    assert result.returncode == 0, result.stderr
    return out, json.loads(result.stdout)


def test_one_command_gives_diagrams_and_numbers_with_their_runs(made):
    out, result = made
    assert result["loads"] == len(LOADS_GPA)
    assert result["failed"] == {}
    names = part_names(out / "campaign.h5")
    assert {"s_of_temperature_and_sigma_zz", "s_of_sigma_zz_and_tau", "boundary"} <= set(names)
    planes, _ = read_maps(out / "campaign.h5", "s_of_temperature_and_sigma_zz")
    assert np.isnan(planes["mean"][planes["count"] == 0]).all()
    facts = json.loads((out / "campaign.json").read_text())
    assert facts["numbers"]["tau_critical_gpa"]["value"] == pytest.approx(2.0, abs=0.15)
    assert len(facts["numbers"]["tau_critical_gpa"]["run_uids"]) == len(LOADS_GPA)
    assert facts["shear_tests"][0]["suppresses"]


def test_again_there_is_nothing_left_to_do(nvdac, made, data):
    out, _ = made
    before = (out / "campaign.h5").read_bytes()
    result = nvdac("campaign", "--data", str(data), "--out", str(out), "--draws", "20", "--json", "-")
    assert json.loads(result.stdout)["steps_done"] == 0
    assert (out / "campaign.h5").read_bytes() == before


def test_a_campaign_that_lost_a_step_does_that_one_and_gives_the_same_bits(nvdac, made, data, tmp_path):
    out, _ = made
    lost = sorted((data / "campaigns" / "loads").glob("*.h5"))[0]
    lost.unlink()
    result = nvdac("campaign", "--data", str(data), "--out", str(tmp_path / "c"), "--draws", "20", "--json", "-")
    assert json.loads(result.stdout)["steps_done"] == 2  # the load, and the products in their new place
    for name in part_names(out / "campaign.h5"):
        first, second = (read_maps(folder / "campaign.h5", name)[0] for folder in (out, tmp_path / "c"))
        assert all(first[plane].tobytes() == second[plane].tobytes() for plane in first)


def test_the_report_is_one_page_whose_numbers_lead_to_their_runs(nvdac, made, tmp_path):
    out, _ = made
    result = nvdac("report", str(out), "--out", str(tmp_path / "r"), "--formats", "pdf,png", "--json", "-")
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "r" / "report.html").read_text()
    assert {path.suffix for path in (tmp_path / "r" / "figures").iterdir()} == {".pdf", ".png"}
    assert not re.search(r'(?:src|href)="(?!#|data:)', page)  # nothing beside it is needed
    targets = set(re.findall(r'id="(run-[^"]+)"', page))
    links = set(re.findall(r'href="#(run-[^"]+)"', page))
    assert links
    assert links <= targets
    assert "critical shear" in page
    assert page.count("<svg") >= 4


def test_runs_can_be_chosen_and_none_is_one_line(nvdac, data, tmp_path):
    out = str(tmp_path / "c")
    one = nvdac("campaign", "S1-1-1", "--data", str(data), "--out", out, "--draws", "20", "--json", "-")
    assert json.loads(one.stdout)["loads"] == 1
    none = nvdac("campaign", "--sample", "S9", "--data", str(data), "--out", out)
    assert none.returncode == 1
    assert "no run in" in none.stderr
    assert len(none.stderr.strip().splitlines()) == 1
    nowhere = nvdac("report", str(tmp_path / "nothing"))
    assert nowhere.returncode == 1
    assert "nvdac campaign" in nowhere.stderr


def test_a_stress_map_of_another_sample_is_refused(nvdac, data, tmp_path):
    other = tmp_path / "data"
    shutil.copytree(data / "processed", other / "processed")
    (joint,) = (other / "processed" / "S1-1-1").glob("*/joint.h5")
    planes, facts = read_maps(joint)
    joint.unlink()
    from analyzers.joint_map import DESCRIPTIONS, UNITS
    from stream.maps_file import write_maps

    write_maps(joint, planes, UNITS, DESCRIPTIONS, {**facts, "sample": "S2"})
    result = nvdac("campaign", "S1-1-1", "--data", str(other), "--out", str(tmp_path / "c"))
    assert result.returncode == 1
    assert "is of sample 'S2'" in result.stderr
