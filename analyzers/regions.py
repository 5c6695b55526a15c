"""Which pixels are the sample, the ruby and the far field: masks from the polygons that a run carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import polygon as fill_polygon

from stream.messages import Json, RunStart

Mask = NDArray[np.bool_]

MINIMUM_FAR_PIXELS = 32
"""Fewer far pixels than this make no median: the fallback is taken and named."""

FALLBACK_SHARE = 0.1
"""Share of the pixels outside the sample that the fallback takes, the farthest first."""


class RegionError(ValueError):
    """A polygon or point of the run cannot be read; the text says which and why."""


@dataclass(frozen=True)
class Regions:
    """Masks of one camera view, each (y, x), and the marked points."""

    sample: Mask
    """Pixels under the sample; every pixel where the run names no outline."""
    ruby: Mask
    """Pixels the ruby covers: no stress or field is read there."""
    off_sample: Mask
    """Pixels whose median ratio stands for s = 1; none where the run names no outline."""
    off_sample_name: str
    """How `off_sample` was found: `far` (more than one sample radius away), `farthest_pixels` or `none`."""
    has_outline: bool
    """False where the run names no sample."""
    points: dict[str, tuple[int, int]]
    """Marked points: name -> (row, column), inside the view."""

    @property
    def judged(self) -> Mask:
        """Sample pixels outside the ruby: where fractions and means are taken."""
        return self.sample & ~self.ruby


def regions_of(start: RunStart) -> Regions:
    """Return the masks of a run's camera view.

    Raises
    ------
    RegionError
        Where a polygon is not a list of at least three [x, y] in um.
    """
    return make_regions(start.regions, start.pixel_size_um, start.height, start.width)


def make_regions(regions: Json, pixel_size_um: float, height: int, width: int) -> Regions:
    """Return the masks of polygons given in um from the image centre, x right and y down.

    Raises
    ------
    RegionError
        Where a polygon or a point cannot be read.
    """
    outline = _mask(regions, "sample", pixel_size_um, height, width)
    ruby = _mask(regions, "ruby", pixel_size_um, height, width)
    leads = _mask(regions, "leads", pixel_size_um, height, width)
    has_outline = bool(outline.any())
    sample = outline if has_outline else np.ones((height, width), dtype=np.bool_)
    far, name = _off_sample(outline, ruby | leads) if has_outline else (np.zeros_like(outline), "none")
    points = _points(regions, pixel_size_um, height, width)
    return Regions(sample, ruby, far, name, has_outline, points)


def _off_sample(outline: Mask, excluded: Mask) -> tuple[Mask, str]:
    """Return the far region (y, x) and how it was found."""
    distance = np.asarray(ndimage.distance_transform_edt(~outline), dtype=np.float64)
    radius = float(np.sqrt(np.count_nonzero(outline) / np.pi))
    allowed = ~outline & ~excluded
    far = allowed & (distance > radius)
    if np.count_nonzero(far) >= MINIMUM_FAR_PIXELS:
        return far, "far"
    candidates = distance[allowed]
    if candidates.size < MINIMUM_FAR_PIXELS:
        return np.zeros_like(outline), "none"
    wanted = max(MINIMUM_FAR_PIXELS, int(candidates.size * FALLBACK_SHARE))
    limit = np.sort(candidates)[candidates.size - wanted]
    return allowed & (distance >= limit), "farthest_pixels"


def _mask(regions: Json, name: str, pixel_size_um: float, height: int, width: int) -> Mask:
    """Fill the polygons called `name`; an absent name is an empty mask."""
    mask = np.zeros((height, width), dtype=np.bool_)
    for vertices in _polygons(regions.get(name), name):
        rows = vertices[:, 1] / pixel_size_um + (height - 1) / 2
        columns = vertices[:, 0] / pixel_size_um + (width - 1) / 2
        inside = fill_polygon(rows, columns, shape=(height, width))
        mask[inside] = True
    return mask


def _polygons(value: object, name: str) -> list[NDArray[np.float64]]:
    """Read one polygon or a list of polygons, each (n, 2) in um."""
    if value is None or (isinstance(value, Sequence) and not len(cast("Sequence[Any]", value))):
        return []
    try:
        single = np.asarray(value, dtype=np.float64)
        polygons = [single] if single.ndim == 2 else list(single)
    except (TypeError, ValueError):  # a list of polygons with different numbers of corners
        polygons = [_polygon(item, name) for item in cast("Sequence[object]", value)]
    for vertices in polygons:
        _check(vertices, name)
    return polygons


def _polygon(value: object, name: str) -> NDArray[np.float64]:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise RegionError(f"region '{name}' is not a list of [x, y] in um") from error


def _check(vertices: NDArray[np.float64], name: str) -> None:
    if vertices.ndim != 2 or vertices.shape[0] < 3 or vertices.shape[1] != 2 or not np.isfinite(vertices).all():
        raise RegionError(f"region '{name}' needs at least three finite [x, y] corners in um")


def _points(regions: Json, pixel_size_um: float, height: int, width: int) -> dict[str, tuple[int, int]]:
    """Read the marked points that lie inside the view."""
    marked = regions.get("points", {})
    if not isinstance(marked, dict):
        raise RegionError("region 'points' must map names to [x, y] in um")
    found: dict[str, tuple[int, int]] = {}
    for name, position in cast("dict[str, Any]", marked).items():
        try:
            x_um, y_um = (float(value) for value in position)
        except (TypeError, ValueError) as error:
            raise RegionError(f"point '{name}' is not [x, y] in um") from error
        row = round(y_um / pixel_size_um + (height - 1) / 2)
        column = round(x_um / pixel_size_um + (width - 1) / 2)
        if 0 <= row < height and 0 <= column < width:
            found[str(name)] = (row, column)
    return found
