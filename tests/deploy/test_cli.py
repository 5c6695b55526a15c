"""The command line from outside: help, exit codes, JSON, and wrong input that leaves nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from deploy import fit_said
from deploy.fit_said import KernelClock, line_notes
from deploy.rig_file import RIGS
from stream.maps_file import read_maps
from tests.deploy.command import User, one_line

COMMANDS = ("demo", "up", "down", "status", "session", "ingest", "replay", "fit", "doctor", "worker", "keys")
NAMED = ("--signal", "M", "--frequency", "F")
NAN, NEGATIVE = 2, 3
"""Where the bad value of a bad measurement is, as index of the frequency."""


def measurement(**changes: Any) -> dict[str, Any]:
    """Return a small good measurement as variables of a file, with some of them changed."""
    frequency_ghz = np.linspace(2.8, 2.95, 30)
    spectrum = 40_000 * (1 - 0.1 / (1 + ((frequency_ghz * 1e3 - 2870) / 4) ** 2))
    counts = np.random.default_rng(1).poisson(np.broadcast_to(spectrum, (3, 4, 30))).astype(float)
    return {"M": counts, "F": frequency_ghz, **changes}


def with_value(index: int, value: float) -> np.ndarray:
    counts = measurement()["M"]
    counts[0, 1, index] = value
    return counts


def swapped() -> np.ndarray:
    frequency = measurement()["F"]
    frequency[[3, 4]] = frequency[[4, 3]]
    return frequency


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files, most of them wrong in one way."""
    folder = tmp_path_factory.mktemp("files")
    np.savez(folder / "good.npz", **measurement())
    np.savez(folder / "nan.npz", **measurement(M=with_value(NAN, np.nan)))
    np.savez(folder / "negative.npz", **measurement(M=with_value(NEGATIVE, -5)))
    np.savez(folder / "mismatch.npz", **measurement(F=measurement()["F"][:-1]))
    np.savez(folder / "jumps.npz", **measurement(F=swapped()))
    np.savez(folder / "text.npz", M=np.array("no numbers"))
    (folder / "empty.mat").touch()
    (folder / "prose.mat").write_text("no measurement at all\n" * 40)
    (folder / "picture.pdf").write_text("%PDF")
    (folder / "folder.mat").mkdir()
    with h5py.File(folder / "whole.h5", "w") as file:
        file["M"] = measurement()["M"]
    (folder / "cut.h5").write_bytes((folder / "whole.h5").read_bytes()[:900])
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(user: User, command: str) -> None:
    result = user.run(command, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert f"Example: nvdac {command}" in result.stdout
    assert f"Usage: nvdac {command}" in result.stdout


def test_help_lists_every_command_and_what_the_exit_codes_mean(user: User) -> None:
    result = user.run("--help")
    assert result.returncode == 0
    assert all(f"  {command} " in result.stdout for command in COMMANDS)
    assert "Exit codes: 0 done" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nonsense",), "'nonsense'; see nvdac --help"),
        (("fit",), "Missing argument 'file_or_uid'; see nvdac fit --help"),
        (("fit", "x.npz", "--no-such-option"), "--no-such-option; see nvdac fit --help"),
        (("fit", "x.npz", "--lines", "0"), "--lines"),
        (("fit", "x.npz", "--lines", "9"), "--lines"),
        (("ingest", "x.npz", "--lines", "0"), "--lines"),
        (("replay", "abcd", "--workers", "0"), "--workers"),
        (("fit", "x.npz", "--read-noise-electrons", "-1"), "--read-noise-electrons"),
        (("demo", "--seed", "-1"), "--seed"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(user: User, arguments: tuple[str, ...], says: str) -> None:
    one_line(user.run(*arguments), says, code=2)
    user.assert_nothing_left()


WRONG_FILES = [
    ("absent.npz", NAMED, ("no file", "check the path")),
    ("folder.mat", NAMED, ("no file", "check the path")),
    ("empty.mat", NAMED, ("cannot read empty.mat", "damaged")),
    ("prose.mat", NAMED, ("cannot read prose.mat", "damaged")),
    ("picture.pdf", NAMED, (".pdf", "give a .mat")),
    ("text.npz", NAMED, ("M",)),
    ("good.npz", ("--signal", "Q", "--frequency", "F"), ("no variable 'Q'", "M 3x4x30", "F 30")),
    ("good.npz", ("--signal", "M", "--frequency", "Q"), ("no variable 'Q'", "M 3x4x30", "F 30")),
    ("mismatch.npz", NAMED, ("3x4x30", "29 points")),
    ("nan.npz", NAMED, ("1 NaN", f"frequency {NAN}, y 0, x 1")),
    ("negative.npz", NAMED, ("1 negative", f"frequency {NEGATIVE}, y 0, x 1")),
    ("jumps.npz", NAMED, ("not monotonic", "index 4")),
    ("good.npz", (*NAMED, "--frequency-unit", "MHz"), ("did you mean GHz?",)),
    ("good.npz", (*NAMED, "--frequency-unit", "parsec"), ("parsec", "Hz, kHz, MHz, GHz")),
    ("good.npz", (*NAMED, "--axes", "fyx"), ("axis 0 has 3 points",)),
    ("good.npz", (*NAMED, "--axes", "zzz"), ("such as 'yxf'",)),
    ("good.npz", (*NAMED, "--format", "other"), ("gwide",)),
    ("good.npz", (*NAMED, "--electrons-per-count", "1", "--offset-counts", "1e6"), ("--offset-counts", "dark frame")),
]


@pytest.mark.parametrize("command", ["fit", "ingest"])
@pytest.mark.parametrize(("name", "options", "says"), WRONG_FILES)
def test_a_wrong_file_is_refused_in_one_line(
    user: User, files: Path, command: str, name: str, options: tuple[str, ...], says: tuple[str, ...]
) -> None:
    target = ("--out", "maps.h5") if command == "fit" else ("--data", "data")
    one_line(user.run(command, files / name, *options, *target), *says)
    assert list(user.folder.iterdir()) == []
    user.assert_nothing_left()


def test_a_file_that_is_cut_off_is_refused_in_one_line(user: User, files: Path) -> None:
    one_line(user.run("fit", files / "cut.h5"), "cut off or damaged")
    assert list(user.folder.iterdir()) == []


@pytest.mark.parametrize("command", ["fit", "replay"])
def test_an_unknown_uid_names_where_it_was_looked_for(user: User, command: str) -> None:
    (user.folder / "data").mkdir()
    line = one_line(user.run(command, "abcdef", "--data", "data"), "no run 'abcdef'", "--data")
    assert str(user.folder / "data") in line
    one_line(user.run(command, "abcdef", "--data", "elsewhere"), "no data folder elsewhere")
    user.assert_nothing_left()


@pytest.mark.parametrize("command", ["fit", "replay"])
def test_an_ambiguous_or_too_short_uid_is_refused(user: User, command: str) -> None:
    frames = user.folder / "data" / "frames"
    frames.mkdir(parents=True)
    for uid in ("abcd1111", "abcd2222"):
        (frames / f"{uid}.h5").touch()
    one_line(user.run(command, "abcd", "--data", "data"), "2 runs begin with", "abcd1111", "abcd2222", "more letters")
    one_line(user.run(command, "ab", "--data", "data"), "too short")
    user.assert_nothing_left()


@pytest.mark.parametrize("speed", ["fast", "0", "-1", "nan", "inf"])
def test_a_speed_that_is_none_is_refused(user: User, speed: str) -> None:
    one_line(user.run("replay", "abcdef", f"--speed={speed}"), repr(speed), "max")


def test_a_run_without_a_complete_sweep_is_not_replayed(user: User) -> None:
    frames = user.folder / "data" / "frames"
    frames.mkdir(parents=True)
    (frames / "abcdef.h5").write_bytes(b"no frames")
    one_line(user.run("replay", "abcdef", "--data", "data"), "cannot read the frames file")
    assert sorted(path.name for path in (user.folder / "data").rglob("*")) == ["abcdef.h5", "frames"]
    user.assert_nothing_left()


def rig_file(user: User, old: str, new: str) -> Path:
    text = (RIGS / "twin-s1.toml").read_text()
    assert old in text
    path = user.folder / "rig.toml"
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.parametrize("command", ["up", "demo"])
@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("workers = 2", "worker = 2", "unknown key 'rig.worker'; did you mean 'workers'?"),
        ("workers = 2", "workers = 0", "allowed are 1 to 64"),
        ("web_port = 0", "web_port = 70000", "allowed are 1 to 65535"),
        ("[rig]", "[rig", "not readable as TOML"),
    ],
)
def test_a_mistake_in_the_rig_file_is_one_line(user: User, command: str, old: str, new: str, says: str) -> None:
    one_line(user.run(command, "--rig", rig_file(user, old, new)), "rig.toml", says)
    assert [path.name for path in user.folder.iterdir()] == ["rig.toml"]
    user.assert_nothing_left()


