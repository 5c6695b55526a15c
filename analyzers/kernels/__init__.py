"""Compiled kernels of the fits: free functions over arrays, no other package of ours but physics."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

KERNEL_VERSION = 6
"""Raised whenever a kernel may give other bits for the same input; part of the version hash of every result."""


def _drop_stale_machine_code(folder: Path) -> None:
    """Remove cached machine code of older sources.

    numba keeps a kernel's code until that kernel's own file changes; a change in a function that it calls from another
    file would go unnoticed. So the digest of all sources lies beside the cache, and where it differs the cache goes.
    """
    digest = hashlib.sha256()
    for source in sorted(folder.glob("*.py")):
        digest.update(source.name.encode() + source.read_bytes())
    cache, stamp = folder / "__pycache__", folder / "__pycache__" / "sources.sha256"
    # a folder that cannot be written has no cache of its own to go stale
    with contextlib.suppress(OSError):
        if stamp.exists() and stamp.read_text() == digest.hexdigest():
            return
        for name in (*cache.glob("*.nbi"), *cache.glob("*.nbc")):
            name.unlink(missing_ok=True)
        cache.mkdir(exist_ok=True)
        stamp.write_text(digest.hexdigest())


_drop_stale_machine_code(Path(__file__).parent)
