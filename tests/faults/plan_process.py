"""A RunEngine's side of a run, for tests that kill it: SETTINGS SWEEPS; triggers one more sweep than it waits for."""

import sys
import threading
from pathlib import Path

import event_model

from stream.archive_tiled import DocumentArchive
from stream.assets import frames_data_key, stream_datum, stream_resource
from stream.camera_control import CameraControl
from stream.messages import Archive
from stream.settings import StreamSettings, load_settings
from tests.analyzers import synthetic
from tests.analyzers.processes import open_run, send_sweep, wait_sent

TEMPERATURES_K = (150.0, 20.0, 60.0)


def main() -> None:
    settings, sweeps = load_settings(StreamSettings, sys.argv[1]), int(sys.argv[2])
    shape = (synthetic.HEIGHT, synthetic.WIDTH)
    with DocumentArchive(settings) as archive, CameraControl(settings) as control:
        bundle = event_model.compose_run(uid="run-1")
        archive("start", bundle.start_doc)
        start = open_run(control)
        key = frames_data_key("camera:test", *shape, "<u4" if start.archive is Archive.SUMS else "<u2")
        descriptor = bundle.compose_descriptor(name="frames", data_keys={"camera_frames": key}).descriptor_doc
        archive("descriptor", descriptor)
        resource = stream_resource("camera_frames", start.frames_path, *shape, "run-1", start.archive)
        archive("stream_resource", resource)
        rows = 0
        for number in range(sweeps):
            send_sweep(control, number, TEMPERATURES_K[number])
            wait_sent(control, number)
            told = rows + control.sweep_progress("run-1", number).rows
            archive("stream_datum", stream_datum(resource["uid"], rows, told, descriptor["uid"], number))
            rows = told
        send_sweep(control, sweeps, TEMPERATURES_K[sweeps])
        Path(sys.argv[1]).with_name("measuring").touch()
        threading.Event().wait(600)


if __name__ == "__main__":
    main()
