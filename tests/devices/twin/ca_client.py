"""Channel Access in a process of its own, one JSON request a line: CA reads its environment once per process."""

from __future__ import annotations

import json
import sys
import threading

from devices.channel_access import quiet_repeater

quiet_repeater()

import epics  # noqa: E402


def until(pv, low, high, timeout_s):
    """Wait by monitor until low <= value <= high."""
    there = threading.Event()

    def seen(value=None, **_):
        if low <= value <= high:
            there.set()

    index = pv.add_callback(seen, run_now=True)
    try:
        return there.wait(timeout_s)
    finally:
        pv.remove_callback(index)


def main():
    pvs = {}
    for line in sys.stdin:
        request = json.loads(line)
        name = request["pv"]
        pv = pvs.get(name) or pvs.setdefault(name, epics.PV(name))
        if not pv.wait_for_connection(timeout=10):
            answer = "not connected"
        elif request["do"] == "get":
            answer = pv.get(use_monitor=False, as_string=request["text"], timeout=10)
            answer = answer.tolist() if hasattr(answer, "tolist") else answer
        elif request["do"] == "put":
            answer = pv.put(request["value"], wait=True, timeout=20)
        else:
            answer = until(pv, request["low"], request["high"], request["timeout_s"])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


main()
