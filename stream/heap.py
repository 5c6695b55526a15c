"""The C library's heap, told to keep what it has."""

from __future__ import annotations

import contextlib
import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_KEEP_BYTES = 256 * 1024 * 1024
_LARGEST_BYTES = 32 * 1024 * 1024
"""Most that glibc takes for the size from which a block is mapped alone."""
_STEP_BYTES = 16 * 1024 * 1024


def keep_heap() -> None:
    """Keep freed memory of up to 256 MiB: what carries frames would be mapped and zeroed anew for every message.

    By default glibc gives blocks of a band's size back to the kernel each time; over TCP that is a fifth of the cost.
    Where the C library has no `mallopt` nothing changes.
    """
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        sizes = (_MMAP_THRESHOLD, _LARGEST_BYTES), (_TRIM_THRESHOLD, _KEEP_BYTES), (_TOP_PAD, _STEP_BYTES)
        for what, value in sizes:
            mallopt(what, value)
