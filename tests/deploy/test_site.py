"""Sites: private folders, free ports, clear refusals."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from deploy import site as sites
from deploy.errors import DeployError


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("NVDAC_TILED_API_KEY", raising=False)
    return tmp_path


def new(tmp_path: Path, name: str = "one") -> sites.Site:
    site = sites.new_site(name, tmp_path / "rig.toml", tmp_path / f"data-{name}", {"web": 1, "tiled": 2})
    site.save()
    return site


def test_a_site_is_private_and_comes_back_as_saved(tmp_path: Path) -> None:
    site = new(tmp_path)
    assert stat.S_IMODE(Path(site.runtime_dir).stat().st_mode) == 0o700
    assert stat.S_IMODE((Path(site.runtime_dir) / sites.SITE_FILE).stat().st_mode) == 0o600
    assert sites.find_site("one") == site
    assert sites.running_sites() == [site]


def test_keys_differ_between_sites_and_come_from_the_environment_where_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {new(tmp_path, name).tiled_api_key for name in ("a", "b")}
    assert len(keys) == 2
    monkeypatch.setenv("NVDAC_TILED_API_KEY", "secret")
    assert new(tmp_path, "c").tiled_api_key == "secret"


def test_a_second_site_of_the_same_name_is_refused(tmp_path: Path) -> None:
    new(tmp_path)
    with pytest.raises(DeployError, match="nvdac down --site one"):
        new(tmp_path)


def test_no_site_says_how_to_start_one() -> None:
    with pytest.raises(DeployError, match="nvdac up"):
        sites.find_site(None)


def test_a_foreign_runtime_folder_is_refused(runtime: Path) -> None:
    (runtime / "nvdac").mkdir(mode=0o755)
    (runtime / "nvdac").chmod(0o755)
    with pytest.raises(DeployError, match="not private"):
        sites.runtime_root()


def test_a_bad_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="letters"):
        new(tmp_path, "../x")


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DeployError, match=f"port {port} for the live page is in use"):
            sites.take_port(port, "the live page")


def test_any_free_port_is_found() -> None:
    assert sites.take_port(0, "x") > 0
