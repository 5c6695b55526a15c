"""Every plane of a sweep's maps file: its unit and one sentence on it."""

from __future__ import annotations

from analyzers.fitmap import DESCRIPTIONS, UNITS

MAP_UNITS: dict[str, str] = {
    **UNITS,
    "pixel_flags": "bits",
    "s": "1",
    "sigma_s": "1",
    "sigma_s_reference": "1",
    "s_status": "code",
    "s_changed": "1",
    "s_below_0_97_probability": "1",
    "sigma_zz_gpa": "GPa",
    "sigma_zz_sigma_gpa": "GPa",
    "in_plane_gpa": "GPa",
    "half_tilt_residual_mhz": "MHz",
    "sigma_zz_status": "code",
    "sigma_zz_carried_gpa": "GPa",
}
"""Unit of each plane of a sweep's maps."""

MAP_DESCRIPTIONS: dict[str, str] = {
    **DESCRIPTIONS,
    "pixel_flags": "what is known of a pixel: 1 hot, 2 dead, 4 saturated, 8 unusable, 16 masked by the settings, "
    "32 rescued with its neighbours' solution (y, x)",
    "s": "field ratio B/H: half splitting over the reference's, over its median far off the sample (y, x)",
    "sigma_s": "standard deviation of s from both fits, without what is common to all pixels (y, x)",
    "sigma_s_reference": "the part of sigma_s that comes from the reference: the same error in every sweep (y, x)",
    "s_status": "why a pixel has no s (y, x)",
    "s_changed": "-1 where s < 1, 1 where s > 1, at a false-discovery rate of 1 % over the sample's elements, "
    "clusters of three and more; 0 elsewhere (y, x)",
    "s_below_0_97_probability": "probability that s < 0.97, for comparison with the seed paper's figure (y, x)",
    "sigma_zz_gpa": "normal stress along [111], compression positive; two doublets, field corrected (y, x)",
    "sigma_zz_sigma_gpa": "standard deviation of sigma_zz_gpa, without the common systematics (y, x)",
    "in_plane_gpa": "mean in-plane stress (y, x)",
    "half_tilt_residual_mhz": "measured minus modelled half splitting of the tilted groups (y, x)",
    "sigma_zz_status": "why a pixel has no sigma_zz_gpa (y, x)",
    "sigma_zz_carried_gpa": "the reference's sigma_zz_gpa moved by the [111] centre since, "
    "assuming that each pixel keeps its ratio of in-plane to normal stress (y, x)",
}
"""One sentence on each plane of a sweep's maps."""
