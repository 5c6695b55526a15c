"""Compile once per site: the processes that need the same kernels take turns, so that only the first one compiles."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Generator
from pathlib import Path

from stream.settings import StreamSettings


@contextlib.contextmanager
def one_at_a_time(settings: StreamSettings) -> Generator[None]:
    """Hold the site's compile lock: who comes second finds the compiled kernels in the cache on disk.

    The lock goes with the process that holds it, however that ends.
    """
    with (Path(settings.runtime_dir) / "compile.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
