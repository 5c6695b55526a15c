"""Keys: who is not admitted gets not one message through, and nobody else notices."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import zmq

from stream import keys
from stream.builder_inbox import BuilderInbox
from stream.camera_control import CameraControl
from stream.codec import SCHEMA_HASH, encode
from stream.doors import TcpRefused, check_connect, check_tcp
from stream.frame_server import FrameServer
from stream.link_messages import Hello
from stream.messages import WorkerHealth
from stream.settings import StreamSettings
from stream.state import StateSubscriber
from tests.stream.wire import Gathered, KnownMaker, Rig, free_ports, known_cube, run_start, sweep_request, wait_for

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """This process's keys: those of the camera's host."""
    for variable in (keys.SECRET_VARIABLE, keys.SERVER_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(keys.FOLDER_VARIABLE, str(tmp_path / "camera"))
    return tmp_path / "camera"


def other_host(folder: Path, monkeypatch, server: str) -> str:
    """Make the keys of a worker's host in its own folder; returns its public key."""
    with monkeypatch.context() as patch:
        patch.setenv(keys.FOLDER_VARIABLE, str(folder))
        public = keys.new_pair()
        keys.set_server_key(server)
    return public


@pytest.fixture
def rig(tmp_path_factory, folder):
    keys.new_pair()
    made = Rig(tmp_path_factory.mktemp("w"), tcp_port=free_ports(), curve=True, dead_after_missed=30)
    yield made
    made.close()


def alive(gathered: Gathered) -> set[str]:
    latest = {event.worker: event for event in gathered.events if isinstance(event, WorkerHealth)}
    return {name for name, health in latest.items() if health.alive}


def counts(settings: StreamSettings, enough) -> dict:
    with StateSubscriber(settings, ["camera"]) as state:

        def header():
            state.poll(0.1)
            update = state.latest.get(("camera", "camera"))
            return update.header if update is not None and enough(update.header) else None

        return wait_for(header, 60, "counts of the camera")


def stranger(context: zmq.Context, endpoint: str, server: str | None) -> zmq.Socket:
    """A socket that nobody admitted; without `server` it does not even ask for encryption."""
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.IDENTITY, b"stranger")
    if server is not None:
        public, secret = zmq.curve_keypair()
        socket.setsockopt(zmq.CURVE_SERVERKEY, server.encode())
        socket.setsockopt(zmq.CURVE_PUBLICKEY, public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, secret)
    socket.connect(endpoint)
    return socket


@contextlib.contextmanager
def destroyed(context: zmq.Context):
    """Close every socket of a context at the end, whatever happened."""
    try:
        yield context
    finally:
        context.destroy(linger=0)


def test_an_unknown_key_gets_not_one_message_through(rig, folder, tmp_path, monkeypatch):
    server = keys.own_pair()[0]
    keys.allow("lab2", other_host(tmp_path / "lab2", monkeypatch, server))
    rig.camera(rate_hz=100)
    rig.worker("worker-0")
    rig.tcp_worker("away-0", keys=tmp_path / "lab2")
    with (
        BuilderInbox(rig.settings) as inbox,
        CameraControl(rig.settings, timeout_s=60) as control,
        destroyed(zmq.Context()) as context,
    ):
        gathered = Gathered(inbox)
        control.open_run(run_start("run"))
        gathered.until(lambda: alive(gathered) == {"worker-0", "away-0"}, 60, "both workers")
        ends = [rig.settings.tcp_endpoint(name) for name in ("frames", "results")]
        strangers = [stranger(context, end, with_key) for end in ends for with_key in (server, None)]
        control.arm(sweep_request("run", 0))
        control.trigger("run", 0)
        hello = [bytes(part) for part in encode(Hello("worker", "stranger", "e", SCHEMA_HASH, 1))]
        for number in range(400):
            for socket in strangers:
                with contextlib.suppress(zmq.Again):  # nobody takes it
                    socket.send_multipart(hello if number % 2 else [os.urandom(100)], zmq.NOBLOCK)
        assert np.array_equal(gathered.until_cube("run", 0), known_cube(0, 10, 4))
        told = counts(rig.settings, lambda header: header["denied"] >= 1)
        assert told["malformed"] == 0
        assert inbox.malformed == 0
        assert all(socket.poll(0) == 0 for socket in strangers)
        assert {tile.worker for tile in gathered.finals.values()} == {"worker-0", "away-0"}
        assert alive(gathered) == {"worker-0", "away-0"}
        health = [e for e in gathered.events if isinstance(e, WorkerHealth)]
        assert all(item.leases_lost == 0 for item in health)
        assert "stranger" not in {item.worker for item in health}


