"""Logs of processes: one line per record as `key=value`, with the process and the run that it was busy with."""

from __future__ import annotations

import json
import logging
import sys
import time


class RunLog(logging.Formatter):
    """Formats records; `run_uid` is the run that the process is busy with."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process
        self.run_uid = ""

    def format(self, record: logging.LogRecord) -> str:
        """Return `time=... level=... process=... run=... logger=... text="..."`; a traceback is part of the text."""
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        run = f" run={self.run_uid}" if self.run_uid else ""
        head = f"time={moment} level={record.levelname} process={self._process}{run} logger={record.name}"
        return f"{head} text={json.dumps(text, ensure_ascii=False)}"


def log_to_stderr(process: str, level: int = logging.INFO) -> RunLog:
    """Send this process's records to standard error; set `run_uid` of what is returned as runs come."""
    formatter = RunLog(process)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    return formatter
