"""A worker of the next protocol version, or of another message set: SETTINGS NAME (proto|schema)."""

import logging
import signal
import sys
import threading

import stream.codec
import stream.sessions
from stream.settings import StreamSettings, load_settings
from stream.worker_link import WorkerLink

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    if sys.argv[3] == "proto":
        stream.codec.PROTOCOL += 1
    else:
        stream.sessions.SCHEMA_HASH = "0123456789abcdef"
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with WorkerLink(load_settings(StreamSettings, sys.argv[1]), sys.argv[2]) as link:
        while not stop.is_set():
            link.poll(0.1)
