"""Mutated messages at the codec: refused with a reason or valid, nothing else; 10^4 here, 10^6 with `make soak`."""

from __future__ import annotations

import os
import resource
import time

import pytest

from stream.codec import CodecError, decode, encode
from tests.stream.mutator import KINDS, Mutator

COUNT = 1_000_000 if os.environ.get("NVDAC_SOAK") else 10_000
MIB = 1024


@pytest.mark.timeout(1800)
def test_mutated_messages_are_refused_or_valid():
    mutator = Mutator(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused, slowest = 0, 0.0
    reasons: dict[tuple[str, str, bool], int] = {}
    for parts in mutator.messages(COUNT):
        began = time.process_time()
        try:
            message = decode(parts)
        except CodecError as error:
            refused += 1
            reason = (error.code, error.reason[:12], len(error.reason) < 300)
            reasons[reason] = reasons.get(reason, 0) + 1
        else:
            # what is taken is a message that could have been sent
            assert [bytes(part) for part in encode(message)][1:] == parts[1:]
        slowest = max(slowest, time.process_time() - began)
    assert 0.5 * COUNT < refused < COUNT
    assert len(reasons) > 10
    assert all(code in ("malformed", "protocol") and short for code, _, short in reasons)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * MIB
    # no message of a few hundred bytes takes the receiver's time: a bound of a hundred times what is usual
    assert slowest < 1.0


def test_the_mutator_knows_every_kind_and_repeats_itself():
    first, second = Mutator(7), Mutator(7)
    assert {type(decode(parts)) for parts in first.valid} == set(KINDS)
    assert list(first.messages(50)) == list(second.messages(50))
