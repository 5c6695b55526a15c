"""The stream as two numbers that a RunEngine can watch: how long the analysis was silent, how full the ring is."""

from __future__ import annotations

from threading import Event, Thread

from ophyd import Component, Device, Kind, Signal

from stream.settings import StreamSettings
from stream.state import StateSubscriber

_POLL_S = 0.2


class StreamWatch(Device):
    """Soft device, kept up to date by a thread of its own until `destroy`.

    Parameters
    ----------
    stream
        Where builder and camera process publish.
    """

    analysis_silence_s = Component(Signal, value=0.0, kind=Kind.normal)
    ring_fill = Component(Signal, value=0.0, kind=Kind.normal)

    def __init__(self, stream: StreamSettings, *, name: str = "stream_watch") -> None:
        super().__init__("", name=name)
        self._stream = stream
        self._stop = Event()
        self._thread = Thread(target=self._follow, name=name, daemon=True)
        self._thread.start()

    def destroy(self) -> None:
        """Stop following and let go of the signals."""
        self._stop.set()
        self._thread.join(timeout=5.0)
        super().destroy()

    def _follow(self) -> None:
        with StateSubscriber(self._stream, sources=("builder", "camera")) as subscriber:
            while not self._stop.is_set():
                for update in subscriber.poll(_POLL_S):
                    if update.channel == "camera":
                        self.ring_fill.put(float(str(update.header.get("ring_fill", 0.0))))
                silence = subscriber.silence_s()["builder"]
                if silence is not None:
                    self.analysis_silence_s.put(silence)
