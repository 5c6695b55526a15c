"""Records of the finished steps of campaigns: a step whose key is known is not done again."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.output import write_whole
from stream.messages import Json


class Steps:
    """Records of finished steps: `<folder>/steps/<key>.json`, each written whole after its result."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done, self.known = 0, 0
        (folder / "steps").mkdir(parents=True, exist_ok=True)

    def result(self, key: str) -> Json | None:
        """Return what a step gave, None where it is not done or its files are gone."""
        try:
            record: Json = json.loads((self.folder / "steps" / f"{key}.json").read_text())
        except (OSError, ValueError):
            return None
        if not all(Path(str(path)).exists() for path in _paths(record)):
            return None
        self.known += 1
        return record

    def finish(self, key: str, record: Json) -> None:
        """Say that a step is done."""
        write_whole(self.folder / "steps" / f"{key}.json", json.dumps(record) + "\n")
        self.done += 1


def _paths(record: Json) -> list[str]:
    return [str(record[name]) for name in ("folder", "file") if name in record]
