"""Does the whole stream hold its rate: frames from memory, two fitting workers, the builder and the archive.

`python -m benchmarks.stream_load [--seconds 60] [--size 512] [--rate 200] [--archive sums] [--passes 4] [--json FILE]`;
`make soak` runs the long ones. `frames_lost` is what counts; `held` says whether the camera kept its rate.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from analyzers.settings import BuilderProcess, WorkerProcess
from stream.archive_hdf5 import FrameFile
from stream.camera_control import CameraControl, CameraRefused
from stream.health import ready_path
from stream.messages import (
    Archive,
    FieldHistory,
    Json,
    NoiseModel,
    RunMode,
    RunStart,
    StatePoint,
    SweepRequest,
    SweepRole,
)
from stream.settings import StreamSettings, dump_settings
from stream.state import StateSubscriber

FREQUENCY_MHZ = np.concatenate(
    [np.linspace(2825.0, 2889.0, 17), np.linspace(3050.0, 3310.0, 53), np.linspace(3369.0, 3433.0, 17)]
)
CENTRES_MHZ, DIPS, FWHM_MHZ = (2857.0, 3130.0, 3230.0, 3401.0), (0.02, 0.012, 0.012, 0.02), 16.0
NOISE = NoiseModel("gain", 8.0)
START_S, END_S = 600.0, 300.0
"""Patience with the processes' start (a first one compiles) and with the last maps, s."""
BUSY_PAUSE_S = 0.02
WEIGH_S = 0.5
"""Time between looks at the memory, s."""
LOG = logging.getLogger("benchmarks.stream_load")


@dataclass(frozen=True)
class Load:
    """What is asked of the stream."""

    seconds: float = 60.0
    size: int = 512
    rate_hz: float = 200.0
    archive: Archive = Archive.FRAMES
    passes: int = 4
    workers: int = 2
    ring_mib: int = 256
    stop_at: int = -1
    """Sweep in which the workers stand still until the camera waits; none where negative."""


class SpectrumMaker:
    """Frames with four dips per pixel and shot noise, made once and sent again and again."""

    dtype = "<u2"

    def __init__(self, size: int, rate_hz: float) -> None:
        self.height = self.width = size
        self.frame_rate_hz = rate_hz
        self._frames = [self._make(frequency_mhz, size) for frequency_mhz in FREQUENCY_MHZ]

    def arm(self, request: SweepRequest) -> tuple[StatePoint, Json]:
        """Freeze nothing but the temperature, which travels as the load index."""
        temperature_k = float(request.load_index)
        return StatePoint(temperature_k, temperature_k, temperature_k, 97.0, FieldHistory.ZFC_FW), {}

    def frame(self, pass_index: int, index: int) -> NDArray[np.uint16]:
        """Return a frame that is in memory."""
        return self._frames[index]

    def _make(self, frequency_mhz: float, size: int) -> NDArray[np.uint16]:
        generator = np.random.default_rng(round(frequency_mhz * 10))
        shift = np.linspace(-3.0, 3.0, size)[:, None] * np.ones(size)
        signal = np.ones((size, size))
        for centre, dip in zip(CENTRES_MHZ, DIPS, strict=True):
            signal -= dip / (1 + ((frequency_mhz - centre - shift) / (FWHM_MHZ / 2)) ** 2)
        electrons = generator.poisson(signal * 30_000.0 * NOISE.electrons_per_count)
        return (electrons / NOISE.electrons_per_count).astype("<u2")


class Site:
    """Camera, workers and builder as processes."""

    def __init__(self, folder: Path, load: Load) -> None:
        self.stream = StreamSettings(str(folder / "r"), str(folder / "d"), archive=load.archive)
        self.stream = replace(self.stream, ring_mib=load.ring_mib)
        self.held = False
        (folder / "r").mkdir(mode=0o700)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        dump_settings(self.stream, folder / "camera.json")
        self._start("camera", "benchmarks.stream_load", "--camera", folder / "camera.json", load.size, load.rate_hz)
        dump_settings(BuilderProcess(self.stream, ""), folder / "builder.json")
        self._start("builder", "analyzers.builder", folder / "builder.json")
        for number in range(load.workers):
            name = f"worker-{number}"
            dump_settings(WorkerProcess(self.stream, name), folder / f"{name}.json")
            self._start(name, "analyzers.worker", folder / f"{name}.json")

    def _start(self, name: str, *command: object) -> None:
        arguments = [sys.executable, "-m", *map(str, command)]
        self._running[name] = subprocess.Popen(arguments, env={**os.environ, "NUMBA_NUM_THREADS": "1"})

    def wait_ready(self) -> None:
        """Wait until all of them serve."""
        until = time.monotonic() + START_S
        for name, process in self._running.items():
            while not ready_path(self.stream, name).exists():
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"{name} does not start")
                time.sleep(0.05)

    def memory_mib(self) -> float:
        """Return the memory of all of them, what they share counted once, MiB."""
        return sum(psutil.Process(process.pid).memory_full_info().pss for process in self._running.values()) / 2**20

    def hold(self, still: bool) -> None:
        """Let the workers stand still, or go on."""
        self.held = still
        for name, process in self._running.items():
            if name.startswith("worker"):
                process.send_signal(signal.SIGSTOP if still else signal.SIGCONT)

    def close(self) -> None:
        """End them."""
        if self.held:
            self.hold(False)
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            process.wait(30)


