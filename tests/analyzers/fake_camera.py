"""A camera process for tests: the frame server around the synthetic maker.

`python -m tests.analyzers.fake_camera STREAM.json FRAME_RATE_HZ`
"""

from __future__ import annotations

import dataclasses
import logging
import signal
import sys

from stream.frame_server import FrameServer
from stream.health import mark_ready
from stream.settings import StreamSettings, load_settings
from tests.analyzers.synthetic import NOISE, SyntheticMaker


def main() -> None:
    """Serve until SIGTERM."""
    logging.basicConfig(level=logging.INFO)
    settings = load_settings(StreamSettings, sys.argv[1])
    maker = SyntheticMaker(frame_rate_hz=float(sys.argv[2]))
    info = {"pixel_size_um": 1.0, "noise": dataclasses.asdict(NOISE), "mode": "SIMULATED"}
    with FrameServer(settings, maker, info) as server:
        signal.signal(signal.SIGTERM, lambda *_: server.stop())
        mark_ready(settings, "camera")
        server.run()


if __name__ == "__main__":
    main()
