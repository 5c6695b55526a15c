"""The one exception whose text goes to a person as it is."""

from __future__ import annotations


class DeployError(Exception):
    """Something the user can mend: one line saying what is wrong and what to do."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        """Keep the line and the exit code of the command."""
        super().__init__(message)
        self.exit_code = exit_code
