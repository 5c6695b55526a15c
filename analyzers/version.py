"""Version of a result: equal settings, constants, reference and kernels give the same one, anything else another."""

from __future__ import annotations

import hashlib
import json

from analyzers.kernels import KERNEL_VERSION
from analyzers.settings import AnalysisSettings
from physics.constants import GAMMA_MHZ_PER_GAUSS, stress_set
from stream.messages import Json

MAPS_VERSION = 9
"""Raised whenever `analyzers.maps`, `analyzers.products` or what they call may give other bits for the same fits."""

OWN_REFERENCE = "own"
"""Reference run of a run that carries its own reference sweep; so a copy of the run has the same version."""


def constant_set(settings: AnalysisSettings) -> Json:
    """Return the constants that settings name, with their versions, as stored with every map."""
    return {
        "stress_constants": stress_set(settings.stress_constants).label,
        "zero_field_splitting": settings.zero_field_splitting,
        "gamma_mhz_per_gauss": GAMMA_MHZ_PER_GAUSS.value,
    }


def result_version(settings: AnalysisSettings, reference_run: str = OWN_REFERENCE) -> str:
    """Return the first 12 hex digits of the SHA-256 of the canonical JSON of everything a result depends on."""
    content = {
        "analysis": settings.to_json(),
        "constants": constant_set(settings),
        "reference_run": reference_run,
        "kernel": KERNEL_VERSION,
        "maps": MAPS_VERSION,
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
