"""How a run's frames file is told to Bluesky and Tiled: the data key and the stream assets, as plain documents.

The camera device, `nvdac ingest` and the tests use these, so that the server reads every run's frames the same way. The
file grows by one row per frame and one index is one frame: shape (N, y, x), N the number of indices told so far. Where
the run keeps sums, one index is the sum of a sweep at one frequency instead.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from stream.archive_hdf5 import FRAMES
from stream.messages import Archive, Json
from stream.sums import SUMS

MIMETYPE = "application/x-hdf5"
"""Mimetype of frames and maps files."""


def frames_data_key(source: str, height: int, width: int, dtype: str) -> Json:
    """Return the data key of the frames for a Bluesky descriptor.

    Parameters
    ----------
    source
        Where the frames come from, such as `camera:NVDAC:` or `file:NAME`.
    height, width
        Camera rows and columns; the key's shape is one frame's.
    dtype
        `<u2`, `<u4` or `<f4`.
    """
    return {
        "source": source,
        "dtype": "array",
        "dtype_numpy": dtype,
        "shape": [height, width],
        "external": "STREAM:",
        "dims": ["y", "x"],
    }


def stream_resource(
    data_key: str, path: str | Path, height: int, width: int, run_uid: str = "", archive: Archive = Archive.FRAMES
) -> Json:
    """Return the `stream_resource` document of a frames file.

    Parameters
    ----------
    data_key
        Name of the frames in the descriptor.
    path
        The frames file, on the camera's host.
    run_uid
        The Bluesky run; left out where empty (the RunEngine fills it in).
    archive
        What the file keeps: its rows are frames, or the sums of a sweep at each of its frequencies.
    """
    document: Json = {
        "uid": str(uuid.uuid4()),
        "data_key": data_key,
        "mimetype": MIMETYPE,
        "uri": file_uri(path),
        "parameters": {
            "dataset": SUMS if archive is Archive.SUMS else FRAMES,
            "chunk_shape": [1, height, width],
            "swmr": True,
        },
    }
    return {**document, "run_start": run_uid} if run_uid else document


def stream_datum(resource_uid: str, start: int, stop: int, descriptor_uid: str = "", number: int = 0) -> Json:
    """Return the `stream_datum` document of frames `start` to `stop - 1` of a resource.

    Parameters
    ----------
    resource_uid
        `uid` of the resource.
    start, stop
        Rows of the file, from 0; each is told once, in order and without gaps.
    descriptor_uid
        The descriptor; empty for the RunEngine, which fills it and the sequence numbers in.
    number
        Number of this datum within its resource.
    """
    seq_nums = {"start": start + 1, "stop": stop + 1} if descriptor_uid else {"start": 0, "stop": 0}
    return {
        "uid": f"{resource_uid}/{number}",
        "stream_resource": resource_uid,
        "descriptor": descriptor_uid,
        "indices": {"start": start, "stop": stop},
        "seq_nums": seq_nums,
    }


def file_uri(path: str | Path) -> str:
    """Return `file://localhost/...` of a path."""
    return f"file://localhost{Path(path).resolve()}"
