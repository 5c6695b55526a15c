"""A fitting worker's link: bands and frames in, tiles out, alive through long fits."""

from __future__ import annotations

import logging
import queue
import time
from collections import deque
from types import TracebackType

from stream.bands import (
    Band,
    BandFrame,
    BandGranted,
    BandLost,
    BandPart,
    BandRevoked,
    BandSum,
    FrameSource,
    Taken,
    WorkerEvent,
)
from stream.link_messages import (
    Ack,
    BandPixels,
    BandSums,
    FramesReady,
    LeaseGrant,
    LeaseReturn,
    LeaseRevoke,
    ReplayRequest,
    SpectrumAnswer,
    Welcome,
)
from stream.messages import Json, RunStart, RunStop, SpectrumReply, SpectrumRequest, SweepAbort, SweepStart, Tile
from stream.ring import RingError
from stream.settings import StreamSettings
from stream.slots import SweepKey
from stream.worker_io import SessionEnded, WorkerIo

MAX_FRAMES = 256
"""Most frames that one poll returns."""
KEEP_RUNS = 2
"""Runs whose finals are kept for a builder that begins again."""
MAX_RUNS = 16
"""Runs that are known at once, as many as the frame server remembers: a band of any of them may be granted."""

__all__ = ["BandFrame", "BandGranted", "BandLost", "BandRevoked", "BandSum", "WorkerEvent", "WorkerLink"]

_log = logging.getLogger(__name__)


