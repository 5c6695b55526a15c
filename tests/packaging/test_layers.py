"""The layer contracts hold, and each of them breaks when somebody crosses it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("physics", "stream", "devices", "plans", "analyzers", "dashboard", "deploy")

PLANTED = {
    "physics-alone": ("physics/constants.py", "import stream.messages"),
    "stream-on-physics": ("stream/settings.py", "import devices.settings"),
    "devices-on-stream": ("devices/settings.py", "import analyzers.settings"),
    "plans-on-devices": ("plans/__init__.py", "import stream.settings"),
    "analyzers-on-stream": ("analyzers/settings.py", "import devices.settings"),
    "kernels-on-physics": ("analyzers/kernels/__init__.py", "import stream.settings"),
    "dashboard-on-stream": ("dashboard/settings.py", "import physics.constants"),
    "wire-in-stream": ("devices/settings.py", "import zmq"),
    "bluesky-in-one-file": ("stream/settings.py", "import bluesky"),
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("tree")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__", "static"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def test_every_contract_has_a_planted_violation() -> None:
    import tomllib

    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert {contract["id"] for contract in contracts} == set(PLANTED)


def test_the_contracts_hold(tree: Path) -> None:
    result = lint(tree)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("contract", PLANTED)
def test_a_planted_violation_breaks_its_contract(tree: Path, contract: str) -> None:
    import tomllib

    names = {
        c["id"]: c["name"]
        for c in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    }
    path, statement = PLANTED[contract]
    file = tree / path
    before = file.read_text()
    try:
        file.write_text(before + f"\n{statement}\n")
        result = lint(tree)
    finally:
        file.write_text(before)
    assert result.returncode != 0
    assert f"{names[contract]} BROKEN" in result.stdout
