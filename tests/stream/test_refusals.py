"""Refusals between real processes: each with a reason, and nobody else is disturbed."""

from __future__ import annotations

import numpy as np
import pytest
import zmq

from stream.builder_inbox import BuilderInbox
from stream.camera_control import CameraControl, CameraRefused
from stream.codec import decode, encode
from stream.link_messages import Hello, Refusal
from stream.state import StateSubscriber
from tests.faults.flow import alive, measure
from tests.stream.wire import Gathered, Rig, known_cube, run_start, sweep_request, wait_for

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def rig(tmp_path_factory):
    rigs: list[Rig] = []

    def make(**settings) -> Rig:
        rigs.append(Rig(tmp_path_factory.mktemp("w"), **settings))
        return rigs[-1]

    yield make
    for item in rigs:
        item.close()


def test_refusals_say_why(rig):
    flow = rig()
    flow.camera()
    with CameraControl(flow.settings, timeout_s=20) as control:
        assert control.describe()["height"] == 24
        with pytest.raises(CameraRefused, match="not open"):
            control.arm(sweep_request("nobody", 0))
        with pytest.raises(CameraRefused, match="letters, digits"):
            control.open_run(run_start("../etc"))
        control.open_run(run_start("run-r"))
        odd = sweep_request("run-r", 0)
        with pytest.raises(CameraRefused, match="the twin does not answer"):
            control.arm(type(odd)(**{**vars(odd), "load_index": 99}))
        control.arm(odd)
        with pytest.raises(CameraRefused, match="under way"):
            control.arm(sweep_request("run-r", 1))
        with pytest.raises(CameraRefused, match="not armed"):
            control.trigger("run-r", 5)
        assert control.close_run("run-r", "abort").sweeps == 1
        with pytest.raises(CameraRefused, match="closed already"):
            control.open_run(run_start("run-r"))


def test_hostile_bytes_and_strangers_are_refused_and_counted(rig):
    flow = rig()
    flow.camera()
    flow.worker("worker-0")
    context = zmq.Context()
    rng = np.random.default_rng(1)
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        control.open_run(run_start("run-h"))
        gathered.until(lambda: alive(gathered) == {"worker-0"}, 60, "the worker")
        for name in ("frames", "results", "camera"):
            socket = context.socket(zmq.DEALER)
            socket.setsockopt(zmq.LINGER, 100)
            socket.connect(flow.settings.endpoint(name))
            for size in (0, 1, 7, 300, 70_000):
                socket.send_multipart([rng.bytes(size), rng.bytes(size)])
            socket.send_multipart([b"n", *encode(Hello("worker", "worker-0", "e", "other schema", 1))])
            socket.send_multipart(encode(Hello("worker", "worker-0", "e", "other schema", 1)))
            gathered.until(lambda s=socket: s.poll(0), 60, "a refusal")
            parts = socket.recv_multipart()
            assert isinstance(decode(parts[1:] if name == "camera" else parts), Refusal)
            socket.close()
        measure(control, "run-h", 0)
        assert np.array_equal(gathered.until_cube("run-h", 0), known_cube(0, 10, 4))
        assert inbox.malformed > 0
    with StateSubscriber(flow.settings, ["camera"]) as state:
        counts = wait_for(lambda: state.poll(0.1) is not None and state.latest.get(("camera", "camera")), 60, "counts")
        assert counts.header["malformed"] > 0
    context.term()
