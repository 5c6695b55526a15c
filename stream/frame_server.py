"""The camera process's main loop: ring, recorder, leases and control around one frame maker.

Threads: the pump owns the maker and writes the ring, the recorder writes HDF5, the state publisher serves its sockets,
and this loop owns everything else. It never waits for a peer.
"""

from __future__ import annotations

import math
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType

import numpy as np
import zmq

from stream.archive_hdf5 import FramesError
from stream.camera_desk import CameraDesk, ended
from stream.camera_numbers import CameraNumbers
from stream.camera_runs import CameraRuns
from stream.camera_view import CameraView
from stream.dispatch import Dispatcher
from stream.doors import check_tcp, open_doors
from stream.frame_fetcher import FrameFetcher
from stream.frame_pump import GATHER_S, Armed, FramePump, Made
from stream.frame_recorder import FrameRecorder
from stream.frames import FrameMaker
from stream.leases import LeaseBook, band_step
from stream.link_messages import Heartbeat
from stream.messages import Archive, Json, RunStart, RunStop, Severity, SweepStart
from stream.metrics import ProcessMetrics
from stream.pixels import PixelMessages
from stream.reception import Reception
from stream.recover_frames import gather, part_again
from stream.ring import create_ring
from stream.roster import Peer, Roster
from stream.run_book import RunBook, SweepPhase, SweepRecord
from stream.settings import StreamSettings
from stream.slots import SlotLedger, SweepKey
from stream.slow_workers import SlowWatch
from stream.sockets import Listener, Waker, bind, open_socket
from stream.state import StatePublisher

VIEW_S = 0.2
"""Time between camera pictures on the state plane, s."""
HEALTH_S = 0.5
"""Time between health messages to the builder, s."""
PROGRESS_S = 0.1
"""Time between progress messages to the builder, s."""


