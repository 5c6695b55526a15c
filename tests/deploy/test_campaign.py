"""`nvdac campaign` and `nvdac report` on a data folder, from outside."""

from __future__ import annotations

import csv
import json
import re
import shutil
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest

from deploy.campaign import CampaignRequest, find_runs
from deploy.errors import DeployError
from deploy.register import register_chemistry
from deploy.stored import find_frames
from deploy.version_diff import diff_versions
from stream.maps_file import part_names, read_maps
from tests.analyzers.campaign.stored_campaign import write_load, write_remnant, write_transport
from tests.analyzers.campaign.twin_loads import load_of, twin
from tests.deploy.command import User

LOADS_GPA = (18.0, 21.0, 25.0)
MEASURED_FULLY_GPA = 21.0
"""Load with a remnant map and R(T)."""


@pytest.fixture(scope="module")
def nvdac(tmp_path_factory):
    user = User(tmp_path_factory.mktemp("runtime"), tmp_path_factory.mktemp("home"))
    return partial(user.run, timeout_s=240.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    settings = twin("S1", 1, 40)
    for index, gpa in enumerate(LOADS_GPA):
        load = load_of(settings, gpa, index)
        write_load(folder, load, gpa)
        if gpa == MEASURED_FULLY_GPA:
            write_remnant(folder, load, gpa)
            write_transport(folder, load, gpa)
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
    assert set(facts["numbers"]["tau_critical_gpa"]["run_uids"]) >= {f"S1-1-{n}" for n in range(len(LOADS_GPA))}
    assert facts["shear_tests"][0]["suppresses"]


def test_resistance_and_trapped_flux_of_the_load_that_has_them(made):
    out, _ = made
    facts = json.loads((out / "campaign.json").read_text())
    (transport,) = facts["transport"]
    assert (transport["sample"], transport["load_index"]) == ("S1", 1)
    assert 70.0 < transport["onset_k"] < 80.0
    assert transport["zero_k"] is None  # the drop is partial
    (trapped,) = facts["trapped"]
    assert trapped["run_uids"] == ["S1-1-1", "S1-1-1-remnant"]
    assert trapped["zero_field_same_state"]
    assert trapped["resolved_pixels"] + trapped["limited_pixels"] == facts["loads"][1]["pixels"]
    assert min(trapped["resolved_pixels"], trapped["limited_pixels"]) > 0
    assert 4.0 < trapped["median_gauss"] < 12.0
    names = part_names(out / "campaign.h5")
    (bins,) = (name for name in names if name.startswith("trapped_flux_of_suppression_"))
    planes, about = read_maps(out / "campaign.h5", bins)
    assert planes["count"].sum() + planes["limited"].sum() > 100
    assert about["run_uids"] == trapped["run_uids"]


def test_a_remnant_without_a_zero_field_map_gives_no_flux_and_a_note(nvdac, data, tmp_path):
    other = tmp_path / "data"
    for run in ("S1-1-0", "S1-1-1"):
        shutil.copytree(data / "processed" / run, other / "processed" / run)
    load = load_of(twin("S1", 1, 40), MEASURED_FULLY_GPA, 1)
    write_remnant(other, load, MEASURED_FULLY_GPA, zero_field=False)
    out = tmp_path / "c"
    done = nvdac("campaign", "--data", str(other), "--out", str(out), "--draws", "20")
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "campaign.json").read_text())["trapped"] == []
    assert "S1-1-1-remnant" in done.stderr
    assert "no zero-field map" in done.stderr


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
    assert "first drop" in page
    assert "same state" in page
    assert "barson2017" in page
    assert "0123456789ab" in page  # version of the maps
    assert page.count("<svg") >= 4


