"""Where a measured file was taken: files do not say it, so what nobody gives is assumed, and said so."""

from __future__ import annotations

from dataclasses import dataclass

from stream.messages import FieldHistory, StatePoint


@dataclass(frozen=True)
class MeasuredState:
    """Temperature, field and scale of a measurement."""

    temperature_k: float = 300.0
    """Sample temperature, K."""
    field_gauss: float = 0.0
    """Applied field along the culet normal, G."""
    pixel_size_um: float = 1.0
    """Edge of one pixel at the sample, um."""

    def state(self) -> StatePoint:
        """Return the state point of the only sweep."""
        t = self.temperature_k
        return StatePoint(t, t, t, self.field_gauss, FieldHistory.UNKNOWN)


_ASSUMED = {
    "temperature_k": ("temperature", "K", "--temperature-k"),
    "field_gauss": ("field", "G", "--field-gauss"),
    "pixel_size_um": ("pixel size", "um", "--pixel-size-um"),
}


def measured_state(
    temperature_k: float | None = None, field_gauss: float | None = None, pixel_size_um: float | None = None
) -> tuple[MeasuredState, list[str]]:
    """Return the state as given, and one note for each value (K, G, um) that is assumed instead."""
    given = {"temperature_k": temperature_k, "field_gauss": field_gauss, "pixel_size_um": pixel_size_um}
    state = MeasuredState(**{name: value for name, value in given.items() if value is not None})
    notes = [
        f"{what} not in the file: {getattr(state, name):g} {unit} assumed; give {option}"
        for name, (what, unit, option) in _ASSUMED.items()
        if given[name] is None
    ]
    return state, notes
