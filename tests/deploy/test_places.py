"""Where a command writes: what is refused before the work begins, and what no result may take the place of."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.deploy.command import User, one_line

NAMED = ("--signal", "M", "--frequency", "F")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good measurement, and the same counts as somebody else's HDF5 file."""
    folder = tmp_path_factory.mktemp("files")
    frequency_ghz = np.linspace(2.8, 2.95, 30)
    spectrum = 40_000 * (1 - 0.1 / (1 + ((frequency_ghz * 1e3 - 2870) / 4) ** 2))
    counts = np.random.default_rng(1).poisson(np.broadcast_to(spectrum, (3, 4, 30))).astype(float)
    np.savez(folder / "good.npz", M=counts, F=frequency_ghz)
    with h5py.File(folder / "whole.h5", "w") as file:
        file["M"] = counts
    return folder


def test_a_link_to_itself_is_refused_in_one_line(user: User) -> None:
    (user.folder / "loop.npz").symlink_to("loop.npz")
    for option in ("--out", "--json"):
        one_line(user.run("fit", "loop.npz", *NAMED, option, "x"), "loop.npz")
        result = user.run("fit", "absent.npz", *NAMED, option, "loop.npz")
        assert (result.returncode, len(result.stderr.splitlines())) == (1, 1), result.stderr


@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("no/such/folder/maps.h5", "there is no folder no/such/folder"),
        ("a-folder", "it is a folder"),
        ("/proc/maps.h5", "cannot write there"),
        ("a-file/maps.h5", "there is no folder a-file"),
    ],
)
@pytest.mark.parametrize("option", ["--out", "--json"])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    user: User, files: Path, option: str, out: str, says: str
) -> None:
    (user.folder / "a-folder").mkdir()
    (user.folder / "a-file").touch()
    one_line(user.run("fit", files / "good.npz", *NAMED, option, out), option, says)
    assert sorted(path.name for path in user.folder.iterdir()) == ["a-file", "a-folder"]


@pytest.mark.parametrize("option", ["--out", "--json"])
def test_what_is_no_ordinary_file_is_refused_and_stays(user: User, files: Path, option: str) -> None:
    pipe = user.folder / "a-pipe"
    os.mkfifo(pipe)
    one_line(user.run("fit", files / "good.npz", *NAMED, option, "a-pipe"), f"{option} a-pipe", "no ordinary file")
    assert pipe.is_fifo()
    assert list(user.folder.iterdir()) == [pipe]


@pytest.mark.parametrize("command", ["demo", "up", "status", "doctor", "ingest", "replay"])
def test_no_command_puts_json_in_the_place_of_a_pipe(user: User, files: Path, command: str) -> None:
    pipe = user.folder / "a-pipe"
    os.mkfifo(pipe)
    subject = {"ingest": (files / "good.npz", *NAMED), "replay": ("abcdef",)}.get(command, ())
    one_line(user.run(command, *subject, "--json", "a-pipe"), "--json a-pipe", "no ordinary file")
    assert pipe.is_fifo()
    assert list(user.folder.iterdir()) == [pipe]
    user.assert_nothing_left()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--out", "good.npz"), "--out good.npz: that is the file too"),
        (("--json", "./good.npz"), "--json good.npz: that is the file too"),
        (("--out", "both", "--json", "both"), "--json both: that is --out too"),
        (("--out", "thesis.h5"), "--out thesis.h5: it exists and holds no maps"),
    ],
)
def test_a_fit_never_takes_the_place_of_data(user: User, files: Path, options: tuple[str, ...], says: str) -> None:
    shutil.copy(files / "good.npz", user.folder)
    shutil.copy(files / "whole.h5", user.folder / "thesis.h5")
    before = {path.name: path.read_bytes() for path in user.folder.iterdir()}
    one_line(user.run("fit", "good.npz", *NAMED, "--lines", 1, *options), says, "name another")
    assert {path.name: path.read_bytes() for path in user.folder.iterdir()} == before


def test_older_maps_are_replaced_and_a_link_stays_a_link(user: User, files: Path) -> None:
    (user.folder / "maps.h5").symlink_to("real.h5")
    (user.folder / "said.json").symlink_to("real.json")
    for lines in (1, 2):
        fit = ("fit", files / "good.npz", *NAMED, "--lines", lines, "--out", "maps.h5", "--json", "said.json")
        result = user.run(*fit)
        assert (result.returncode, result.stdout) == (0, ""), result.stderr
        with h5py.File(user.folder / "real.h5") as file:
            assert file["centre_mhz"].shape == (lines, 3, 4)
        assert json.loads((user.folder / "real.json").read_text())["pixels"] == 12
    assert (user.folder / "maps.h5").is_symlink()
    assert (user.folder / "said.json").is_symlink()


@pytest.mark.parametrize("command", ["up", "demo", "ingest"])
def test_a_data_folder_that_cannot_be_made_is_refused(user: User, files: Path, command: str) -> None:
    (user.folder / "a-file").touch()
    measured = (files / "good.npz", *NAMED) if command == "ingest" else ()
    one_line(user.run(command, *measured, "--data", "a-file/data"), "a-file is not a folder")
    user.assert_nothing_left()


@pytest.mark.parametrize("letter", ["%", ";", "#", "?", "$", '"', "\\", "\n"])
@pytest.mark.parametrize("command", ["up", "demo", "ingest"])
def test_a_path_that_servers_would_read_as_something_else_is_refused(
    user: User, files: Path, command: str, letter: str
) -> None:
    measured = (files / "good.npz", *NAMED) if command == "ingest" else ()
    line = one_line(
        user.run(command, *measured, "--data", f"a{letter}HOME b/data"), "data folder", "choose one without"
    )
    assert (repr(letter) if letter == "\n" else letter) in line
    assert list(user.folder.iterdir()) == []
    user.assert_nothing_left()


def test_a_run_is_taken_in_under_a_path_with_spaces_and_accents(user: User, files: Path) -> None:
    folder = user.folder / "mes données 'ödmr' (1) & [2] {3}"
    folder.mkdir()
    shutil.copy(files / "good.npz", folder / "mesure n°1.npz")
    runtime = user.runtime / "ça va"
    runtime.mkdir(mode=0o700)
    taken = user.run(
        "ingest", folder / "mesure n°1.npz", *NAMED, "--data", folder / "d é", XDG_RUNTIME_DIR=str(runtime)
    )
    assert taken.returncode == 0, taken.stderr
    assert f"the run is in {folder / 'd é'}" in taken.stderr
    assert "0 G assumed; give --field-gauss" in taken.stderr
    uid = taken.stdout.strip()
    knows = user.run("fit", uid, "--temperature-k", 4, "--data", folder / "d é", "--out", folder / "no.h5")
    one_line(knows, "--temperature-k", "a run knows its own")
    fit = user.run("fit", uid, "--lines", 1, "--data", folder / "d é", "--out", folder / "cartes é.h5")
    assert fit.returncode == 0, fit.stderr
    assert (folder / "cartes é.h5").exists()
    user.assert_nothing_left()
