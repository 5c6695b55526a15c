"""Run a process and write down what numba compiles in it: `python -m tests.analyzers.counted MODULE SETTINGS`.

Machine code found on disk is no compilation. The first line is a function compiled here, to show that they are seen.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import event

FILE = "COMPILATIONS"
"""Environment variable with the path of the file."""
CONTROL = "control"
"""What the first line says."""


class Compilations(event.Listener):
    """Appends a line to a file at the start of each compilation."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_start(self, event: Any) -> None:
        """Write down the function that is compiled."""
        with self._path.open("a") as file:
            file.write(f"{event.data['dispatcher'].py_func.__name__}\n")

    def on_end(self, event: Any) -> None:
        """Nothing to add."""


def main() -> None:
    """Count from here until the process ends."""
    module = sys.argv.pop(1)
    path = Path(os.environ[FILE])
    path.write_text("")
    event.register("numba:compile", Compilations(path))

    def control(x: int) -> int:
        return x

    njit(control)(1)
    importlib.import_module(module).main()


if __name__ == "__main__":
    main()
