"""The whole site as `nvdac up` leaves it running: where it listens, and what a session does to its instruments.

One site serves all these tests, in this order; the last one ends it.
"""

from __future__ import annotations

import ast
import contextlib
import ipaddress
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq

from deploy.processes import processes_of
from deploy.rig_file import RIGS, load_rig
from deploy.site import Site, find_site
from devices.channel_access import loopback_variables
from stream.archive_hdf5 import FrameFile
from stream.document_log import read_documents
from stream.paths import documents_path, frames_path
from stream.settings import StreamSettings
from stream.state import StateSubscriber
from tests.deploy.command import NVDAC, User, one_line, until

pytestmark = pytest.mark.timeout(600)
ANY_ADDRESS_UDP = {"devices.twin.ioc": 4, "devices.ioc.guard": 4, "devices.monitor": 2, "devices.camera_server": 2}
"""UDP sockets per process that EPICS binds to every address, on ports of the kernel's choice.

softioc keeps two from which it would send beacons (to 127.0.0.1 only here), libca one from which it searches (127.0.0.1
only) and one for the repeater; the twin and its guard serve and ask each other. Neither library can bind them to
loopback; nothing is served on them.
"""
PREFIX = "NVDAC:"
FIELD_GAUSS = load_rig(RIGS / "twin-s1.toml").plan.field_gauss
NOISE = re.compile("Traceback|%tb|Warning|SystemExit|An exception")
"""What no person should see of a session that was ended from outside."""
SAFE = {"MW:ENABLE_RBV": 0, "LASER:SHUTTER_RBV": 0}


class Prompt:
    """A session, typed into through a pipe or a terminal; what it says is kept."""

    def __init__(self, user: User, *, terminal: bool) -> None:
        self.said = ""
        self._own, theirs = pty.openpty() if terminal else (None, None)
        pipes: Any = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        if not terminal:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen(
            [*NVDAC, "session"],
            cwd=user.folder,
            env={**user.environment, "IPY_TEST_SIMPLE_PROMPT": "1", "TERM": "dumb", "IPYTHONDIR": str(user.folder)},
            start_new_session=True,
            **pipes,
        )
        if theirs is not None:
            os.close(theirs)
            self._in = self._out = self._own
        else:
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            self._in, self._out = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self._out, False)

    def type(self, line: str) -> None:
        os.write(self._in, f"{line}\n".encode())

    def read(self) -> str:
        # a terminal whose other end is closed answers with an error, a pipe with nothing
        with contextlib.suppress(BlockingIOError, OSError):
            while chunk := os.read(self._out, 65536):
                self.said += chunk.decode(errors="replace")
        return self.said

    def wait_for(self, text: str, timeout_s: float = 60.0, *, after: int = 0) -> str:
        """Wait until the session said `text` (after so many characters); return what it said since."""
        until(lambda: text in self.read()[after:], timeout_s, f"waiting for {text!r}", lambda: self.said[-3000:])
        return self.said[after:]

    def leave(self) -> int:
        self.type("exit")
        return self.ended()

    def ended(self, timeout_s: float = 60.0) -> int:
        until(lambda: self.read() is not None and self.process.poll() is not None, timeout_s, "the end", self.read)
        return int(self.process.returncode)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        if self._own is not None:
            os.close(self._own)


@pytest.fixture(scope="module")
def site(module_user: User) -> Site:
    """The site of the rig that comes with nvdac, as another process sees it."""
    rig = module_user.folder / "twin-s1.toml"
    rig.write_text((RIGS / "twin-s1.toml").read_text())
    # compiled once here, not by five processes at a time while a sweep waits for them
    warm = module_user.run("doctor", "--rig", rig, "--warm", timeout_s=280)
    assert "kernels                compiled and cached" in warm.stdout
    result = module_user.run("up", "--rig", rig, "--data", "data", "--json", "-", timeout_s=280)
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    assert said["site"] == "twin-s1"
    assert Path(said["data"]) == module_user.folder / "data"
    with module_user.here():
        return find_site("twin-s1")


