"""A worker that only sums: SETTINGS NAME [slow SECONDS]; sends the sums as planes."""

import logging
import signal
import sys
import threading

import numpy as np

from stream.messages import Tile
from stream.settings import StreamSettings, load_settings
from stream.worker_link import BandFrame, BandGranted, BandLost, BandRevoked, BandSum, WorkerLink


class Summer:
    """Cubes of the bands that are ours."""

    def __init__(self, link, name, slow_s):
        self.link, self.name, self.slow_s = link, name, slow_s
        self.cubes = {}
        self.granted = {}
        self.seen = {}
        self.lost = {}
        self.pause = threading.Event()

    def take(self, event):
        match event:
            case BandGranted():
                key = (event.run.run_uid, event.sweep.sweep, event.y0)
                shape = (len(event.sweep.frequency_mhz), event.y1 - event.y0, event.run.width)
                self.granted[key] = event
                self.seen[key], self.lost[key] = np.zeros((2, shape[0]), int)
                self.cubes[key] = np.zeros(shape, np.uint32)
            case BandRevoked():
                self.cubes.pop((event.run_uid, event.sweep, event.y0), None)
            case BandFrame() | BandLost() | BandSum():
                self.add(event)
            case _:
                pass

    def add(self, frame):
        key = (frame.run_uid, frame.sweep, frame.y0)
        if key not in self.cubes:
            return
        seen, lost = self.seen[key], self.lost[key]
        match frame:
            case BandFrame():
                self.cubes[key][frame.index] += frame.pixels
                seen[frame.index] += 1
            case BandLost():
                seen[frame.index] += 1
                lost[frame.index] += 1
            case BandSum():
                self.cubes[key][frame.index] = frame.sums
                seen[frame.index], lost[frame.index] = frame.passes_done, frame.passes_done - frame.frames
        if self.slow_s:
            self.pause.wait(self.slow_s)
        if not self.link.acknowledge(frame):
            return
        granted = self.granted[key]
        total = granted.sweep.passes * len(granted.sweep.frequency_mhz)
        if seen.sum() == total or seen.sum() % 7 == 0:
            self.send(key, granted, total)

    def send(self, key, granted, total):
        seen, lost = int(self.seen[key].sum()), int(self.lost[key].sum())
        passes = (self.seen[key] - self.lost[key]).astype("<u4")
        tile = Tile(
            key[0], key[1], granted.y0, granted.y1, granted.lease, seen, seen == total, seen - lost, self.name,
            {"cube": self.cubes[key]}, {"passes": passes}, lost,
        )  # fmt: skip
        self.link.send_tile(tile)


def main():
    logging.basicConfig(level=logging.INFO)
    settings, name = load_settings(StreamSettings, sys.argv[1]), sys.argv[2]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with WorkerLink(settings, name) as link:
        summer = Summer(link, name, float(sys.argv[3]) if len(sys.argv) > 3 else 0.0)
        link.report({"fits_per_s": 1.0})
        while not stop.is_set():
            for event in link.poll(0.1):
                summer.take(event)


if __name__ == "__main__":
    main()
