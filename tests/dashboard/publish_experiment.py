"""A builder, monitor or session for tests: publishes a made-up experiment over the real state plane until killed.

`python publish_experiment.py RUNTIME_DIR SOURCE`; the builder answers SpectrumRequests.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from experiment import Experiment
from serving import spectrum_reply

from stream.messages import SpectrumRequest
from stream.settings import StreamSettings
from stream.state import StatePublisher


def main(runtime_dir: str, source: str) -> None:
    experiment = Experiment(size=48)
    settings = StreamSettings(runtime_dir=runtime_dir, data_dir=runtime_dir)
    with StatePublisher(settings, source) as publisher:
        beat = 0.0
        while True:
            if time.monotonic() - beat > 0.4:
                beat = time.monotonic()
                experiment.frames_sent = min(experiment.frames_sent + 2, experiment.frames_total - 1)
                for _, channel, header, arrays in getattr(experiment, source)():
                    publisher.publish(channel, header, arrays)
            for token, message in publisher.requests():
                if isinstance(message, SpectrumRequest):
                    publisher.reply(token, spectrum_reply(experiment, message))
            time.sleep(0.01)


if __name__ == "__main__":
    main(*sys.argv[1:])