class FrameServer:
    """Serves the frames of one maker to workers and builder.

    Parameters
    ----------
    settings
        Sockets, ring, bands and patience.
    maker
        Source of frames; its `arm` and `frame` are called from one thread of this server.
    info
        What the camera tells about itself: `pixel_size_um`, `noise` (fields of NoiseModel), `mode`, `regions`, ...

    Raises
    ------
    RingError
        Where there is no room for the ring.
    stream.doors.TcpRefused
        Where the TCP settings are refused.
    """

    def __init__(self, settings: StreamSettings, maker: FrameMaker, info: Json) -> None:
        self._settings = settings
        self.epoch = uuid.uuid4().hex
        self._stop = False
        self._closed = False
        check_tcp(settings)
        for folder in (settings.runtime_dir, settings.data_dir):
            Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._ring_path = Path(settings.runtime_dir) / "ring"
        # before the new ring takes the place of the one that a killed predecessor left
        self._left = gather(settings.data_dir, self._ring_path) if settings.archive is not Archive.NONE else []
        self._ring = create_ring(self._ring_path, settings.ring_mib, (maker.height, maker.width), maker.dtype)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._doors = open_doors(self._context, settings, "frames")
        self._desk = CameraDesk(open_socket(self._context, zmq.ROUTER))
        bind(self._desk.socket, settings.endpoint("camera"))
        self._waker = Waker()
        self._state = StatePublisher(settings, "camera")
        self._slots = SlotLedger(self._ring.slots, settings.full_policy)
        self._recorder = FrameRecorder(self._ring, self._slots, self._state.event)
        self._pump = FramePump(maker, self._ring, self._slots, self._recorder, self._waker)
        self._book = RunBook()
        self._leases = LeaseBook(maker.height, settings.bands)
        self._roster = Roster()
        books = (self._book, self._leases, self._slots)
        row_bytes = maker.width * np.dtype(maker.dtype).itemsize
        self._fetcher = FrameFetcher(self._waker.wake)
        pixels = PixelMessages(self._ring, self._fetcher, copy=settings.full_policy != "pause")
        self._dispatch = Dispatcher(books, self._roster, pixels, row_bytes, settings.credit_bytes)
        greeting = (self.epoch, str(self._ring_path), self._ring.epoch)
        self._slow = SlowWatch(self._book, self._leases, self._roster, settings.slow_after_s)
        door = (self._roster, self._dispatch, self._slow)
        self._reception = Reception(self._doors, greeting, books, door, self._state)
        parts = (self._book, self._slots, self._recorder, self._pump, self._desk)
        self._runs = CameraRuns(settings, maker, info, self.epoch, parts, self._announce)
        self._view = CameraView(self._state, self._ring, books, self._roster, self._pump)
        people, hands = (self._roster, self._dispatch, self._slow), (self._pump, self._recorder)
        self._numbers = CameraNumbers(books, people, hands, self._state.alarms)
        self._metrics = ProcessMetrics("camera", settings.metrics_port)
        self._due: dict[str, float] = {}

    def run(self) -> None:
        """Serve until `stop` is called."""
        listener = Listener(self._waker, *(door.socket for door in self._doors), self._desk.socket)
        self._recorder.start()
        self._pump.start()
        if self._left:
            threading.Thread(target=self._mend, name="frames-mender", daemon=True).start()
        beat_s = self._settings.heartbeat_s
        listened = time.monotonic()
        while not self._stop:
            ready = listener.wait(self._patience_ms())
            pause = time.monotonic() - listened
            if pause > 2 * beat_s:
                # nobody was listened to meanwhile: silence of that time is ours, not theirs
                self._roster.forgive(pause)
            listened = time.monotonic()
            self._reception.listen(ready)
            if self._desk.socket in ready:
                self._desk.serve(self._runs.handle)
            self._take_news()
            self._dispatch.send()
            self._desk.news(self._runs.progress)
            self._routine(beat_s)

    def _mend(self) -> None:
        """Make ordinary files of those that a killed predecessor left."""
        left, self._left = self._left, []
        for path, rescued in left:
            try:
                parted = part_again(path, rescued)
            except FramesError as error:
                self._state.event(Severity.MAJOR, f"{error}; `nvdac recover` tries again")
            else:
                if parted is not None:
                    severity = Severity.MAJOR if parted.damaged else Severity.MINOR
                    self._state.event(severity, parted.sentence())

    def stop(self) -> None:
        """Ask `run` to end; safe from a signal handler and from other threads."""
        self._stop = True
        self._waker.wake()

    def close(self) -> None:
        """End the threads, close files, sockets and ring; frames already made are on disk afterwards."""
        if self._closed:
            return
        self._closed = True
        for run in self._book.open_runs():
            self._runs.close_run(run.start.run_uid, "abort")
        self._pump.finish(1.0)
        self._recorder.finish(1.0)
        self._fetcher.finish(1.0)
        self._metrics.close()
        self._state.close()
        for door in self._doors:
            door.close()
        self._desk.socket.close()
        self._context.term()
        self._waker.close()
        self._ring_path.unlink(missing_ok=True)

    def __enter__(self) -> FrameServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _announce(self, message: RunStart | RunStop | SweepStart | SweepRecord) -> None:
        """Tell everyone of a run, a sweep or their end."""
        match message:
            case RunStart():
                self._state.alarms.release()
                for peer in self._roster.everyone():
                    self._dispatch.introduce_run(peer, self._book.runs[message.run_uid])
            case RunStop():
                for peer in self._roster.everyone():
                    self._roster.send(peer, message)
                self._reception.retire()
            case SweepStart():
                sweep = self._book.runs[message.run_uid].sweeps[message.sweep]
                for peer in self._roster.everyone():
                    self._dispatch.introduce(peer, sweep)
                step = band_step(self._book.runs[message.run_uid].start)
                self._dispatch.apply(self._leases.open_sweep(sweep.key, step))
            case SweepRecord():
                self._reception.abort(message)

    def _take_news(self) -> None:
        """Take what the pump did; frames that come fast are taken together, so that few messages announce many."""
        if not self._pump.urgent() and not self._is_due("news", GATHER_S):
            return
        latest: dict[SweepKey, Made] = {}
        while self._pump.news:
            news = self._pump.news.popleft()
            if isinstance(news, Armed):
                self._runs.armed(news)
            else:
                latest[news.key] = news
        for key, made in latest.items():
            self._made(key, made)

    def _made(self, key: SweepKey, made: Made) -> None:
        sweep = self._book.sweep(key)
        if sweep is None:
            return
        sweep.made, sweep.lost = made.count, made.lost
        if sweep.phase is SweepPhase.ABORTED:
            return
        if made.reason:
            sweep.phase, sweep.reason = SweepPhase.ABORTED, made.reason
            self._state.event(Severity.MAJOR, f"sweep {key[1]} ended early: {made.reason}")
            self._reception.abort(sweep)
        elif made.ended or made.count >= sweep.total:
            sweep.phase = SweepPhase.SENT
            self._due["progress"] = 0.0
        self._dispatch.wake(key)

    def _routine(self, beat_s: float) -> None:
        """Do what is due: beats, deaths, health, progress, pictures."""
        if self._is_due("beat", beat_s):
            for peer in self._roster.everyone():
                self._roster.flush(peer)
                self._roster.offer(peer, Heartbeat("camera", self.epoch))
        self._reception.check(beat_s * self._settings.dead_after_missed)
        builder = self._roster.builder
        if builder is not None and self._is_due("progress", PROGRESS_S):
            self._tell_progress(builder)
        if builder is not None and (self._reception.changed or self._is_due("health", HEALTH_S)):
            self._reception.changed = False
            for health in self._roster.health(self._reception.bands()):
                self._roster.send(builder, health)
        if self._is_due("view", VIEW_S):
            self._end_spoilt()
            self._view.show(self._counts())
            self._numbers.watch()
            self._metrics.replace(self._numbers.read(self._reception.malformed + self._desk.malformed))

    def _end_spoilt(self) -> None:
        """End the sweeps that were sent whole and cannot be kept: a map of theirs could not be made again."""
        for key, reason in list(self._recorder.spoilt.items()):
            sweep = self._book.sweep(key)
            if sweep is not None and sweep.phase is SweepPhase.SENT:
                sweep.phase, sweep.reason = SweepPhase.ABORTED, reason
                self._state.event(Severity.MAJOR, f"sweep {key[1]} ended: {reason}")
                self._reception.abort(sweep)

    def _counts(self) -> Json:
        """Return what is counted, for the state plane."""
        return {
            "reassignments": self._dispatch.reassignments,
            "slow_moves": self._slow.moves,
            "malformed": self._reception.malformed + self._desk.malformed,
            "refused": self._reception.refused,
            "denied": sum(door.denied for door in self._doors),
        }

    def _patience_ms(self) -> int:
        """Return how long nothing is due: everything that has its time is looked at with the beats."""
        return max(1, math.ceil((self._due.get("beat", 0.0) - time.monotonic()) * 1000))

    def _is_due(self, what: str, interval_s: float) -> bool:
        now = time.monotonic()
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + interval_s
        return True

    def _tell_progress(self, builder: Peer) -> None:
        for run in self._book.runs.values():
            for sweep in run.sweeps.values():
                progress = sweep.progress()
                now = (progress.frames_sent, ended(progress))
                if builder.progress.get(sweep.key) != now:
                    builder.progress[sweep.key] = now
                    self._roster.send(builder, progress)
