"""From a cube to a final map of s: how long, how even over sizes, how much memory.

Final means everything a run's last map gets: normalisation, all starts, the robust path, sigma, chi2, status, the
second try from the neighbours, s and its sigma against a given reference. The cube is uint32, as frames are summed.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analyzers.fitmap import FitMap
from analyzers.fitting import fit_image
from analyzers.rescue import keep_unresolved, rescue
from benchmarks.ours import SETTINGS, cube_of
from benchmarks.scenarios import Scene, reference
from stream.messages import NoiseModel

EDGES = (64, 128, 256, 512, 1024, 2048)
TILE = 64
"""Edge of the square of different spectra that larger maps repeat."""
THREADS = 2
ROUNDS = {64: 41, 128: 21, 256: 11, 512: 9, 1024: 3, 2048: 2}


def summed(scene: Scene, edge: int) -> NDArray[np.uint32]:
    """Return a scene's counts as the sums of one pass, repeated to edge x edge pixels."""
    one = np.rint(cube_of(scene)[0]).astype(np.uint32).reshape(len(scene.frequency_mhz), TILE, TILE)
    return np.tile(one, (1, edge // TILE, edge // TILE))


def final_map(
    scene: Scene, noise: NoiseModel, cube: NDArray[np.uint32], given: NDArray[np.float32]
) -> tuple[FitMap, NDArray[np.floating], NDArray[np.floating]]:
    """Return the final fits of a cube, s and its sigma."""
    found = fit_image(cube, scene.passes, scene.frequency_mhz, noise, SETTINGS, THREADS)
    again = keep_unresolved(cube, found, 0, cube.shape[1])
    found, _ = rescue(found, again, scene.passes, scene.frequency_mhz, noise, SETTINGS)
    split = found.doublet(0)
    return found, split.half_splitting_mhz / given, split.half_splitting_sigma_mhz / given


def _peak_bytes() -> int:
    """Return the largest resident memory of this process since `_forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _forget_peak() -> None:
    """Let the peak count from here."""
    Path("/proc/self/clear_refs").write_text("5")


def scaling() -> dict[str, object]:
    """Return wall and CPU time per pixel of each edge, `map_512_ms`, the flatness, and the memory against its bound.

    `map_flatness` is the largest deviation of the CPU time per pixel from that of 512 x 512. `map_memory_ratio` is the
    peak of cube and everything beside it over cube plus outputs, at 1024 x 1024.
    """
    scene = reference(TILE * TILE)
    noise = cube_of(scene)[1]
    wall: dict[int, float] = {}
    cpu: dict[int, float] = {}
    memory = 0.0
    for edge in EDGES:
        cube = summed(scene, edge)
        given = np.full((edge, edge), 15.0, np.float32)
        final_map(scene, noise, cube[:, :TILE], given[:TILE])
        times: list[tuple[float, float]] = []
        for _ in range(ROUNDS[edge]):
            _forget_peak()
            before = _peak_bytes()
            begin = time.perf_counter(), time.process_time()
            found, *ratio = final_map(scene, noise, cube, given)
            times.append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
            if edge == 1024:
                outputs = sum(plane.nbytes for plane in [*found.to_planes().values(), *ratio])
                memory = max(memory, (cube.nbytes + _peak_bytes() - before) / (cube.nbytes + outputs))
            del found, ratio
        wall[edge], cpu[edge] = (1e9 * min(row[i] for row in times) / edge**2 for i in (0, 1))
    return {
        "map_512_ms": wall[512] * 512**2 * 1e-6,
        "map_wall_ns_per_pixel": {str(edge): value for edge, value in wall.items()},
        "map_cpu_ns_per_pixel": {str(edge): value for edge, value in cpu.items()},
        "map_flatness": max(abs(value / cpu[512] - 1.0) for value in cpu.values()),
        "map_memory_ratio": memory,
    }
