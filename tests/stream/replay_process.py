"""A camera process that replays a file: SETTINGS FRAMES RATE."""

import logging
import signal
import sys

from stream.frame_server import FrameServer
from stream.health import mark_ready
from stream.replay import ReplayMaker
from stream.settings import StreamSettings, load_settings

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    settings = load_settings(StreamSettings, sys.argv[1])
    maker = ReplayMaker(sys.argv[2], float(sys.argv[3]))
    with FrameServer(settings, maker, maker.info()) as server:
        signal.signal(signal.SIGTERM, lambda *_: server.stop())
        mark_ready(settings, "camera")
        server.run()