@pytest.fixture(scope="module")
def exported(nvdac, made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    done = nvdac(
        "report", str(made[0]), "--out", str(folder), "--formats", "png", "--export", "csv,nexus", "--json", "-"
    )
    assert done.returncode == 0, done.stderr
    assert all(Path(path).exists() for path in json.loads(done.stdout)["exports"])
    return folder


def _csv(path):
    lines = path.read_text().splitlines()
    comments = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# "))
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    return comments, {name: np.array([row[name] for row in rows], float) for name in rows[0]}


def test_csv_has_every_number_with_unit_runs_and_constants(made, exported):
    out, _ = made
    planes, _ = read_maps(out / "campaign.h5", "s_of_temperature_and_sigma_zz")
    about, columns = _csv(exported / "csv" / "s_of_temperature_and_sigma_zz.csv")
    assert np.array_equal(columns["mean (1)"], planes["mean"].ravel(), equal_nan=True)
    assert np.array_equal(columns["count (1)"], planes["count"].ravel())
    assert set(columns["temperature_k low (K)"]) == set(planes["temperature_k_edges"][:-1])
    assert set(columns["sigma_zz_gpa high (GPa)"]) == set(planes["sigma_zz_gpa_edges"][1:])
    assert "S1-1-0" in about["run_uids"]
    assert "barson2017" in about["constants"]
    assert about["key"] == json.loads((out / "campaign.json").read_text())["key"]
    (transport,) = (exported / "csv").glob("resistance_*.transport.csv")
    _, columns = _csv(transport)
    assert columns["resistance_ohm (Ohm)"].size == 120
    (trapped,) = (exported / "csv").glob("trapped_flux_0*.csv")
    _, columns = _csv(trapped)
    assert columns["trapped_limit_gauss (G)"].size == columns["x (px)"].size == 40 * 40
    with (exported / "csv" / "numbers.csv").open() as file:
        rows = {row["quantity"]: row for row in csv.DictReader(line for line in file if not line.startswith("#"))}
    critical = rows["tau_critical_gpa"]
    numbers = json.loads((out / "campaign.json").read_text())["numbers"]
    assert float(critical["value"]) == numbers["tau_critical_gpa"]["value"]
    assert critical["unit"] == "GPa"
    assert critical["run_uids"].split() == numbers["tau_critical_gpa"]["run_uids"]


def test_nexus_can_be_read_by_its_rules(made, exported):
    out, _ = made
    with h5py.File(exported / "campaign.nxs") as file:
        entry = file[file.attrs["default"]]
        assert entry.attrs["NX_class"] == "NXentry"
        data = entry["s_of_temperature_and_sigma_zz"]
        assert data.attrs["NX_class"] == "NXdata"
        signal = data[data.attrs["signal"]]
        planes, _ = read_maps(out / "campaign.h5", "s_of_temperature_and_sigma_zz")
        assert np.array_equal(signal[...], planes["mean"], equal_nan=True)
        for place, name in enumerate(data.attrs["axes"]):
            assert data[name].attrs["units"] in {"K", "GPa"}
            assert data[name].shape == (signal.shape[place] + 1,)  # edges of bins
        assert np.array_equal(data["mean_errors"][...], planes["error"], equal_nan=True)
        assert "S1-1-0" in data.attrs["run_uids"]
        assert "barson2017" in entry["process/constants"].asstr()[()]
        assert entry["process/version"].asstr()[()]
        tau = entry["numbers/tau_critical_gpa"]
        assert tau["value"].attrs["units"] == "GPa"
        assert (
            tau["value"][()] == json.loads((out / "campaign.json").read_text())["numbers"]["tau_critical_gpa"]["value"]
        )
        (name,) = (name for name in entry if name.startswith("resistance_") and name.endswith("transport"))
        assert entry[name].attrs["signal"] == "resistance_ohm"
        assert list(entry[name].attrs["axes"]) == ["temperature_k"]
        assert entry[name]["resistance_ohm"].attrs["units"] == "ohm"


def test_an_unknown_export_is_refused(nvdac, made, tmp_path):
    done = nvdac("report", str(made[0]), "--out", str(tmp_path / "r"), "--export", "xls")
    assert done.returncode == 1
    assert "csv, nexus" in done.stderr
    assert not (tmp_path / "r").exists()


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
    assert "Errno" not in nowhere.stderr


def test_a_refusal_names_the_data_folders_that_are_here(tmp_path, monkeypatch):
    (tmp_path / "data" / "demo-20260101-000000-7" / "frames").mkdir(parents=True)
    (tmp_path / "data" / "notes").mkdir()
    monkeypatch.chdir(tmp_path)
    here = r"data folders here: data/demo-20260101-000000-7 \(choose with --data\)"
    points = Path("points.csv")
    for data in (Path("data"), Path("data/nvdac")):
        with pytest.raises(DeployError, match=here):
            find_runs(CampaignRequest(data_dir=data, out=Path("campaign")))
        with pytest.raises(DeployError, match=here):
            diff_versions(data, "3f2a", "1c9e", "77ab")
        with pytest.raises(DeployError, match=here):
            register_chemistry([points], "ratio", points, "3f2a", data, Path("out.h5"), "S1")
        with pytest.raises(DeployError, match=here):
            find_frames("3f2a", data, None)


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


def test_a_campaign_of_one_load_says_in_words_what_it_cannot_tell(nvdac, data, tmp_path):
    other, out = tmp_path / "data", tmp_path / "c"
    shutil.copytree(data / "processed" / "S1-1-1", other / "processed" / "S1-1-1")
    done = nvdac("campaign", "--data", str(other), "--out", str(out), "--draws", "20")
    assert done.returncode == 0, done.stderr
    assert "1 load of 1 run;" in done.stdout
    assert nvdac("report", str(out), "--formats", "png").returncode == 0
    page = (out / "report.html").read_text()
    assert "not known to not known" not in page
    assert "not known GPa" not in page
    facts = json.loads((out / "campaign.json").read_text())
    unknown = [name for name, one in facts["numbers"].items() if one["value"] is None]
    assert unknown
    assert len(re.findall("<td>not known: [^<]{20,}; (?:there is )?1 load", page)) == len(unknown)
    drawn = np.isfinite(read_maps(out / "campaign.h5", "boundary")[0]["tc_k"]).any()
    assert ('id="boundary"' in page) == drawn
    assert ("is not drawn:" in page) != drawn
    assert "0 draws" not in page
    assert re.search(r">\d+ um<", page)  # the scale bar of the Tc map
