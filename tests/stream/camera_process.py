"""A camera process with known frames: SETTINGS RATE HEIGHT WIDTH LOST."""

import json
import logging
import signal
import sys

from stream.frame_server import FrameServer
from stream.health import mark_ready
from stream.settings import StreamSettings, load_settings
from tests.stream.wire import KnownMaker

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    settings = load_settings(StreamSettings, sys.argv[1])
    lost = frozenset((p, i) for p, i in json.loads(sys.argv[5]))
    maker = KnownMaker(float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), lost)
    noise = {"source": "gain", "electrons_per_count": 8.0}
    with FrameServer(settings, maker, {"mode": "SIMULATED", "noise": noise, "pixel_size_um": 0.5}) as server:
        signal.signal(signal.SIGTERM, lambda *_: server.stop())
        mark_ready(settings, "camera")
        server.run()
