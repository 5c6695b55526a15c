"""The twin's camera: freezes the state of the twin once per sweep and makes every frame of the sweep from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from devices.settings import CameraSettings, TwinSettings
from devices.twin.faults import FrameDroppedError, heat, hot_places, shown_index
from devices.twin.noise import expose, frame_key
from devices.twin.spectra import expected_frames
from devices.twin.state import TwinState, TwinStateError, parse_state
from devices.twin.truth import truth_of
from stream.messages import FieldHistory, Json, NoiseModel, StatePoint, SweepRequest, SweepRole

ReadState = Callable[[], Mapping[str, object]]
"""Asks the twin for its present state, as JSON values."""


class TwinCamera:
    """A `stream.frames.FrameMaker`: frames are a pure function of (state, request, pass, index).

    Parameters
    ----------
    twin
        The simulated sample.
    camera
        Gain, offset, read noise and rate.
    read_state
        Called once per `arm`; `devices.twin.state_reader.StateReader` asks the IOC.
    """

    def __init__(self, twin: TwinSettings, camera: CameraSettings, read_state: ReadState) -> None:
        self.height = twin.height
        self.width = twin.width
        self.dtype = "<u2"
        self.frame_rate_hz = camera.frame_rate_hz
        self.pixel_size_um = twin.pixel_size_um
        self.noise = NoiseModel(
            source="gain",
            electrons_per_count=camera.electrons_per_count,
            offset_counts=camera.offset_counts,
            read_noise_electrons=camera.read_noise_electrons,
        )
        self._twin = twin
        self._read_state = read_state
        self._request: SweepRequest | None = None
        self._state = _resting_state(twin)
        self._expected: NDArray[np.float32] = np.empty((0, 0), dtype=np.float32)
        self._warm_up()

    def _warm_up(self) -> None:
        """Compile and set up everything before the first sweep, so that no plan waits for it."""
        request = SweepRequest("", 0, SweepRole.SINGLE, np.array([2870.0, 2880.0]), 1, 0, FieldHistory.NORMAL_STATE)
        self.freeze(request, self._state)
        self.frame(0, 0)
        self._request = None

    def regions(self) -> Json:
        """Return the polygons and marked points of the sample, um from the image centre."""
        return truth_of(self._twin).regions()

    def arm(self, request: SweepRequest) -> tuple[StatePoint, Json]:
        """Freeze the twin's state and make the noise-free frames of the list.

        Raises
        ------
        TwinStateError
            Where the state cannot be read or is that of another sample.
        """
        state = parse_state(self._read_state())
        self.freeze(request, state)
        return state.point(), state.to_json()

    def freeze(self, request: SweepRequest, state: TwinState) -> None:
        """Make the noise-free frames of a list at a given state, such as one kept with an earlier sweep.

        Raises
        ------
        TwinStateError
            Where the state is that of another sample.
        """
        if (state.sample, state.seed) != (self._twin.sample, self._twin.seed):
            asked = f"{self._twin.sample} with seed {self._twin.seed}"
            raise TwinStateError(f"the twin runs {state.sample} with seed {state.seed}, the camera expects {asked}")
        truth = truth_of(self._twin, state.load_gpa)
        frames = expected_frames(truth, state, np.asarray(request.frequency_mhz, dtype=np.float64))
        self._expected = frames.reshape(len(frames), -1)
        self._request = request
        self._state = state

    def frame(self, pass_index: int, index: int) -> NDArray[np.generic]:
        """Return the (y, x) u2 frame of a pass at one index of the frequency list.

        Raises
        ------
        TwinStateError
            Before the first `arm`.
        FrameDroppedError
            Where the state has the camera drop this frame.
        """
        if self._request is None:
            raise TwinStateError("the twin's camera is not armed")
        request, noise, state = self._request, self.noise, self._state
        if (pass_index, index) == (0, state.dropped_frame):
            raise FrameDroppedError(f"the camera dropped frame {index} of pass {pass_index}")
        key = frame_key(self._twin.seed, request.run_uid, request.sweep, pass_index, index)
        out = np.empty(self.height * self.width, dtype=np.uint16)
        expose(
            self._expected[shown_index(index, state.frequency_slip)],
            np.uint64(key),
            self._twin.laser_noise,
            noise.read_noise_electrons,
            1.0 / noise.electrons_per_count,
            noise.offset_counts,
            out,
        )
        if state.hot_pixels:
            heat(out, hot_places(self._twin.seed, state.hot_pixels, out.size), key)
        return out.reshape(self.height, self.width)

    def noise_free(self, index: int) -> NDArray[np.float64]:
        """Return the (y, x) mean counts at one index of the armed list."""
        counts = self._expected[index].astype(np.float64) / self.noise.electrons_per_count + self.noise.offset_counts
        return counts.reshape(self.height, self.width)


def _resting_state(twin: TwinSettings) -> TwinState:
    """State of the twin at its start, without field, light or microwaves."""
    temperature = twin.start_temperature_k
    return TwinState(
        sample=twin.sample,
        seed=twin.seed,
        load_index=0,
        load_gpa=twin.load_gpa,
        sample_temperature_k=temperature,
        stage_temperature_k=temperature,
        temperature_max_since_field_k=temperature,
        field_xyz_gauss=(0.0, 0.0, 0.0),
        history=FieldHistory.NORMAL_STATE,
        field_steps=(),
        microwave_power_dbm=-20.0,
        microwave_enable=0,
        laser_power_mw=0.0,
        shutter=0,
    )
