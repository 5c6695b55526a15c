"""A camera as areaDetector shows one: ACQUIRE and NUM over Channel Access, images over PVAccess; and two instruments.

HEIGHT WIDTH COUNT RATE_HZ. Frame n of an acquisition is `known_frame(0, *divmod(n, COUNT))`; the frame whose number is
in DROP is never sent, as one that a plugin's full queue drops.
"""

import sys
import threading

from p4p.nt import NTNDArray
from p4p.server import Server
from p4p.server.thread import SharedPV
from softioc import asyncio_dispatcher, builder, softioc

from tests.stream.wire import known_frame

PREFIX = "AD"


class Detector:
    def __init__(self, height: int, width: int, count: int, rate_hz: float) -> None:
        self._shape, self._count, self._rate_hz = (height, width), count, rate_hz
        self._type = NTNDArray()
        self._unique = 0
        self._go = threading.Event()
        self.images = self.drop = 0
        self.pv = SharedPV(initial=self._image(0))

    def _image(self, number: int):
        image = self._type.wrap(known_frame(0, *divmod(number, self._count), *self._shape))
        image["uniqueId"] = self._unique
        return image

    def acquire(self, go: int) -> None:
        self._go.clear()
        if go:
            self._go = threading.Event()
            self._go.set()
            threading.Thread(target=self._run, args=(self._go, int(self.images)), daemon=True).start()

    def _run(self, go: threading.Event, images: int) -> None:
        pace = threading.Event()
        for number in range(images):
            pace.wait(1 / self._rate_hz)
            if not go.is_set():
                return
            self._unique += 1
            if number != self.drop:
                self.pv.post(self._image(number))


def main() -> None:
    height, width, count, rate_hz = (int(text) for text in sys.argv[1:])
    detector = Detector(height, width, count, rate_hz)
    builder.SetDeviceName(PREFIX)
    builder.longOut("ACQUIRE", initial_value=0, always_update=True, on_update=detector.acquire)
    builder.longOut("NUM", initial_value=0, on_update=lambda value: setattr(detector, "images", value))
    builder.longOut("DROP", initial_value=-1, on_update=lambda value: setattr(detector, "drop", value))
    detector.drop = -1
    builder.aOut("CRYO:SAMPLE_K_RBV", initial_value=20.5)
    builder.aOut("CRYO:STAGE_K_RBV", initial_value=19.5)
    builder.aOut("MAG:FIELD_Z_GAUSS_RBV", initial_value=97.25)
    builder.LoadDatabase()
    softioc.iocInit(asyncio_dispatcher.AsyncioDispatcher(), enable_pva=False)
    with Server(providers=[{f"{PREFIX}:IMAGE": detector.pv}]):
        sys.stdout.write("up\n")
        sys.stdout.flush()
        sys.stdin.readline()


if __name__ == "__main__":
    main()
