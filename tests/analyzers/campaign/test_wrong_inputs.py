"""Inputs that do not belong together are refused, and the message says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from analyzers.campaign.collect import LoadFiles, collect_load
from analyzers.campaign.load_maps import DESCRIPTIONS, UNITS, CampaignError
from analyzers.fitmap import DESCRIPTIONS as FIT_DESCRIPTIONS
from analyzers.fitmap import UNITS as FIT_UNITS
from stream.maps_file import write_maps
from tests.analyzers.campaign.stored_campaign import write_load
from tests.analyzers.campaign.test_views import EDGE, turned, views
from tests.analyzers.campaign.twin_loads import load_of, twin


@pytest.fixture
def folder(tmp_path):
    """The maps of a load, on few pixels."""
    load = load_of(twin("S1", 1, 20), 21.0, 0, (9.0, 60.0), tc=False)
    uid = write_load(tmp_path, load, 21.0)
    return next((tmp_path / "processed" / uid).iterdir())


def collected(folder: Path, **files: str):
    return collect_load(LoadFiles(str(folder), str(folder / "joint.h5"), **files))


def change(path: Path, edit) -> None:
    """Change the facts of a maps file."""
    with h5py.File(path, "r+") as file:
        facts = json.loads(file.attrs["attributes"])
        edit(facts)
        file.attrs.modify("attributes", json.dumps(facts))


def write_edx(path: Path, shape, sample: str, light=None) -> str:
    planes = {"la_ni": np.full(shape, 1.5), "la_ni_sigma": np.full(shape, 0.01)}
    units, sentences = {**UNITS, **FIT_UNITS}, {**DESCRIPTIONS, **FIT_DESCRIPTIONS}
    write_maps(path, planes if light is None else {**planes, "baseline": light}, units, sentences, {"sample": sample})
    return str(path)


def test_all_that_belongs_together_is_taken(folder):
    assert collected(folder, chemistry=write_edx(folder / "edx.h5", (20, 20), "S1")).judged.any()


def test_chemistry_of_another_sample(folder):
    with pytest.raises(CampaignError, match="of sample 'S3', the warming of 'S1'; give the one of 'S1'"):
        collected(folder, chemistry=write_edx(folder / "edx.h5", (20, 20), "S3"))


def test_chemistry_of_another_grid(folder):
    with pytest.raises(CampaignError, match="register it onto that grid first"):
        collected(folder, chemistry=write_edx(folder / "edx.h5", (24, 20), "S1"))


def test_a_stress_map_of_another_grid_or_load(folder):
    with h5py.File(folder / "joint.h5", "r+") as file:
        for name in ("joint_tau_gpa", "joint_tau_sigma_gpa"):
            attributes = dict(file[name].attrs)
            del file[name]
            file.create_dataset(name, data=np.ones((10, 10), np.float32)).attrs.update(attributes)
    with pytest.raises(CampaignError, match=r"\(10, 10\) pixels, the warming \(20, 20\); register it"):
        collected(folder)
    change(folder / "joint.h5", lambda facts: facts.update(load_index=3))
    with pytest.raises(CampaignError, match="is of load 3, the warming of load 0"):
        collected(folder)


@pytest.mark.parametrize("temperature_k", [None, 0.0])
def test_a_sweep_without_temperature(folder, temperature_k):
    def forget(facts):
        state = facts["sweep_start"]["state"]
        state.pop("temperature_k")
        if temperature_k is not None:
            state["temperature_k"] = temperature_k

    change(folder / "sweep_0001.h5", forget)
    with pytest.raises(CampaignError, match="has no temperature; leave the run out or mend its state point"):
        collected(folder)


def test_a_sample_without_outline(folder):
    change(folder / "products.h5", lambda facts: facts["regions"].pop("sample"))
    with pytest.raises(CampaignError, match="names no outline of its sample; add the polygon"):
        collected(folder)


@pytest.mark.parametrize("flip", [np.s_[:, ::-1], np.s_[::-1]])
def test_a_map_whose_run_was_seen_mirrored(tmp_path, flip):
    from analyzers.campaign.collect_remnant import onto

    reference, other, moving = views(turned(0.2, (1.0, 0.5)))
    planes = np.ones((EDGE, EDGE)), np.full((EDGE, EDGE), 0.01)
    right = write_edx(tmp_path / "right.h5", (EDGE, EDGE), "S1", other)
    assert onto(planes, reference, Path(right), moving)[1]["view"]["undone"]
    wrong = write_edx(tmp_path / "wrong.h5", (EDGE, EDGE), "S1", other[flip])
    with pytest.raises(CampaignError, match="shows the sample mirrored; mend the flips"):
        onto(planes, reference, Path(wrong), moving)
