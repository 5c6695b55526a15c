"""The camera process's main loop: ring, recorder, leases, control."""

from __future__ import annotations

from stream.frames import FrameMaker
from stream.messages import Json
from stream.settings import StreamSettings


class FrameServer:
    """Serves the frames of one maker."""

    def __init__(self, settings: StreamSettings, maker: FrameMaker, info: Json) -> None:
        raise NotImplementedError

    def run(self) -> None:
        """Serve until `stop` is called."""
        raise NotImplementedError

    def stop(self) -> None:
        """Ask `run` to end; safe from a signal handler and from other threads."""
        raise NotImplementedError

    def close(self) -> None:
        """Close sockets, ring and files."""
