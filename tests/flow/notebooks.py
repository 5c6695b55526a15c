"""The notebooks of `docs/notebooks`, executed as a person would: a kernel of their own against a Tiled server.

Run as a process of its own, `python notebooks.py NAME EXPRESSION`: nbclient leaves its sockets to the end of a process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).parents[2] / "docs" / "notebooks"


def executed(name: str, expression: str, environment: dict[str, str]) -> Any:
    """Execute a notebook and return what an expression of its variables is in the end (JSON)."""
    command = [sys.executable, __file__, name, expression]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def execute(name: str, expression: str) -> str:
    """Execute a notebook and the expression, and return what the latter printed."""
    import nbformat
    from jupyter_client.manager import KernelManager
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell

    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), f"{name}: clear its outputs before you commit it"
    notebook.cells.append(new_code_cell(f"import json; print(json.dumps({expression}))"))
    manager = KernelManager(kernel_name="python3", transport="ipc")
    try:
        NotebookClient(notebook, km=manager, timeout=60).execute()
    finally:
        manager.shutdown_kernel(now=True)
    return str(notebook.cells[-1].outputs[-1]["text"])


if __name__ == "__main__":
    print(execute(*sys.argv[1:]))
