"""What instruments answer, read with suspicion: a number has to be one and has to be possible."""

from __future__ import annotations

import math

from devices.ioc.link import Link, RefusedError, ReplyError


def number(text: str, what: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Return the number in an answer.

    Parameters
    ----------
    text
        The answer; `+1.234E-03` is one, an empty text is none.
    what
        What was asked for, with its unit, for the message.
    low, high
        The least and the greatest that the instrument can mean.

    Raises
    ------
    ReplyError
        Where it is not a number, not finite or outside `low` to `high`.
    """
    try:
        value = float(text)
    except ValueError:
        raise ReplyError(f"{what}: the answer {text[:60]!r} is not a number") from None
    if not math.isfinite(value) or not low <= value <= high:
        raise ReplyError(f"{what}: the answer {text[:60]!r} is outside {low:g} to {high:g}")
    return value


def integer(text: str, what: str, low: int, high: int) -> int:
    """Return the whole number in an answer; see `number`."""
    value = number(text, what, low, high)
    if value != int(value):
        raise ReplyError(f"{what}: the answer {text[:60]!r} is not a whole number")
    return int(value)


def numbers(text: str, what: str, count: int, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """Return the `count` comma-separated numbers in an answer; see `number`."""
    parts = text.split(",")
    if len(parts) != count:
        raise ReplyError(f"{what}: the answer {text[:60]!r} has {len(parts)} parts, not {count}")
    return [number(part.strip(), what, low, high) for part in parts]


def identity(link: Link, *wanted: str) -> str:
    """Return the answer to *IDN?.

    Raises
    ------
    RefusedError
        Where none of `wanted` is in it: another instrument is at this address.
    """
    answer = link.ask("*IDN?")
    if wanted and not any(word.lower() in answer.lower() for word in wanted):
        raise RefusedError(f"another instrument is here: {answer[:80]!r} is no {' or '.join(wanted)}")
    return answer


def scpi_error(link: Link, query: str = "SYST:ERR?") -> str:
    """Return the oldest error of a SCPI instrument's queue; empty where there is none."""
    answer = link.ask(query)
    code, _, text = answer.removeprefix(query.rstrip("?")).strip().partition(",")
    if integer(code, query, -32768, 32767) == 0:
        return ""
    return text.strip().strip('"') or f"error {code}"
