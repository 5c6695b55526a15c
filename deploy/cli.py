"""The command line: `nvdac`."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    raise SystemExit("nvdac: not yet")
