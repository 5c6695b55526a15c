"""The real web server in a thread, fed by hand: what tests of the page start."""

from __future__ import annotations

import queue
import threading
import time
from contextlib import contextmanager

import numpy as np
import uvicorn

from dashboard.server import build_app, listen, uvicorn_config
from dashboard.settings import DashboardSettings
from stream.messages import SpectrumReply, SpectrumRequest, StateUpdate


class HandSubscriber:
    """A state plane with one hand on it."""

    def __init__(self) -> None:
        self.updates: queue.Queue[StateUpdate] = queue.Queue()
        self.sequence = 0
        self.silent_s = 0.1
        self.latest: dict[tuple[str, str], StateUpdate] = {}

    def silence_s(self):
        return {"builder": self.silent_s, "camera": 0.1, "monitor": 0.1, "session": None, "guard": 0.1}

    def drop(self, source, channel) -> None:
        del self.latest[source, channel]

    def publish(self, source, channel, header, arrays, time_s=None) -> None:
        self.sequence += 1
        stamp = time.time() if time_s is None else time_s
        update = StateUpdate(source, "epoch", self.sequence, channel, stamp, header, arrays)
        self.latest[source, channel] = update
        self.updates.put(update)

    def poll(self, timeout_s):
        try:
            found = [self.updates.get(timeout=timeout_s)]
        except queue.Empty:
            return []
        while True:
            try:
                found.append(self.updates.get_nowait())
            except queue.Empty:
                return found

    def close(self) -> None: ...


class HandAsker:
    """A builder that answers at once, from an experiment."""

    def __init__(self, served: Served) -> None:
        self.served = served

    def ask(self, message: SpectrumRequest, timeout_s: float):
        self.served.asked.append(message)
        if self.served.refusal is not None:
            raise TimeoutError(self.served.refusal)
        return spectrum_reply(self.served.experiment, message)

    def close(self) -> None: ...


def spectrum_reply(experiment, message: SpectrumRequest) -> SpectrumReply:
    """Return what a builder would say of a made-up experiment."""
    s = float(np.mean(experiment.s(experiment.temperature_k)[message.y0 : message.y1, message.x0 : message.x1]))
    values = {"s": s, "sigma_s": 0.0021, "sigma_zz_gpa": 21.1, "chi2": 1.04, "temperature_k": experiment.temperature_k}
    region = {name: getattr(message, name) for name in ("run_uid", "y0", "y1", "x0", "x1")}
    arrays = experiment.spectrum(s, 0.0012)
    return SpectrumReply(sweep=max(message.sweep, 0), **region, values=values, status="OK", **arrays)


class Served:
    """A page and the hand that feeds it."""

    def __init__(self, port, hub_app, subscriber, experiment) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}/"
        self.app = hub_app
        self.subscriber = subscriber
        self.experiment = experiment
        self.asked: list[SpectrumRequest] = []
        self.refusal: str | None = None
        self.wrap = HandAsker

    def publish(self, *channels, time_s=None) -> None:
        """Publish what the experiment says now; only some channels where any are named."""
        for source, channel, header, arrays in self.experiment.publications():
            if not channels or any(channel.startswith(name) for name in channels):
                self.subscriber.publish(source, channel, header, arrays, time_s)


@contextmanager
def serving(experiment, port: int = 0, data_dir: str = "", commands=None, **more):
    """Run the web server in a thread."""
    settings = DashboardSettings(port=port, **more)
    listener = listen(settings)
    subscriber = HandSubscriber()
    holder: list[Served] = []
    ready = threading.Event()
    app = build_app(settings, lambda: subscriber, lambda: holder[0].wrap(holder[0]), ready.set, data_dir, commands)
    holder.append(Served(listener.getsockname()[1], app, subscriber, experiment))
    server = uvicorn.Server(uvicorn_config(app, settings))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="web", daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield holder[0]
    finally:
        server.should_exit = True
        thread.join(5)
        listener.close()
