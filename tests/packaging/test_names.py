"""Our top-level names are ours alone, and processes that must stay light do not load numba."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

FOLDERS = ("physics", "stream", "devices", "plans", "analyzers", "dashboard", "deploy")


def test_no_dependency_claims_our_names() -> None:
    for distribution in importlib.metadata.distributions():
        if distribution.metadata["Name"] == "nvdac":
            continue
        files = distribution.files or []
        tops = {file.parts[0].removesuffix(".py") for file in files if file.suffix in (".py", ".so")}
        assert not tops & set(FOLDERS), f"{distribution.metadata['Name']} claims {tops & set(FOLDERS)}"


@pytest.mark.parametrize(
    "module", ["dashboard.server", "deploy.session", "devices.rig", "plans.histories", "devices.monitor"]
)
def test_numba_is_not_loaded(module: str) -> None:
    code = f"import {module}, sys; sys.exit('numba' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, f"{module} loads numba, or: {result.stderr}"


def test_the_command_line_starts_without_heavy_imports() -> None:
    heavy = "{'numba', 'bluesky', 'ophyd', 'tiled', 'matplotlib', 'h5py', 'zmq'}"
    code = f"import deploy.cli, sys; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == "[]"