class Watch:
    """What the state plane says."""

    def __init__(self, stream: StreamSettings) -> None:
        self._state = StateSubscriber(stream, ("builder", "camera"))
        self.maps = self.looks = self.waiting = 0
        self.finished = False
        self.lost = -1
        self.stalls = 0
        self.warm_mib = 0.0
        self.memory: list[float] = []
        self._weighed = 0.0

    def look(self, timeout_s: float, site: Site) -> None:
        """Take what came; note the memory."""
        for update in self._state.poll(timeout_s):
            header: dict[str, Any] = dict(update.header)
            self.maps += update.channel == "map/chi2"
            if update.channel == "camera":
                self.looks += 1
                self.waiting += header["state"] == "waiting"
                if site.held and header["state"] == "waiting":
                    self.stalls += 1
                    site.hold(False)
            if update.channel == "run" and header.get("finished"):
                self.finished = True
                self.lost = int(header["frames_lost"])
        if time.monotonic() - self._weighed >= WEIGH_S:
            self.memory.append(site.memory_mib())
            self._weighed = time.monotonic()
            if self.maps and not self.warm_mib:  # the kernels are loaded, and the first cubes are there
                self.warm_mib = self.memory[-1]

    def close(self) -> None:
        """Stop looking."""
        self._state.close()


def run_load(load: Load) -> dict[str, float]:
    """Measure for `load.seconds`, wait for the last maps, and return the figures."""
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder), load)
        try:
            site.wait_ready()
            return _measure(site, load)
        finally:
            site.close()


def _measure(site: Site, load: Load) -> dict[str, float]:
    watch, idle_mib = Watch(site.stream), site.memory_mib()
    with CameraControl(site.stream) as control:
        analysis: Json = {}
        start = control.open_run(RunStart("load", RunMode.SIMULATED, 0, 0, "", NOISE, analysis))
        began, sweep, busy_s = time.monotonic(), 0, 0.0
        while time.monotonic() - began < load.seconds:
            busy_s += _sweep(control, sweep, load, watch, site)
            sweep += 1
        took_s = time.monotonic() - began
        maps = watch.maps
        stop = control.close_run("load", "success")
        until = time.monotonic() + END_S
        while not watch.finished and time.monotonic() < until:
            watch.look(0.5, site)
        watch.close()
        on_disk = stop.frames_sent if load.archive is Archive.NONE else _on_disk(start.frames_path)
    third = max(1, len(watch.memory) // 3)
    rate_hz = stop.frames_sent / busy_s
    return {
        "seconds": took_s,
        "frames_sent": stop.frames_sent,
        "frames_lost": watch.lost if watch.finished else stop.frames_sent,
        "frames_on_disk": on_disk,
        "rate_hz": rate_hz,
        "held": rate_hz >= 0.99 * load.rate_hz,
        "camera_waited_share": watch.waiting / max(watch.looks, 1),
        "maps_hz": maps / took_s,
        "sweeps": sweep,
        "stalls": watch.stalls,
        "idle_mib": idle_mib,
        "warm_mib": watch.warm_mib,
        "ring_mib": load.ring_mib,
        # of the workers together, and of the camera process where it keeps sums
        "cube_mib": (1 + (load.archive is Archive.SUMS)) * FREQUENCY_MHZ.size * load.size**2 * 4 / 2**20,
        "memory_mib": max(watch.memory),
        "memory_growth": max(watch.memory[-third:]) / max(watch.memory[:third]),
        "load_1min": os.getloadavg()[0],
    }


def _sweep(control: CameraControl, number: int, load: Load, watch: Watch, site: Site) -> float:
    """Run one sweep to its last frame; returns how long the camera sent, s."""
    role = SweepRole.OPENING_REFERENCE if number == 0 else SweepRole.WARMING
    request = SweepRequest("load", number, role, FREQUENCY_MHZ, load.passes, load_index=150 if number == 0 else 60)
    while True:
        try:
            control.arm(request)
            break
        except CameraRefused as refusal:
            if refusal.status != "busy":
                raise
            watch.look(BUSY_PAUSE_S, site)
    if number == load.stop_at:
        site.hold(True)
    control.trigger("load", number)
    began = time.monotonic()
    total = load.passes * FREQUENCY_MHZ.size
    while control.progress("load", number)[0] < total:
        watch.look(0.05, site)
    return time.monotonic() - began


def _on_disk(path: str) -> int:
    """Return the frames of the run's file, each (or the sum with it) read and its crc checked."""
    with FrameFile(path) as file:
        if file.start.archive is Archive.SUMS:
            return sum(plane.frames for sweep in file.sweeps for plane in file.planes(sweep.sweep))
        return sum(1 for sweep in file.sweeps for _ in file.frames(sweep.sweep))


def serve_camera(settings: str, size: str, rate_hz: str) -> None:
    """Be the camera process."""
    import dataclasses

    from stream.frame_server import FrameServer
    from stream.health import mark_ready
    from stream.settings import load_settings

    stream = load_settings(StreamSettings, settings)
    info: Json = {"mode": "SIMULATED", "pixel_size_um": 0.5, "noise": dataclasses.asdict(NOISE)}
    with FrameServer(stream, SpectrumMaker(int(size), float(rate_hz)), info) as server:
        signal.signal(signal.SIGTERM, lambda *_: server.stop())
        mark_ready(stream, "camera")
        server.run()


def main() -> int:
    """Run one load, or be its camera; the exit code is 1 where frames were lost."""
    if sys.argv[1:2] == ["--camera"]:
        serve_camera(*sys.argv[2:5])
        return 0
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream_load", description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--passes", type=int, default=4)
    parser.add_argument("--archive", type=Archive, choices=list(Archive), default=Archive.FRAMES)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    result = run_load(Load(arguments.seconds, arguments.size, arguments.rate, arguments.archive, arguments.passes))
    text = json.dumps(result, indent=2)
    LOG.info("%s", text)
    if arguments.json is not None:
        arguments.json.write_text(text + "\n")
    return 1 if result["frames_lost"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
