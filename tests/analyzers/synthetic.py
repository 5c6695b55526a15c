"""A small sample whose every frame is a pure function of its key: what the analyzers' tests measure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.messages import (
    FieldHistory,
    Json,
    NoiseModel,
    RunMode,
    RunStart,
    StatePoint,
    SweepRequest,
    SweepRole,
    SweepStart,
)

HEIGHT, WIDTH = 32, 40
COUNTS = 30_000.0
NOISE = NoiseModel("gain", electrons_per_count=8.0)
REGIONS: Json = {
    "sample": [[-7.0, -6.0], [7.0, -6.0], [7.0, 6.0], [-7.0, 6.0]],
    "ruby": [[5.0, 4.0], [6.5, 4.0], [6.5, 5.5], [5.0, 5.5]],
    "points": {"middle": [-1.0, 0.0], "edge": [6.0, -4.0]},
}
FREQUENCY_MHZ = np.concatenate(
    [np.linspace(2825, 2889, 17), np.linspace(3050, 3310, 53), np.linspace(3369, 3433, 17)]
).astype(np.float64)
CENTRES = (2857.0, 3130.0, 3230.0, 3401.0)
CONTRASTS = (-0.02, -0.012, -0.012, -0.02)
FWHM_MHZ = 16.0
TC_K = 80.0


def suppression() -> NDArray[np.float64]:
    """Return (y, x) where the sample screens: 1 inside a block of it, else 0."""
    pattern = np.zeros((HEIGHT, WIDTH))
    pattern[12:20, 15:21] = 1.0
    return pattern


def true_s(temperature_k: float) -> NDArray[np.float64]:
    """Return the noise-free s (y, x)."""
    strength = max(0.0, 1.0 - (temperature_k / TC_K) ** 4)
    return 1.0 - 0.06 * strength * suppression()


def run_start(**changes: object) -> RunStart:
    """Return the opening of a synthetic run."""
    values: dict[str, object] = {
        "run_uid": "run-1",
        "mode": RunMode.SIMULATED,
        "height": HEIGHT,
        "width": WIDTH,
        "dtype": "<u2",
        "noise": NOISE,
        "analysis": {},
        "regions": REGIONS,
        "sample": "synthetic",
        "time_s": 1.0,
    }
    return RunStart(**{**values, **changes})  # pyright: ignore[reportArgumentType]


def sweep_request(number: int, temperature_k: float, passes: int = 2, run_uid: str = "run-1") -> SweepRequest:
    """Return the request of a sweep; its temperature travels in the load index (the maker's own convention)."""
    role = SweepRole.OPENING_REFERENCE if number == 0 else SweepRole.WARMING
    return SweepRequest(run_uid, number, role, FREQUENCY_MHZ, passes, load_index=round(temperature_k))


@dataclass
class SyntheticMaker:
    """A frame source: temperature from the request, noise from the key."""

    height: int = HEIGHT
    width: int = WIDTH
    dtype: str = "<u2"
    frame_rate_hz: float = 0.0

    def arm(self, request: SweepRequest) -> tuple[StatePoint, Json]:
        """Freeze the sweep."""
        self._request = request
        temperature_k = float(request.load_index)
        self._light = light(temperature_k, np.asarray(request.frequency_mhz))
        state = StatePoint(temperature_k, temperature_k, temperature_k, 97.0, FieldHistory.ZFC_FW, 0)
        return state, {}

    def frame(self, pass_index: int, index: int) -> NDArray[np.uint16]:
        """Return one noisy frame."""
        generator = np.random.default_rng([self._request.sweep, pass_index, index])
        electrons = generator.poisson(self._light[index] * NOISE.electrons_per_count)
        return np.minimum(electrons / NOISE.electrons_per_count, 65_535).astype("<u2")


def light(temperature_k: float, frequency_mhz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the noise-free counts (f, y, x)."""
    shift = 272.0 * (true_s(temperature_k) - 1.0)
    total = np.ones((frequency_mhz.size, HEIGHT, WIDTH))
    for line, (centre, contrast) in enumerate(zip(CENTRES, CONTRASTS, strict=True)):
        position = centre + shift * {0: -1.0, 3: 1.0}.get(line, 0.0)
        detuning = (frequency_mhz[:, None, None] - position) / (FWHM_MHZ / 2)
        total += contrast / (1.0 + detuning**2)
    return COUNTS * total


def sweep_start(request: SweepRequest, maker: SyntheticMaker) -> SweepStart:
    """Arm the maker and return the sweep's opening."""
    state, source = maker.arm(request)
    return SweepStart(
        request.run_uid, request.sweep, request.role, state, request.frequency_mhz, request.passes, source
    )
