"""Say what the tests leave out where something beside Python packages is missing; in CI nothing may be."""

from __future__ import annotations

import os
import shutil
import sys

NEEDS = {
    "chromium": ("the live page in a real browser", "chromium"),
    "chromedriver": ("the live page in a real browser", "chromium-driver"),
    "redis-server": ("the plan queue with a real Redis", "redis-server"),
}
"""Program -> what is left out without it, its Debian package."""


def main() -> int:
    """Print a line per missing program; fail where CI is set."""
    missing = [(program, *rest) for program, rest in NEEDS.items() if shutil.which(program) is None]
    for program, tests, package in missing:
        sys.stderr.write(f"nvdac: {program} not found: leaving out {tests}; Debian: apt install {package}\n")
    return 1 if missing and os.environ.get("CI") else 0


if __name__ == "__main__":
    raise SystemExit(main())