@pytest.fixture(scope="module")
def pv(site: Site) -> Iterator[Callable[[str], Any]]:
    """Read a PV of the twin over Channel Access, from a process of its own."""
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("pv_reader.py"))],
        env={**os.environ, **loopback_variables(site.ca_port, site.guard_port)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        pipes = (reader.stdin, reader.stdout)

        def read(name: str) -> Any:
            pipes[0].write(f"{PREFIX}{name}\n")
            pipes[0].flush()
            return ast.literal_eval(pipes[1].readline())

        yield read
        reader.stdin.close()
        reader.wait(10)


@pytest.fixture
def prompt(module_user: User, site: Site) -> Iterator[Callable[..., Prompt]]:
    """Open sessions; what is still open at the end is killed."""
    opened: list[Prompt] = []

    def open_one(*, terminal: bool) -> Prompt:
        opened.append(Prompt(module_user, terminal=terminal))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def test_every_process_serves_and_status_says_so(module_user: User, site: Site) -> None:
    status = module_user.run("status", "--json", "-")
    assert status.returncode == 0, status.stdout
    (row,) = json.loads(status.stdout)
    names = {"web", "ioc", "guard", "camera", "worker-0", "worker-1", "builder", "tiled", "monitor"}
    assert {process["name"] for process in row["processes"]} == names
    assert all(process["serves"] and process["pid"] > 0 for process in row["processes"])
    assert len({process["pid"] for process in row["processes"]}) == len(names)
    metrics = {process["name"]: process["metrics"] for process in row["processes"] if process["metrics_url"]}
    assert set(metrics) == {"camera", "worker-0", "worker-1", "builder", "monitor"} == set(site.metrics_ports)
    assert metrics["camera"]["frames_abandoned_total"] == 0
    assert metrics["camera"]["lag_frames.worker-1"] == 0
    assert metrics["worker-0"]["seconds_total.idle"] > 0
    assert metrics["builder"]["tiles_total.accepted"] >= 0


def test_nothing_listens_beyond_loopback(site: Site) -> None:
    beyond_tcp: list[str] = []
    beyond_udp: dict[str, int] = {}
    served: set[int] = set()
    for pid in processes_of(site):
        process = psutil.Process(pid)
        module = process.cmdline()[2]
        for connection in process.net_connections(kind="inet"):
            loopback = ipaddress.ip_address(connection.laddr.ip).is_loopback
            if connection.type == socket.SOCK_STREAM and connection.status == psutil.CONN_LISTEN:
                served.add(connection.laddr.port)
                beyond_tcp += [] if loopback else [f"{module} {connection.laddr}"]
            elif connection.type == socket.SOCK_DGRAM and not loopback:
                assert connection.laddr.port != site.ca_port
                beyond_udp[module] = beyond_udp.get(module, 0) + 1
    assert beyond_tcp == []
    assert served == {site.web_port, site.tiled_port, site.ca_port, site.guard_port, *site.metrics_ports.values()}
    assert {module: count for module, count in beyond_udp.items() if count > ANY_ADDRESS_UDP.get(module, 0)} == {}


def test_the_sockets_of_the_wire_are_for_their_owner_alone(site: Site) -> None:
    sockets = [path for path in Path(site.runtime_dir).rglob("*") if path.is_socket()]
    assert len(sockets) > 5
    # a new file in a folder that only its owner may enter is private whatever its own mode
    assert Path(site.runtime_dir).stat().st_mode & 0o077 == 0
    assert Path(site.runtime_dir).parent.stat().st_mode & 0o077 == 0


def test_a_session_shows_positions_and_takes_a_sweep(site: Site, prompt: Callable[..., Prompt]) -> None:
    session = prompt(terminal=False)
    session.wait_for("RE.abort()")
    session.type("where()")
    shown = session.wait_for("laser_shutter")
    assert "magnet_field_z_gauss" in shown
    assert "cryostat_sample_k" in shown
    session.type(f"RE(bps.mv(rig.magnet, {FIELD_GAUSS}))")
    session.type("uids = RE(sweep()); print('UID', *uids)")
    uid = session.wait_for("UID ").rpartition("UID ")[2].split()[0]
    with FrameFile(frames_path(site.data_dir, uid)) as file:
        (sweep,) = file.sweeps
        assert sum(1 for _ in file.frames(sweep.sweep)) == sweep.frequency_mhz.size * sweep.passes
    stop = list(read_documents(documents_path(site.data_dir, uid)))[-1]
    assert (stop[0], stop[1]["exit_status"]) == ("stop", "success")
    assert session.leave() == 0


def test_a_plan_refuses_a_rig_without_a_magnet_before_anything_moves(
    site: Site, prompt: Callable[..., Prompt], pv: Callable[[str], Any]
) -> None:
    session = prompt(terminal=False)
    session.wait_for("RE.abort()")
    before = {name: pv(name) for name in ("CRYO:TEMPERATURE_K", "MAG:FIELD_Z_GAUSS", "MW:ENABLE", "LASER:SHUTTER")}
    runs = len(list((Path(site.data_dir) / "documents").glob("*.jsonl")))
    session.type("from dataclasses import replace; from plans.settings import SweepSettings, ZfcSettings")
    session.type("settings = ZfcSettings(SweepSettings((2857.0, 3401.0), passes=1))")
    session.type("RE(zfc_field_warming(replace(rig, magnet=None), settings))")
    said = session.wait_for("has no magnet, which this plan needs; add [devices.magnet] to its rig file")
    assert "Traceback" not in said
    assert {name: pv(name) for name in before} == before
    assert len(list((Path(site.data_dir) / "documents").glob("*.jsonl"))) == runs
    assert session.leave() == 0


def wait_for_a_sweep_in_the_field(site: Site, pv: Callable[[str], Any]) -> None:
    """Wait until the history's first sweep runs: field on, light on, frames on their way."""
    settings = StreamSettings(site.runtime_dir, site.data_dir)
    deadline = time.monotonic() + 60
    with StateSubscriber(settings, ("camera",)) as state:
        while time.monotonic() < deadline:
            for update in state.poll(0.2):
                sent = update.header.get("frames_sent", 0)
                running = 0 < sent < update.header.get("frames_total", 0)
                # the state begins with the latest there is: a sweep that was aborted before this one is not meant
                there = running and pv("MAG:FIELD_Z_GAUSS") == FIELD_GAUSS and pv("MW:ENABLE_RBV") == 1
                if update.channel == "camera" and there:
                    return
    raise AssertionError("no sweep in the field")


def test_an_abort_at_the_prompt_makes_safe_and_holds_the_field(
    site: Site, prompt: Callable[..., Prompt], pv: Callable[[str], Any]
) -> None:
    session = prompt(terminal=True)
    session.wait_for("RE.abort()")
    session.type("RE(history())")
    wait_for_a_sweep_in_the_field(site, pv)
    said = len(session.read())
    session.process.send_signal(signal.SIGINT)
    session.wait_for("A 'deferred pause' has been requested", after=said)
    session.wait_for("RE.stop()", after=said)  # at the next checkpoint
    assert "Traceback" not in session.read()[said:]
    session.type("RE.abort()")
    session.wait_for("Field: [h]old (default) or [r]amp to zero?", after=said)
    assert {name: pv(name) for name in SAFE} == SAFE
    session.type("")
    session.type("print('state', RE.state)")
    session.wait_for("state idle", after=said)
    assert pv("MAG:FIELD_Z_GAUSS") == FIELD_GAUSS
    assert abs(pv("MAG:FIELD_Z_GAUSS_RBV") - FIELD_GAUSS) < 1
    assert session.leave() == 0


def test_a_killed_session_leaves_the_rig_dark_and_the_field_and_its_history_as_they_are(
    site: Site, prompt: Callable[..., Prompt], pv: Callable[[str], Any]
) -> None:
    session = prompt(terminal=False)
    session.wait_for("RE.abort()")
    session.type(f"for move in ((rig.magnet, 0), (rig.cryostat, 60), (rig.magnet, {FIELD_GAUSS})): RE(bps.mv(*move))\n")
    session.type("RE(bps.mv(rig.laser.shutter, 1, rig.microwave.enable, 1)); print('light', 'on')")
    session.wait_for("light on")
    assert pv("GUARD:HISTORY") == "ZFC_FW"
    # a paused plan and a busy prompt keep the lease
    session.type("RE(bps.pause())")
    session.wait_for("RE.resume()")
    session.type("total = sum(range(60_000_000)); print('ad' + 'ded')")
    session.wait_for("added")
    assert {name: pv(name) for name in SAFE} == dict.fromkeys(SAFE, 1)
    killed = time.monotonic()
    session.process.kill()
    until(lambda: {name: pv(name) for name in SAFE} == SAFE, 10, "the guard switching off")
    assert time.monotonic() - killed < 2.0
    assert (pv("MAG:FIELD_Z_GAUSS_RBV"), pv("CRYO:TEMPERATURE_K")) == (FIELD_GAUSS, 60.0)
    assert (pv("GUARD:HISTORY"), pv("GUARD:LEASE_HELD")) == ("ZFC_FW", 0)


def test_a_second_session_is_refused_while_one_is_open(module_user: User, prompt: Callable[..., Prompt]) -> None:
    session = prompt(terminal=False)
    session.wait_for("RE.abort()")
    line = one_line(module_user.run("session"), "driven by nvdac session (process", "leave that first")
    assert str(session.process.pid) in line
    session.process.send_signal(signal.SIGTERM)
    assert session.ended() == 128 + signal.SIGTERM
    assert session.said.splitlines()[-1].endswith("nvdac: the session was terminated")
    assert not NOISE.search(session.said), session.said


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_session_that_is_busy_with_something_else_leaves_when_terminated(
    prompt: Callable[..., Prompt], number: signal.Signals, terminal: bool
) -> None:
    session = prompt(terminal=terminal)
    session.wait_for("RE.abort()")
    said = len(session.read())
    session.type("import threading; print('bu' + 'sy'); threading.Event().wait(300)")
    session.wait_for("busy", after=said)
    session.process.send_signal(number)
    assert session.ended() == 128 + number
    assert session.said.splitlines()[-1].endswith("nvdac: the session was terminated")
    assert not NOISE.search(session.said), session.said


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """A Redis server of the test's own."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (Debian: apt install redis-server)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    options = ("--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(tmp_path))
    with (tmp_path / "redis.log").open("wb") as log:
        server = subprocess.Popen([program, *options], stdout=log, stderr=log)
    yield f"127.0.0.1:{port}"
    server.terminate()
    server.wait(10)


class Queue:
    """`nvdac queue` as a process, and a client of its manager."""

    def __init__(self, user: User, redis: str) -> None:
        self.log = user.folder / "queue.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*NVDAC, "queue", "--redis", redis],
                cwd=user.folder,
                env=user.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        said = until(lambda: re.search(r"ADDRESS=(\S+)", self.log.read_text()), 60, "the address", self.log.read_text)
        self._address = said.group(1)

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        # the protocol itself: the client that comes with the server leaves its ZeroMQ contexts open
        with zmq.Context() as context, context.socket(zmq.REQ) as link:
            link.linger = 0
            link.connect(self._address)
            link.send_json({"method": method, "params": parameters})
            return link.recv_json() if link.poll(5000) else {}

    def wait(self, ready: Callable[[dict[str, Any]], Any], what: str, timeout_s: float = 90.0) -> None:
        until(lambda: ready(self.ask("status")), timeout_s, what, lambda: self.log.read_text()[-3000:])

    def add(self, plan: str, group: str = "primary", **arguments: Any) -> dict[str, Any]:
        item = {"item_type": "plan", "name": plan, "kwargs": arguments}
        return self.ask("queue_item_add", item=item, user="somebody", user_group=group)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(90)


def test_a_queue_runs_plans_by_permission_and_leaves_the_rig_safe(
    module_user: User, site: Site, redis: str, pv: Callable[[str], Any]
) -> None:
    pytest.importorskip("bluesky_queueserver", reason="the extra `queueserver` is not installed")
    queue = Queue(module_user, redis)
    try:
        queue.wait(lambda now: now.get("manager_state") == "idle", "the manager")
        assert queue.ask("environment_open")["success"]
        queue.wait(lambda now: now.get("worker_environment_exists") and now["manager_state"] == "idle", "the worker")
        assert queue.add("magnetic_field", field_gauss=FIELD_GAUSS)["success"]
        assert queue.add("sweep", passes=1)["success"]
        assert "not in the list of allowed plans" in queue.add("history", group="visitors")["msg"]
        assert not queue.add("sweep", passes="many")["success"]
        assert queue.ask("queue_start")["success"]
        queue.wait(lambda now: now["items_in_history"] == 2 and now["manager_state"] == "idle", "two plans")
        field, sweep = queue.ask("history_get")["items"]
        assert [item["result"]["exit_status"] for item in (field, sweep)] == ["completed"] * 2, queue.log.read_text()
        stop = list(read_documents(documents_path(site.data_dir, sweep["result"]["run_uids"][0])))[-1]
        assert (stop[0], stop[1]["exit_status"]) == ("stop", "success")
        one_line(module_user.run("session"), "driven by nvdac queue (process", "leave that first")
        # a plan that runs when the queue is left is aborted: safe, and the field holds
        assert queue.add("sweep", passes=50)["success"]
        assert queue.ask("queue_start")["success"]
        wait_for_a_sweep_in_the_field(site, pv)
    finally:
        queue.close()
    assert queue.process.returncode == 128 + signal.SIGTERM
    assert {name: pv(name) for name in SAFE} == SAFE
    assert pv("MAG:FIELD_Z_GAUSS") == FIELD_GAUSS
    newest = max((Path(site.data_dir) / "documents").glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
    assert list(read_documents(newest))[-1][1]["exit_status"] == "abort"


def test_down_lets_a_running_plan_end_safely_and_then_ends_everything(
    module_user: User, site: Site, prompt: Callable[..., Prompt], pv: Callable[[str], Any]
) -> None:
    session = prompt(terminal=False)
    session.wait_for("RE.abort()")
    session.type("RE(history())")
    wait_for_a_sweep_in_the_field(site, pv)
    down = module_user.run("down", timeout_s=90)
    assert down.returncode == 0, down.stderr
    assert f"twin-s1: ended; data stay in {site.data_dir}" in down.stdout
    assert session.ended(10) == 128 + signal.SIGTERM
    assert "aborted unattended: microwave and laser are off, field and temperature hold" in session.said
    assert "nvdac: the session was terminated" in session.said
    assert not NOISE.search(session.said), session.said
    newest = max((Path(site.data_dir) / "documents").glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
    stop = list(read_documents(newest))[-1]
    assert (stop[0], stop[1]["exit_status"]) == ("stop", "abort")
    module_user.assert_nothing_left()
    assert (Path(site.data_dir) / "logs" / "camera.log").exists()
