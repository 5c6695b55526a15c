"""What the twin's frames cost: processor time of a frame of 512 x 512 against the time between frames at 100 frames/s.

`python -m benchmarks.twin [--json FILE]`; the exit code is 1 where frames cost a core or more.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from devices.settings import CameraSettings, TwinSettings
from devices.twin.camera import TwinCamera
from devices.twin.history import FieldStep
from devices.twin.state import TwinState
from stream.messages import FieldHistory, SweepRequest, SweepRole

EDGE_PX = 512
"""Rows and columns of the camera."""
VIEW_UM = 96.0
"""Edge of the view, um."""
RATE_HZ = 100.0
"""Frames per second that must cost less than a core."""
FREQUENCY_MHZ = np.linspace(2800.0, 3460.0, 60)
"""List of a sweep; the noise-free frames of a list are made once, when it is armed."""
ROUNDS = 5
"""Repetitions; the median counts."""
SHARE_LIMIT = 1.0
"""Cores that the frames may take."""


def cold_state() -> TwinState:
    """Return S1 at 21 GPa and 20 K, zero-field cooled, 97 G on."""
    return TwinState(
        sample="S1",
        seed=1,
        load_index=0,
        load_gpa=21.0,
        sample_temperature_k=20.0,
        stage_temperature_k=20.0,
        temperature_max_since_field_k=20.0,
        field_xyz_gauss=(0.0, 0.0, 97.0),
        history=FieldHistory.ZFC_FW,
        field_steps=(FieldStep(97.0, 20.0),),
        microwave_power_dbm=-20.0,
        microwave_enable=1,
        laser_power_mw=100.0,
        shutter=1,
    )


def measure() -> dict[str, float]:
    """Return seconds per frame and per armed sweep, and the cores that frames take at `RATE_HZ`."""
    twin = TwinSettings(height=EDGE_PX, width=EDGE_PX, pixel_size_um=VIEW_UM / EDGE_PX)
    camera = TwinCamera(twin, CameraSettings(), cold_state().to_json)
    request = SweepRequest("benchmark", 0, SweepRole.WARMING, FREQUENCY_MHZ, 1, 0, FieldHistory.ZFC_FW)
    began = time.process_time()
    camera.arm(request)
    armed_s = time.process_time() - began
    seconds: list[float] = []
    for number in range(ROUNDS):
        began = time.process_time()
        for index in range(FREQUENCY_MHZ.size):
            camera.frame(number, index)
        seconds.append((time.process_time() - began) / FREQUENCY_MHZ.size)
    frame_s = float(np.median(seconds))
    return {
        "edge_px": float(EDGE_PX),
        "frame_cpu_ms": 1e3 * frame_s,
        "cores_at_100_hz": frame_s * RATE_HZ,
        "arm_cpu_s": armed_s,
        "frames_armed": float(FREQUENCY_MHZ.size),
    }


def main() -> int:
    """Measure, print, and say by the exit code whether the limit holds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.twin", description=__doc__)
    parser.add_argument("--json", type=Path, default=None, help="file for the numbers")
    arguments = parser.parse_args()
    found = measure()
    text = json.dumps(found, indent=2) + "\n"
    if arguments.json is not None:
        arguments.json.write_text(text)
    print(text, end="")
    return 0 if found["cores_at_100_hz"] < SHARE_LIMIT else 1


if __name__ == "__main__":
    raise SystemExit(main())