class WorkerLink:
    """Link of one worker to the frame server and the builder; heartbeats go on while a fit runs without the GIL.

    Every frame of a band is given exactly once per lease, in order. All methods are for one thread.

    Parameters
    ----------
    settings
        Where the sockets are.
    worker
        Name of the worker, unique on the rig.
    """

    def __init__(self, settings: StreamSettings, worker: str) -> None:
        self.worker = worker
        self._io = WorkerIo(settings, worker)
        self._source = FrameSource(copy=settings.full_policy != "pause")
        self._runs: dict[str, RunStart] = {}
        self._sweeps: dict[SweepKey, SweepStart] = {}
        self._bands: dict[tuple[SweepKey, int], Band] = {}
        self._events: deque[WorkerEvent] = deque()
        self._ready: deque[FramesReady | BandPixels | BandSums] = deque()
        self._touched: dict[tuple[SweepKey, int], Band] = {}
        # acknowledgements go with the next beat unless half of the credits wait for them
        self._hurry_bytes = settings.credit_bytes // 2
        self._unsaid_bytes = 0
        self.duplicates = 0
        self.refused_tiles = 0
        self.tiles_sent = 0
        self.frames_added = 0
        self._io.start()

    def poll(self, timeout_s: float) -> list[WorkerEvent]:
        """Return what happened, in order; empty after `timeout_s` without news. Sends the acknowledgements so far."""
        self._flush_acks()
        until = time.monotonic() + timeout_s
        while True:
            self._drain()
            self._take_frames()
            if self._events:
                return [self._events.popleft() for _ in range(len(self._events))]
            left = until - time.monotonic()
            if left <= 0:
                return []
            try:
                self._handle(self._io.inbox.get(timeout=left))
            except queue.Empty:
                return []

    def acknowledge(self, frame: BandPart) -> bool:
        """Say that the frame (or sum) is in the cube, or the hole is counted.

        Returns
        -------
        bool
            False where the lease has ended or the pixels changed under the reader: the cube is spoilt and `BandRevoked`
            follows.
        """
        key = (frame.run_uid, frame.sweep)
        band = self._bands.get((key, frame.y0))
        if band is None or band.lease != frame.lease:
            return False
        if isinstance(frame, BandLost | BandSum):
            band.account(frame)
            self._unsaid_bytes += frame.sums.nbytes if isinstance(frame, BandSum) else 0
            self._touched[key, frame.y0] = band
            return True
        number = frame.pass_index * len(band.sweep.frequency_mhz) + frame.index
        if not band.add(number, self._source):
            self._io.post(LeaseReturn(*key, frame.y0, band.lease, "the ring moved on while the frame was read"))
            self._revoke(key, frame.y0)
            return False
        self._touched[key, frame.y0] = band
        self._unsaid_bytes += frame.pixels.nbytes
        self.frames_added += 1
        return True

    def send_tile(self, tile: Tile) -> None:
        """Send a copy of a tile; a newer provisional one replaces it, a final one is kept until the builder has it.

        A tile of a lease that has ended is dropped and counted.

        Raises
        ------
        ValueError
            Where a final tile is sent of a band that lacks frames.
        """
        band = self._bands.get(((tile.run_uid, tile.sweep), tile.y0))
        if band is None or band.lease != tile.lease:
            self.refused_tiles += 1
            return
        if tile.final and band.added != band.total:
            raise ValueError(f"final tile with {band.added} of {band.total} frames added")
        self.tiles_sent += 1
        self._io.tiles.put(tile)
        self._io.wake()

    def requests(self) -> list[tuple[int, SpectrumRequest]]:
        """Return the builder's questions (token, question) since the last call."""
        asks = self._io.asks
        return [(ask.token, ask.request) for ask in (asks.popleft() for _ in range(len(asks)))]

    def reply(self, token: int, reply: SpectrumReply) -> None:
        """Answer a question."""
        self._io.answer(SpectrumAnswer(token, reply))

    def report(self, stats: Json) -> None:
        """Set the numbers that travel with the heartbeats: `fits_per_s`, `busy_fraction`, ..."""
        self._io.stats = dict(stats)

    def numbers(self) -> dict[str, float]:
        """Return the link's metrics (`stream.metrics.KINDS`)."""
        return {
            "frames_in": self.frames_added,
            "frames_duplicate": self.duplicates,
            "tiles_sent": self.tiles_sent,
            "tiles_refused": self.refused_tiles,
            "messages_refused": self._io.malformed,
            "queue_messages": self._io.inbox.qsize() + len(self._events),
        }

    def unaccepted(self) -> int:
        """Return how many final tiles the builder has not confirmed yet."""
        return self._io.tiles.unaccepted()

    def close(self) -> None:
        """Say goodbye and close."""
        self._flush_acks()
        self._io.finish()
        self._source.close()

    def __enter__(self) -> WorkerLink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _drain(self) -> None:
        while True:
            try:
                self._handle(self._io.inbox.get_nowait())
            except queue.Empty:
                return

    def _handle(self, message: object) -> None:
        match message:
            case FramesReady() | BandPixels() | BandSums():
                self._ready.append(message)
            case LeaseGrant():
                self._grant(message)
            case LeaseRevoke():
                band = self._bands.get(((message.run_uid, message.sweep), message.y0))
                if band is not None and band.lease == message.lease:
                    self._revoke((message.run_uid, message.sweep), message.y0)
            case RunStart():
                self._start_run(message)
            case SweepStart():
                self._sweeps[message.run_uid, message.sweep] = message
            case SweepAbort():
                self._abort((message.run_uid, message.sweep))
            case RunStop() if message.run_uid in self._runs:
                self._events.append(message)
            case Welcome():
                self._welcome(message)
            case SessionEnded():
                self._ready.clear()
                for key, y0 in list(self._bands):
                    self._revoke(key, y0)
            case _:
                pass

    def _welcome(self, welcome: Welcome) -> None:
        if not welcome.ring_path:
            return
        try:
            self._source.open(welcome.ring_path, welcome.ring_epoch)
        except RingError as error:
            # the server was restarted again meanwhile: its successor's ring is the one to open
            _log.warning("%s", error)
            self._io.say_hello_again()

    def _start_run(self, start: RunStart) -> None:
        if start.run_uid in self._runs:
            return
        self._runs[start.run_uid] = start
        self._source.paths[start.run_uid] = start.frames_path
        self._forget_old_runs()
        self._events.append(start)

    def _forget_old_runs(self) -> None:
        """Forget the oldest of too many runs, and the finals of all but the newest, unless something is unfinished."""
        busy = self._io.tiles.waiting_runs()
        busy |= {key[0] for (key, _), band in self._bands.items() if band.added < band.total}
        for old in [uid for uid in list(self._runs)[:-MAX_RUNS] if uid not in busy]:
            del self._runs[old]
            self._source.forget(old)
            self._sweeps = {key: sweep for key, sweep in self._sweeps.items() if key[0] != old}
            self._bands = {band: value for band, value in self._bands.items() if band[0][0] != old}
        self._io.tiles.drop_runs(busy | set(list(self._runs)[-KEEP_RUNS:]))

    def _grant(self, grant: LeaseGrant) -> None:
        key = (grant.run_uid, grant.sweep)
        run, sweep = self._runs.get(grant.run_uid), self._sweeps.get(key)
        if grant.worker != self.worker:
            return
        if run is None or sweep is None:
            # an old run whose last owner died: all is told again to who says hello
            _log.warning("a band of sweep %d of run %s, which is forgotten here: beginning again", *reversed(key))
            self._io.say_hello_again()
            return
        if (key, grant.y0) in self._bands:
            self._revoke(key, grant.y0)
        self._bands[key, grant.y0] = Band(run, sweep, grant.y0, grant.y1, grant.lease)
        self._events.append(BandGranted(run, sweep, grant.y0, grant.y1, grant.lease))

    def _revoke(self, key: SweepKey, y0: int) -> None:
        band = self._bands.pop((key, y0), None)
        if band is None:
            return
        self._touched.pop((key, y0), None)
        self._io.tiles.drop_band(key, y0)
        self._events = deque(
            event
            for event in self._events
            if not (isinstance(event, BandFrame | BandLost | BandSum) and (event.lease, event.y0) == (band.lease, y0))
        )
        self._events.append(BandRevoked(*key, y0, band.y1, band.lease))

    def _abort(self, key: SweepKey) -> None:
        for band_key, y0 in [item for item in self._bands if item[0] == key]:
            self._revoke(band_key, y0)
        self._io.tiles.drop_sweep(key)
        self._sweeps.pop(key, None)

    def _take_frames(self) -> None:
        """Turn descriptors into views: each number once and in order; a gap is asked for again."""
        while self._ready and len(self._events) < MAX_FRAMES:
            ready = self._ready[0]
            band = self._bands.get(((ready.run_uid, ready.sweep), ready.y0))
            if band is None or band.lease != ready.lease:
                self._ready.popleft()
                continue
            room = MAX_FRAMES - len(self._events)
            taken = self._taken(band, ready, room)
            self._events.extend(taken.frames)
            self.duplicates += taken.duplicates
            if taken.duplicates:
                # whoever sends what is known may have missed the word that it is
                self._touched[(ready.run_uid, ready.sweep), ready.y0] = band
            if taken.missing is not None:
                key = (ready.run_uid, ready.sweep, ready.y0)
                self._io.post(ReplayRequest(*key, ready.lease, taken.missing))
            if taken.rest is None:
                self._ready.popleft()
            else:
                self._ready[0] = taken.rest

    def _taken(self, band: Band, ready: FramesReady | BandPixels | BandSums, room: int) -> Taken:
        if isinstance(ready, FramesReady):
            return band.take(ready, self._source, room)
        try:
            return band.take_sums(ready) if isinstance(ready, BandSums) else band.take_pixels(ready, room)
        except ValueError as error:
            self._io.count_malformed(str(error))
            return Taken()

    def _flush_acks(self) -> None:
        """Send one cumulative acknowledgement per band that changed."""
        if self._touched:
            now = self._unsaid_bytes >= self._hurry_bytes or any(b.added >= b.total for b in self._touched.values())
            self._unsaid_bytes = 0 if now else self._unsaid_bytes
            acks = [Ack(*key, y0, band.lease, band.added) for (key, y0), band in self._touched.items()]
            self._touched.clear()
            self._io.post(*acks, now=now)