def test_a_host_is_admitted_and_locked_out_without_a_restart(rig, folder, tmp_path, monkeypatch):
    server = keys.own_pair()[0]
    first = other_host(tmp_path / "lab2", monkeypatch, server)
    rig.camera()
    worker = rig.tcp_worker("away-0", keys=tmp_path / "lab2")
    with BuilderInbox(rig.settings) as inbox:
        gathered = Gathered(inbox)
        counts(rig.settings, lambda header: header["denied"] >= 1)
        assert alive(gathered) == set()
        keys.allow("lab2", first)
        gathered.until(lambda: alive(gathered) == {"away-0"}, 60, "the worker")
        # a host changes its key: both are admitted for a while, then the new one alone
        with monkeypatch.context() as patch:
            patch.setenv(keys.FOLDER_VARIABLE, str(tmp_path / "lab2"))
            second = keys.new_pair(replace=True)
        keys.allow("lab2", second)
        rig.kill(worker)
        worker = rig.tcp_worker("away-1", keys=tmp_path / "lab2")
        gathered.until(lambda: alive(gathered) == {"away-1"}, 60, "the worker with the new key")
        assert keys.revoke("lab2", first) == 1
        assert keys.revoke("lab2") == 1
        before = counts(rig.settings, lambda header: True)["denied"]
        rig.kill(worker)
        rig.tcp_worker("away-2", keys=tmp_path / "lab2")
        assert counts(rig.settings, lambda header: header["denied"] > before)
        gathered.until(lambda: alive(gathered) == set(), 60, "nobody left")


def test_other_hosts_without_keys_are_refused_at_the_start(tmp_path, folder):
    settings = StreamSettings(str(tmp_path / "r"), str(tmp_path / "d"), ring_mib=1, tcp_port=free_ports())
    check_tcp(settings)
    open_ = StreamSettings(str(tmp_path / "r"), str(tmp_path / "d"), ring_mib=1, tcp_port=7701, tcp_host="0.0.0.0")
    with pytest.raises(TcpRefused, match="not loopback: other hosts need keys") as refused:
        FrameServer(open_, KnownMaker(), {})
    assert "\n" not in str(refused.value)
    with pytest.raises(keys.KeysError, match="this host has no key"):
        check_tcp(StreamSettings("r", "d", tcp_port=7701, tcp_host="0.0.0.0", curve=True))
    for host, port in (("lab2", 7701), ("127.0.0.1", 80), ("127.0.0.1", 65535), ("", 7701)):
        with pytest.raises(TcpRefused):
            check_tcp(StreamSettings("r", "d", tcp_port=port, tcp_host=host))


@pytest.mark.parametrize("address", ["lab:7701", "tcp://lab", "tcp://lab:99999", "tcp://lab:7701;x", "ipc:///tmp/x"])
def test_addresses_that_are_none_are_refused(address):
    with pytest.raises(TcpRefused, match="no address"):
        check_connect(StreamSettings("r", "d", connect=address))


def test_a_worker_does_not_speak_to_another_host_in_plain_text(folder):
    with pytest.raises(TcpRefused, match="refused without keys"):
        check_connect(StreamSettings("r", "d", connect="tcp://192.0.2.7:7701"))
    check_connect(StreamSettings("r", "d", connect="tcp://127.0.0.1:7701"))
    keys.new_pair()
    with pytest.raises(keys.KeysError, match="key of the camera's host is not known"):
        check_connect(StreamSettings("r", "d", connect="tcp://192.0.2.7:7701", curve=True))


def test_keys_are_for_their_owner_alone(folder, monkeypatch):
    public = keys.new_pair()
    keys.allow("lab2", public)
    keys.set_server_key(public)
    for name in ("secret", "allowed", "server"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    secret = (folder / "secret").read_text()
    (folder / "secret").chmod(0o640)
    with pytest.raises(keys.KeysError, match="chmod 600") as refused:
        keys.own_pair()
    assert secret not in str(refused.value)
    (folder / "secret").chmod(0o600)
    with pytest.raises(keys.KeysError, match="there is a key"):
        keys.new_pair()
    assert keys.own_pair() == (public, secret)
    monkeypatch.setenv(keys.SECRET_VARIABLE, "not a key")
    with pytest.raises(keys.KeysError, match="NVDAC_SECRET_KEY is not a key"):
        keys.own_pair()
    (folder / "allowed").write_text("lab2 short\n")
    with pytest.raises(keys.KeysError, match="is not a key"):
        keys.allowed()


def test_keys_are_not_made_within_a_repository(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv(keys.FOLDER_VARIABLE, str(tmp_path / "sub" / "keys"))
    with pytest.raises(keys.KeysError, match="repository"):
        keys.new_pair()
    assert not (tmp_path / "sub").exists()


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "-x", "x" * 65])
def test_names_that_would_break_the_list_are_refused(folder, name):
    with pytest.raises(keys.KeysError, match="is no name"):
        keys.allow(name, keys.new_pair())
