"""A small site under supervisord: started, watched, restarted and ended, whatever was killed before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from deploy import processes
from deploy.errors import DeployError
from deploy.foreground import driving
from deploy.launch import Parts, launch, make_site, wait_until_ready
from deploy.processes import Program, python_program
from deploy.rig_file import RIGS, RigFile, RigSection
from deploy.site import Site, running_sites
from devices.settings import CameraSettings, DevicesSettings
from tests.deploy.command import User, is_running, one_line, until

WEB_ONLY = Parts(tiled=False, instruments=False, camera=False, analyzers=False)
READY_S = 60.0


def rig(**section: int) -> RigFile:
    return RigFile(rig=RigSection(name="small", **section), camera=CameraSettings(), devices=DevicesSettings())


def start_small(user: User, name: str = "small") -> Site:
    site = make_site(name, user.folder / "rig.toml", rig(), user.folder / "data", WEB_ONLY)
    site = launch(site, rig(), WEB_ONLY)
    wait_until_ready(site)
    return site


@pytest.fixture
def small(user: User) -> Iterator[Site]:
    """A site of one web process."""
    with user.here():
        yield start_small(user)


def pid_of(site: Site, name: str) -> int:
    return next(state.pid for state in processes.states(site) if state.name == name)


def supervisor_pid(site: Site) -> int:
    return int((Path(site.runtime_dir) / "supervisord.pid").read_text())


def test_a_site_is_seen_by_others_and_ends_with_its_logs_kept(user: User, small: Site) -> None:
    status = user.run("status", "--json", "-")
    assert status.returncode == 0, status.stderr
    (row,) = json.loads(status.stdout)
    assert (row["site"], row["url"], row["data"]) == (small.name, small.web_url, small.data_dir)
    (web,) = row["processes"]
    assert (web["name"], web["serves"], web["ready"]) == ("web", True, True)
    assert psutil.pid_exists(web["pid"])
    until(lambda: f"  {'web':<12} RUNNING" in user.run("status").stdout, 20)
    (Path(small.data_dir) / "precious").write_text("stays")
    down = user.run("down")
    assert down.returncode == 0, down.stderr
    assert down.stdout == f"small: ended; data stay in {small.data_dir}\n"
    user.assert_nothing_left()
    assert (Path(small.data_dir) / "precious").read_text() == "stays"
    assert (Path(small.data_dir) / "logs" / "web.log").exists()


def test_a_second_site_of_the_name_is_refused_and_the_first_goes_on(user: User, small: Site) -> None:
    rig_path = user.folder / "rig.toml"
    rig_path.write_text((RIGS / "twin-s1.toml").read_text().replace('name = "twin-s1"', 'name = "small"'))
    one_line(user.run("up", "--rig", rig_path), "a site named 'small' is there already", "nvdac down --site small")
    assert is_running(pid_of(small, "web"))
    assert user.sites() == ["small"]


def test_a_killed_process_comes_back(small: Site) -> None:
    first = pid_of(small, "web")
    os.kill(first, signal.SIGKILL)
    second = until(lambda: pid_of(small, "web") not in (0, first) and pid_of(small, "web"), READY_S, "a new process")
    wait_until_ready(small)
    assert is_running(second)
    assert not is_running(first)


def test_status_says_who_drives(user: User, small: Site) -> None:
    assert "driven by" not in user.run("status").stdout
    with driving(small, "nvdac session"):
        assert f"  driven by nvdac session (process {os.getpid()})\n" in user.run("status").stdout


def test_status_says_what_does_not_run(user: User, small: Site) -> None:
    web = pid_of(small, "web")
    os.kill(supervisor_pid(small), signal.SIGKILL)
    until(lambda: not processes.states(small), 10)
    status = user.run("status")
    assert status.returncode == 3
    assert "UNKNOWN" in status.stdout
    assert "nvdac down" in status.stdout
    assert is_running(web)


def test_down_ends_the_orphans_of_a_killed_process_manager(user: User, small: Site) -> None:
    web = pid_of(small, "web")
    os.kill(supervisor_pid(small), signal.SIGKILL)
    until(lambda: not is_running(supervisor_pid(small)), 10)
    assert is_running(web)
    down = user.run("down", "--site", "small")
    assert down.returncode == 0, down.stderr
    assert not is_running(web)
    user.assert_nothing_left()
    assert (Path(small.data_dir) / "logs" / "web.log").exists()


def test_down_ends_a_process_manager_that_hangs(user: User, small: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "ANSWER_S", 0.5)
    monkeypatch.setattr(processes, "LEAVE_S", 1.0)
    os.kill(supervisor_pid(small), signal.SIGSTOP)
    assert processes.states(small) == []
    processes.stop(small)
    user.assert_nothing_left()


def test_a_process_that_ignores_termination_is_killed(user: User, small: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "LEAVE_S", 1.0)
    mark = f"{small.runtime_dir}/settings/deaf.json"
    ignores = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", ignores, mark], stdout=subprocess.PIPE) as deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        os.kill(supervisor_pid(small), signal.SIGKILL)
        until(lambda: not processes.states(small), 10)
        processes.stop(small)
        assert deaf.wait(10) == -signal.SIGKILL
    user.assert_nothing_left()


def test_who_reads_a_settings_file_is_left_alone(small: Site) -> None:
    reader = ["tail", "-f", f"{small.runtime_dir}/settings/web.json"]
    with subprocess.Popen(reader, stdout=subprocess.DEVNULL) as bystander:
        try:
            ours = processes.processes_of(small)
            assert set(ours) == {supervisor_pid(small), pid_of(small, "web")}
            assert ours[0] == supervisor_pid(small)
        finally:
            bystander.kill()


def test_a_program_that_cannot_start_is_refused_with_the_end_of_its_log(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STARTS_TRIED", 1)
    with user.here():
        site = make_site("broken", user.folder / "rig.toml", rig(), user.folder / "data", WEB_ONLY)
        program = python_program("web", "no.such.module", Path(site.runtime_dir) / "settings" / "web.json")
        processes.start(site, [program])
        with pytest.raises(DeployError, match="web does not start") as caught:
            processes.wait_ready(site, ["web"], 60)
        assert "No module named" in str(caught.value)
        processes.stop(site)
    user.assert_nothing_left()


def test_a_program_that_is_never_ready_is_given_up(user: User) -> None:
    with user.here():
        site = make_site("silent", user.folder / "rig.toml", rig(), user.folder / "data", WEB_ONLY)
        settings = f"{site.runtime_dir}/settings/web.json"
        processes.start(site, [Program("web", (sys.executable, "-c", "import signal; signal.pause()", settings))])
        asked: list[list[str]] = []
        with pytest.raises(DeployError, match="web not ready after 1 s"):
            processes.wait_ready(site, ["web"], 1.0, asked.append)
        assert asked == [["web"]]
        processes.stop(site)
    user.assert_nothing_left()


def test_a_start_that_fails_leaves_nothing(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with user.here():
        site = make_site("small", user.folder / "rig.toml", rig(), user.folder / "data", WEB_ONLY)
        with pytest.raises(DeployError, match="the process manager did not start"):
            launch(site, rig(), WEB_ONLY)
        assert running_sites() == []
    user.assert_nothing_left()


def test_an_interrupt_during_a_start_leaves_nothing(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    real = subprocess.run

    def interrupted(*arguments: object, **options: object) -> object:
        signal.raise_signal(signal.SIGINT)  # as Ctrl-C while supervisord is on its way into the background
        return real(*arguments, **options)

    monkeypatch.setattr(subprocess, "run", interrupted)
    with user.here():
        site = make_site("small", user.folder / "rig.toml", rig(), user.folder / "data", WEB_ONLY)
        with pytest.raises(KeyboardInterrupt):
            launch(site, rig(), WEB_ONLY)
    user.assert_nothing_left()


def test_what_a_killed_start_left_is_no_hindrance(user: User) -> None:
    with user.here():
        left = user.runtime / "nvdac" / "small"
        left.mkdir(parents=True)
        left.parent.chmod(0o700)
        (left / "supervisord.conf").touch()
        site = start_small(user)
        processes.stop(site)


@pytest.mark.timeout(180)
def test_a_site_with_tiled_takes_what_is_ingested_and_guards_its_folder(user: User) -> None:
    """One Tiled server for several questions: it takes seconds to start."""
    tiled_only = Parts(web=False, instruments=False, camera=False, analyzers=False)
    frequency = np.linspace(2.8, 2.95, 30)
    counts = np.random.default_rng(1).poisson(4e4 + np.zeros((48, 48, 30))).astype(np.uint16)
    np.savez(user.folder / "m.npz", M=counts, F=frequency)
    ingest = ("ingest", "m.npz", "--signal", "M", "--frequency", "F", "--json", "-")
    with user.here():
        site = launch(make_site("store", Path("rig"), rig(), user.folder / "data", tiled_only), rig(), tiled_only)
        wait_until_ready(site)
        with pytest.raises(DeployError, match="site 'store' serves the data folder"):
            make_site("other", Path("rig"), rig(), user.folder / "data", tiled_only)
    limited = user.run(*ingest, prefix=("bash", "-c", 'ulimit -f 64 && exec "$@"', "limited"))
    assert (limited.returncode, limited.stdout) == (1, "")
    assert "the run cannot be written: File too large" in limited.stderr.splitlines()[-1]
    assert "Traceback" not in limited.stderr
    data = Path(site.data_dir)
    assert [path for place in ("frames", "documents") for path in (data / place).glob("*")] == []
    taken = user.run(*ingest)
    assert taken.returncode == 0, taken.stderr
    told = json.loads(taken.stdout)
    uid = told["uid"]
    assert (told["data"], told["site"]) == (str(data), "store")
    assert (data / "frames" / f"{uid}.h5").exists()
    with user.here():
        assert [one.name for one in running_sites()] == ["store"]
        from stream.catalog import catalog

        with catalog(site.tiled_uri, site.tiled_api_key) as client:
            assert list(client["raw"]) == [uid]
