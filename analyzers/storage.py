"""Where finished maps go: one documented HDF5 file per sweep, registered in Tiled where there is one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Protocol

from analyzers.map_planes import MAP_DESCRIPTIONS, MAP_UNITS
from analyzers.pipeline import RunMaps, SweepMaps
from analyzers.products import PRODUCT_DESCRIPTIONS, PRODUCT_UNITS, make_products
from analyzers.sweep_files import sweep_name
from stream.maps_file import write_maps
from stream.messages import Json
from stream.paths import maps_path

CLOSE_S = 1.0
"""Longest wait for the catalog at the end of the process, s."""

_LOG = logging.getLogger("maps")


class Register(Protocol):
    """What the store asks of the catalog (`stream.archive_maps.MapArchive`)."""

    def store(self, run_uid: str, version: str, name: str, path: Path, metadata: Json) -> None:
        """Make a maps file known; returns at once."""
        ...

    def set_latest(self, run_uid: str, version: str) -> None:
        """Name the version that readers should take; returns at once."""
        ...

    def close(self, timeout_s: float = 10.0) -> None:
        """Give the catalog up to `timeout_s` for what it has not learned yet."""
        ...


class MapStore:
    """Writes maps under the data folder; an existing file is compared bit by bit and never changed."""

    def __init__(self, data_dir: str | Path, register: Register | None = None) -> None:
        self.data_dir = Path(data_dir)
        self._register = register

    def save_sweep(self, run: RunMaps, maps: SweepMaps) -> Path:
        """Write the final maps of a sweep.

        Raises
        ------
        stream.maps_file.MapsDiffer
            Where other maps of the same version exist.
        stream.maps_file.MapsFileError
            Where the file cannot be written.
        """
        path = self._path(run, sweep_name(maps.start.sweep))
        attributes = run.attributes(maps)
        write_maps(path, maps.planes(), MAP_UNITS, MAP_DESCRIPTIONS, attributes)
        self._announce(run, sweep_name(maps.start.sweep), path, attributes)
        return path

    def save_products(self, run: RunMaps) -> Path | None:
        """Write what the whole run says; None where there is nothing beyond single maps. Raises as `save_sweep`."""
        products = make_products(run)
        if products is None:
            return None
        path = self._path(run, "products")
        write_maps(path, products.planes, PRODUCT_UNITS, PRODUCT_DESCRIPTIONS, products.attributes)
        self._announce(run, "products", path, products.attributes)
        return path

    def finish(self, run: RunMaps) -> None:
        """Name this version the latest of the run."""
        if self._register is not None:
            self._register.set_latest(run.start.run_uid, run.version)

    def close(self) -> None:
        """Let go of the catalog; what it has not learned is kept for the next process."""
        if self._register is not None:
            self._register.close(CLOSE_S)

    def _path(self, run: RunMaps, name: str) -> Path:
        return maps_path(self.data_dir, run.start.run_uid, run.version, name)

    def _announce(self, run: RunMaps, name: str, path: Path, attributes: Json) -> None:
        if self._register is not None:
            self._register.store(run.start.run_uid, run.version, name, path, attributes)
        _LOG.info("maps of run %s: %s", run.start.run_uid, path.name)
