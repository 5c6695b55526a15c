"""A stored run played again gives the frames, states and sums of the live one."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest

from stream.archive_hdf5 import FrameFile, FramesError, FrameWriter, crc32c
from stream.builder_inbox import BuilderInbox
from stream.camera_control import CameraControl, CameraRefused
from stream.messages import FieldHistory, RunStart, StatePoint, SweepRequest, SweepRole, SweepStart
from stream.replay import ReplayMaker, drive, replay_rate_hz
from tests.stream.wire import Gathered, Rig, known_cube, known_frame, run_start, sweep_request

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def rig(tmp_path_factory):
    rigs: list[Rig] = []

    def make(**settings) -> Rig:
        rigs.append(Rig(tmp_path_factory.mktemp("w"), **settings))
        return rigs[-1]

    yield make
    for item in rigs:
        item.close()


def request_of(stored: SweepStart, **changes) -> SweepRequest:
    request = SweepRequest(stored.run_uid, stored.sweep, stored.role, stored.frequency_mhz, stored.passes)
    return dataclasses.replace(request, **changes)


def write_run(path, roles, gap_s=0.01, cut=()) -> None:
    """A run of known frames; sweeps in `cut` lack their last frame."""
    start = dataclasses.replace(run_start("run-r"), height=24, width=16, dtype="<u2")
    with FrameWriter(path, start) as writer:
        for number, role in roles.items():
            state = StatePoint(20.0 + number, 19.0, 150.0, 97.0, FieldHistory.ZFC_FW, 3)
            frequency = np.linspace(2800.0, 3400.0, 6)
            writer.add_sweep(SweepStart("run-r", number, role, state, frequency, 2, {"seed": number}))
            for k in range(12 - (number in cut)):
                frame = known_frame(number, k // 6, k % 6)
                time_s = 1000.0 + 1.0 * number + gap_s * k
                writer.append(number, k // 6, k % 6, frequency[k % 6], frame, crc32c(frame), time_s)


@pytest.fixture
def stored(tmp_path):
    roles = {0: SweepRole.OPENING_REFERENCE, 2: SweepRole.WARMING, 5: SweepRole.CLOSING_REFERENCE}
    write_run(tmp_path / "run-r.h5", roles, cut=(2,))
    return tmp_path / "run-r.h5"


def test_maker_gives_stored_states_and_frames(stored):
    maker = ReplayMaker(stored)
    with FrameFile(stored) as file:
        first = file.sweeps[2]
    state, source = maker.arm(request_of(first))
    assert (state, source) == (first.state, {"seed": 5})
    assert maker.frame(1, 3).tobytes() == known_frame(5, 1, 3).tobytes()
    assert (maker.height, maker.width, maker.dtype, maker.frame_rate_hz) == (24, 16, "<u2", 0.0)
    for changes in ({"sweep": 1}, {"passes": 3}, {"frequency_mhz": np.arange(6.0)}):
        with pytest.raises(FramesError):
            maker.arm(request_of(first, **changes))
    maker.close()


def test_rate_follows_the_recorded_one(stored):
    with FrameFile(stored) as file:
        assert replay_rate_hz(file, 0.0) == 0.0
        assert replay_rate_hz(file, 3.0) == pytest.approx(300.0, rel=1e-6)
        assert [sweep.sweep for sweep in file.complete_sweeps()] == [0, 5]


def test_replay_of_a_live_run_gives_the_same_bits(rig):
    live = rig()
    live.camera()
    live.worker("worker-0")
    with BuilderInbox(live.settings) as inbox, CameraControl(live.settings) as control:
        gathered = Gathered(inbox)
        recorded = control.open_run(run_start("run-a"))
        for sweep in range(2):
            control.arm(sweep_request("run-a", sweep))
            control.trigger("run-a", sweep)
            gathered.until_cube("run-a", sweep)
        control.close_run("run-a", "success")
    live.close()
    again = rig(archive="none")
    again.start("replay_process", recorded.frames_path, "0")
    again.worker("worker-0")
    again.worker("worker-1")
    told: list[int] = []
    with (
        BuilderInbox(again.settings) as inbox,
        CameraControl(again.settings) as control,
        FrameFile(recorded.frames_path) as file,
    ):
        gathered = Gathered(inbox)
        stop = drive(control, file, {"lines": 2}, progress=told.append)
        for sweep in range(2):
            assert np.array_equal(gathered.until_cube("run-a", sweep), known_cube(sweep, 10, 4))
        assert (stop.run_uid, stop.exit_status, stop.sweeps, stop.frames_sent) == ("run-a", "success", 2, 80)
        assert told == [40, 40]
        opened = next(event for event in gathered.events if isinstance(event, RunStart))
        assert (opened.mode, opened.analysis) == ("REPLAY", {"lines": 2})
        assert (opened.noise, opened.pixel_size_um) == (recorded.noise, recorded.pixel_size_um)
        sweeps = {event.sweep: event for event in gathered.events if isinstance(event, SweepStart)}
        assert sweeps[1].state == StatePoint(20.0, 20.0, 20.0, 97.0, FieldHistory.ZFC_FW)
        assert (sweeps[1].role, sweeps[1].source_state) == (SweepRole.WARMING, {"seed": 1})
    assert not list((again.folder / "d").glob("frames/*")), "a replay records nothing"


def test_numbers_roles_and_pace_are_kept(rig, stored):
    flow = rig(archive="none")
    with FrameFile(stored) as file:
        flow.start("replay_process", str(stored), str(replay_rate_hz(file, 10.0)))
        with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
            gathered = Gathered(inbox)
            control.describe()
            started = time.monotonic()
            stop = drive(control, file, speed=10.0)
            # the last sweep began 5 s after the first
            assert 0.5 <= time.monotonic() - started < 10
            assert stop.frames_sent == 24
            found = lambda: {e.sweep: e.role for e in gathered.events if isinstance(e, SweepStart)}  # noqa: E731
            gathered.until(lambda: len(found()) == 2, 10, "sweeps")
            assert found() == {0: SweepRole.OPENING_REFERENCE, 5: SweepRole.CLOSING_REFERENCE}


def test_another_run_is_refused_and_the_run_closed(rig, stored, tmp_path):
    write_run(tmp_path / "short.h5", {0: SweepRole.SINGLE})
    flow = rig(archive="none")
    flow.start("replay_process", str(tmp_path / "short.h5"), "0")
    with FrameFile(stored) as file, CameraControl(flow.settings) as control:
        with pytest.raises(CameraRefused, match="has no sweep 5"):
            drive(control, file)
        assert control.close_run("run-r", "success").exit_status == "fail"
