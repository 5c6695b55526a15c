"""A detector that speaks Stream V2, as its vendor's control unit does: one CBOR map per message, pushed."""

from __future__ import annotations

import datetime
from typing import Any

import cbor2
import h5py
import hdf5plugin
import numpy as np
import zmq

TAGS = {"|u1": 64, "<u2": 69, "<u4": 70, ">u2": 65, "<f4": 85}


def packed(image: np.ndarray, compression: str) -> Any:
    """Bytes of an image, or the tag around its compressed bytes."""
    if not compression:
        return image.tobytes()
    filters = {"bslz4": hdf5plugin.Bitshuffle(cname="lz4"), "lz4": hdf5plugin.LZ4()}
    with h5py.File(f"pack-{id(image)}", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("image", data=image, chunks=image.shape, **filters[compression])
        _, raw = dataset.id.read_direct_chunk((0, 0))
    return cbor2.CBORTag(56500, [compression, image.itemsize if compression == "bslz4" else 0, raw])


def array(image: np.ndarray, compression: str = "") -> cbor2.CBORTag:
    typed = cbor2.CBORTag(TAGS[image.dtype.str], packed(image, compression))
    return cbor2.CBORTag(40, [list(image.shape), typed])


def start(series: int, images: int, shape: tuple[int, int], **more: Any) -> bytes:
    now = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
    body = {"type": "start", "arm_date": now, "channels": ["threshold_1"], "number_of_images": images}
    body |= {"image_size_y": shape[0], "image_size_x": shape[1], "series_id": series, "series_unique_id": f"s{series}"}
    return cbor2.dumps({**body, "detector_description": "a simulated detector", "count_time": 0.01, **more})


def image(series: int, number: int, channels: dict[str, np.ndarray], compression: str = "") -> bytes:
    data = {name: array(pixels, compression) for name, pixels in channels.items()}
    body = {"type": "image", "data": data, "image_id": number, "series_id": series, "series_unique_id": f"s{series}"}
    return cbor2.dumps({**body, "real_time": [1, 100], "start_time": [number, 100], "stop_time": [number + 1, 100]})


def end(series: int) -> bytes:
    return cbor2.dumps({"type": "end", "series_id": series, "series_unique_id": f"s{series}"})


class Detector:
    """Bound on loopback; whoever pulls gets what it sends."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUSH)
        self._socket.setsockopt(zmq.LINGER, 0)
        self.endpoint = f"tcp://127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"

    def send(self, *messages: bytes) -> None:
        for message in messages:
            assert self._socket.poll(20_000, zmq.POLLOUT), "nobody pulls"
            self._socket.send(message)

    def close(self) -> None:
        self._socket.close()
        self._context.term()

    def __enter__(self) -> Detector:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
