"""Rig files: what comes with nvdac is valid, and what is wrong is named with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.errors import DeployError
from deploy.plan_arguments import history_settings, regions, run_info
from deploy.rig_file import RIGS, find_rig, load_rig

TWIN = RIGS / "twin-s1.toml"


def changed(tmp_path: Path, old: str, new: str) -> Path:
    text = TWIN.read_text()
    assert old in text
    path = tmp_path / "rig.toml"
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.parametrize("path", sorted(RIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_rig_that_comes_along_is_valid(path: Path) -> None:
    assert load_rig(path).rig.name == path.stem


def test_the_twin_rig_describes_the_demo() -> None:
    rig = load_rig(find_rig("twin-s1"))
    history = history_settings(rig)
    assert len(history.sweep.frequency_mhz) >= 120
    assert rig.twin is not None
    assert rig.twin.height >= 96
    assert (history.base_temperature_k, history.limits.top_k, history.field_gauss) == (20.0, 150.0, 97.0)
    assert run_info(rig).analysis["lines"] == 4
    assert {"sample", "ruby", "points"} <= set(regions(rig))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("workers = 2", "worker = 2", "did you mean 'workers'?"),
        ("ring_mib = 128", "ring_mb = 128", "did you mean 'ring_mib'?"),
        ("[devices.magnet]", "[devices.magnett]", "did you mean 'magnet'?"),
        ("[devices.magnet]", '[devices.magnet]\nfield_z_gaus = "X"', "did you mean 'field_z_gauss'?"),
        ('name = "twin-s1"', "", "'rig.name' is missing"),
        ("workers = 2", 'workers = "two"', "'rig.workers'"),
        ("lines = 4", "lines = 12", "allowed are 1 to 8"),
        ("[rig]", "[rig", "not readable as TOML"),
        ("[rig]", '[bridge.magnet]\naddress = "GPIB0::6::INSTR"\n[rig]', "[twin] and [bridge.*] serve the same PVs"),
        ("[rig]", '[bridge.magnet]\nadres = "GPIB0::6::INSTR"\n[rig]', "did you mean 'address'?"),
        ("[rig]", '[bridge.magnet]\naddress = ""\n[rig]', "[bridge.magnet] address is empty"),
    ],
)
def test_a_mistake_is_named_with_what_to_do(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = changed(tmp_path, old, new)
    with pytest.raises(DeployError) as caught:
        load_rig(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_unknown_rig_names_those_there_are() -> None:
    with pytest.raises(DeployError, match="twin-s1"):
        find_rig("no-such-rig")


def test_an_override_replaces_a_key() -> None:
    rig = load_rig(TWIN, {"twin": {"seed": 7}})
    assert rig.twin is not None
    assert rig.twin.seed == 7