@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_port_in_use_is_named_and_nothing_starts(user: User, command: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        rig = rig_file(user, "web_port = 0", f"web_port = {port}")
        one_line(user.run(command, "--rig", rig), f"port {port} for the live page is in use", "or 0")
    assert [path.name for path in user.folder.iterdir()] == ["rig.toml"]
    user.assert_nothing_left()


def test_the_demo_refuses_a_rig_without_a_magnet_before_anything_starts(user: User) -> None:
    rig = rig_file(user, "[devices.magnet]\n", "")
    one_line(user.run("demo", "--rig", rig, "--exit"), "has no magnet", "add [devices.magnet]")
    assert [path.name for path in user.folder.iterdir()] == ["rig.toml"]
    user.assert_nothing_left()


def test_the_demo_refuses_a_plan_that_cannot_be(user: User) -> None:
    rig = rig_file(user, "top_temperature_k = 150.0", "top_temperature_k = 10.0")
    one_line(user.run("demo", "--rig", rig, "--exit"), "[plan]", "must be below the top")
    user.assert_nothing_left()


def test_the_demo_refuses_a_rig_that_is_no_twin(user: User) -> None:
    text = (RIGS / "twin-s1.toml").read_text()
    head, _, tail = text.partition("[twin]")
    (user.folder / "rig.toml").write_text(head + tail[tail.index("[camera]") :])
    one_line(user.run("demo", "--rig", "rig.toml"), "no [twin]", "nvdac up")


def test_a_site_name_that_is_a_path_is_refused(user: User) -> None:
    one_line(user.run("up", "--site", "../x"), "'../x'", "letters")
    assert list(user.folder.iterdir()) == []


def test_nothing_runs_yet(user: User) -> None:
    down = user.run("down")
    assert (down.returncode, down.stdout) == (0, "nothing is running\n")
    status = user.run("status")
    assert (status.returncode, status.stdout) == (
        0,
        "nothing is running; start with `nvdac up` or `nvdac demo`\n",
    )
    machine = user.run("status", "--json", "-")
    assert (machine.returncode, json.loads(machine.stdout)) == (0, [])
    for command in ("down", "status", "session"):
        one_line(user.run(command, "--site", "other"), "no running site named 'other'", "nvdac up")
    one_line(user.run("session"), "nothing is running", "nvdac up")


def test_json_on_standard_output_stands_alone(user: User, files: Path) -> None:
    result = user.run("fit", files / "good.npz", *NAMED, "--lines", 1, "--out", "maps.h5", "--json", "-")
    assert result.returncode == 0, result.stderr
    numbers = json.loads(result.stdout)
    assert (numbers["pixels"], numbers["out"]) == (12, "maps.h5")
    assert result.stderr.count("note: ") == len(numbers["notes"]) > 0
    assert (user.folder / "maps.h5").exists()
    ((line,),) = numbers["lines"]
    assert line["centre_mhz"] == pytest.approx(2870.0, abs=0.5)
    assert 100 * line["contrast"] == pytest.approx(-10.0, abs=1.0)
    assert any("300 K assumed; give --temperature-k" in note for note in numbers["notes"])


def test_a_fit_prints_its_lines_and_says_what_it_replaces(user: User, files: Path) -> None:
    (user.folder / "maps.h5").touch()
    state = ("--temperature-k", 77, "--field-gauss", 40, "--pixel-size-um", 0.3)
    result = user.run("fit", files / "good.npz", *NAMED, "--lines", 2, *state)
    assert result.returncode == 0, result.stderr
    rows = [line for line in result.stdout.splitlines() if line.startswith("  line ")]
    assert len(rows) == 2
    assert all("MHz, contrast" in row and "% of the pixels resolved" in row for row in rows)
    assert "median reduced chi2" in result.stdout
    assert "maps.h5 was there and is replaced" in result.stderr
    assert "may not be a line (try --lines 1)" in result.stderr
    assert "assumed; give" not in result.stderr
    assert read_maps(user.folder / "maps.h5")[1]["temperature_k"] == 77.0


def test_a_weak_line_and_one_that_is_resolved_nowhere_are_named() -> None:
    depths = {"strong": -0.1, "weak": -0.01, "shallow": -0.05, "none": None}
    rows = [{"centre_mhz": 0.0, "contrast": depth, "fwhm_mhz": 1.0, "resolved": 1.0} for depth in depths.values()]
    assert line_notes(rows) == [
        "line 1: its contrast is 10 times smaller than the strongest's; it may not be a line (try --lines 2)",
        "line 3: no pixel resolves it; it may not be a line (try --lines 2)",
    ]
    assert line_notes(rows[:1]) == []
    assert line_notes([{**rows[3]}]) == []


def test_a_wait_for_kernels_is_said_only_where_it_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    heard = threading.Event()
    KernelClock(said.append).wait(lambda: None)
    monkeypatch.setattr(fit_said, "SILENT_S", 0.0)
    clock = KernelClock(lambda text: said.append(text) or heard.set())
    clock.wait(lambda: heard.wait(20))
    assert clock.seconds > 0
    (line,) = said
    assert "compiling the kernels" in line


def test_json_in_a_file_replaces_the_file_as_a_whole(user: User) -> None:
    (user.folder / "doctor.json").write_text("older and longer than what comes " * 1000)
    result = user.run("doctor", "--json", "doctor.json")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert {row["topic"] for row in json.loads((user.folder / "doctor.json").read_text())} > {"disk", "ring"}
    assert [path.name for path in user.folder.iterdir()] == ["doctor.json"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a file system of its own needs root and the right to mount; see the limits of size instead")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("command", ["up", "demo", "ingest"])
def test_a_disk_without_room_is_refused_before_anything_starts(
    user: User, files: Path, small_disk: Path, command: str
) -> None:
    measured = (files / "good.npz", *NAMED) if command == "ingest" else ()
    result = user.run(command, *measured, "--data", small_disk / "data")
    one_line(result, f"{small_disk}", "MiB are free", "choose another folder")
    assert list(small_disk.iterdir()) == []
    user.assert_nothing_left()


def test_a_full_disk_leaves_no_maps(user: User, files: Path, small_disk: Path) -> None:
    room = shutil.disk_usage(small_disk).free
    (small_disk / "filler").write_bytes(bytes(room - 8192))
    result = user.run("fit", files / "good.npz", *NAMED, "--lines", 1, "--out", small_disk / "maps.h5", "--json", "-")
    assert (result.returncode, result.stdout) == (1, "")
    assert "Traceback" not in result.stderr
    assert "No space left on device" in result.stderr.splitlines()[-1]
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


def test_a_limit_on_the_size_of_files_leaves_no_maps(user: User, files: Path) -> None:
    limit = ("bash", "-c", 'ulimit -f 8 && exec "$@"', "limited")
    result = user.run("fit", files / "good.npz", *NAMED, "--lines", 1, "--out", "maps.h5", prefix=limit)
    assert (result.returncode, result.stdout) == (1, "")
    assert "Traceback" not in result.stderr
    assert "File too large" in result.stderr.splitlines()[-1]
    assert list(user.folder.iterdir()) == []


def test_a_termination_is_no_traceback(user: User) -> None:
    process = user.start("doctor", "--warm", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert process.returncode in (143, -15)
    assert "Traceback" not in said
