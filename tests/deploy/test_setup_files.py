"""Cell, Sample, Load and Optics files: what comes along is valid, a start names them, and is refused without them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bluesky import plan_stubs as bps

from deploy.doctor import examine
from deploy.engine import FOR_PEOPLE, SessionEngine
from deploy.errors import DeployError
from deploy.rig_file import RIGS, SetupSection, load_rig
from deploy.setup_files import KINDS, SHIPPED, load_setup, naming
from devices.settings import TwinSettings
from devices.twin.layout import RUBY_UM
from devices.twin.optics import NOMINAL_LASER_MW
from devices.twin.samples import KINDS as CRYSTALS
from plans.settings import PreconditionError
from tests.deploy.command import User, one_line

TWIN = RIGS / "twin-s1.toml"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A rig of somebody's own: the twin's, with copies of its files beside it."""
    text = TWIN.read_text()
    for key, name in vars(load_rig(TWIN).setup).items():
        (tmp_path / f"{key}.toml").write_text((SHIPPED / f"{name}.toml").read_text())
        text = text.replace(f'{key} = "{name}"', f'{key} = "{key}.toml"')
    path = tmp_path / "rig.toml"
    path.write_text(text)
    return path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("path", sorted(RIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_files_of_every_rig_that_comes_along_are_valid(path: Path) -> None:
    assert list(load_setup(path, load_rig(path))) == list(KINDS)


def test_the_files_of_the_twin_say_what_the_twin_is() -> None:
    rig, twin = load_rig(TWIN), TwinSettings()
    for name, crystal in CRYSTALS.items():
        sample = replace(rig.sample, name=name)
        named = replace(rig, sample=sample, setup=replace(rig.setup, sample=f"twin-sample-{name.lower()}"))
        files = load_setup(TWIN, named)
        assert files["sample"].values.thickness_um == crystal.thickness_um
    cell, optics = files["cell"].values, files["optics"].values
    assert (cell.miscut_deg, cell.miscut_azimuth_deg, cell.ruby_um) == (
        twin.miscut_deg,
        twin.miscut_azimuth_deg,
        RUBY_UM[:2],
    )
    assert (optics.pixel_size_um, optics.laser_power_mw) == (twin.pixel_size_um, NOMINAL_LASER_MW)


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        (
            "rig",
            'cell = "cell.toml"',
            "",
            "[setup] names no cell file, which every run must name; copy example-cell.toml",
        ),
        ("rig", "cell.toml", "cel.toml", "[setup] cell = 'cel.toml': there is no such file beside the rig file"),
        ("cell", "version = 1", "version = 0", "count from 1, and raise it with each change"),
        ("cell", "culet_um = 300.0", "culet = 300.0", "unknown key 'culet'; did you mean 'culet_um'?"),
        ("cell", 'medium = "NaCl"', 'medium = ""', "medium is empty: say what it is"),
        (
            "cell",
            "miscut_deg = 3.0",
            "miscut_deg = 2.0",
            "the cell file's miscut_deg is 2.0 and [analysis] miscut_deg 3.0",
        ),
        ("sample", 'name = "S1"', 'name = "S7"', "the sample file's name is 'S7' and [sample] name 'S1'"),
        ("load", "index = 0", "index = 4", "the load file's index is 4 and [sample] load_index 0"),
        ("load", "ruby_before_gpa = 21.25", "", "'ruby_before_gpa' is missing; add it (see setup/example-load.toml"),
        ("load", "version = 1", "version = 1\n[", "not readable as TOML"),
        ("optics", "pixel_size_um = 1.0", "pixel_size_um = -1.0", "pixel_size_um = -1: must be above 0"),
        ("optics", "flip_x = false", 'flip_x = "left"', "'flip_x'"),
    ],
)
def test_a_mistake_is_named_with_what_to_do(own: Path, file: str, old: str, new: str, says: str) -> None:
    change(own.with_name(f"{file}.toml"), old, new)
    with pytest.raises(DeployError) as caught:
        load_setup(own, load_rig(own))
    assert says in str(caught.value)
    assert str(own.with_name(f"{file}.toml")) in str(caught.value) or str(own) in str(caught.value)


def started(rig: Path) -> dict[str, Any]:
    """Run a plan of the person's own in the engine of a session and return its start document."""
    engine, starts = SessionEngine(), []
    engine.md_normalizer = naming(rig, load_rig(rig), PreconditionError)
    engine.subscribe(lambda name, document: starts.append(document) if name == "start" else None)

    def plan() -> Any:
        yield from bps.open_run({"purpose": "anything"})
        yield from bps.close_run()

    engine(plan())
    (start,) = starts
    return start


def test_every_start_document_names_the_files_as_they_are_now(own: Path) -> None:
    start = started(own)
    assert start["purpose"] == "anything"
    assert start["setup"]["cell"]["values"]["anvil_id"] == "twin"
    assert start["setup"]["load"]["values"]["time"] == "2026-11-28T09:00:00"
    load = own.with_name("load.toml")
    change(load, "version = 1", "version = 2\nruby_after_gpa = 20.5")
    named = started(own)["setup"]["load"]
    assert (named["file"], named["version"], named["values"]["ruby_after_gpa"]) == ("load.toml", 2, 20.5)
    assert named["sha256"] == hashlib.sha256(load.read_bytes()).hexdigest()


def test_a_start_is_refused_without_them(own: Path) -> None:
    own.with_name("optics.toml").unlink()
    with pytest.raises(FOR_PEOPLE, match="there is no such file beside the rig file"):
        started(own)


def test_a_site_does_not_start_without_them_and_the_doctor_says_so(user: User, own: Path) -> None:
    change(own, 'sample = "sample.toml"\n', "")
    for command in ("up", "demo"):
        one_line(user.run(command, "--rig", own), "[setup] names no sample file", "copy example-sample.toml")
    user.assert_nothing_left()
    with user.here():
        rows = {row.topic: row for row in examine(str(own), None, warm=False)}
    assert not rows["setup files"].ok
    assert os.fspath(own) in rows["setup files"].detail
    assert load_rig(own).setup == SetupSection("cell.toml", "", "load.toml", "optics.toml")
