"""A burst, then a rate."""

from __future__ import annotations

import pytest

from tenterhook.sandbox.gate import token_bucket
from tenterhook.sandbox.gate.token_bucket import TokenBucket


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr(token_bucket.time, "monotonic", lambda: Clock.now)
    return Clock


def test_burst_then_rate(clock):
    bucket = TokenBucket(burst=3, per_second=2)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    assert bucket.seconds_until_next() == 0.5
    clock.now += 0.5
    assert bucket.seconds_until_next() == 0.0
    assert [bucket.take(), bucket.take()] == [True, False]


def test_never_more_than_the_burst(clock):
    bucket = TokenBucket(burst=2, per_second=10)
    clock.now += 1000
    assert [bucket.take() for _ in range(3)] == [True, True, False]


def test_reserving_queues_up(clock):
    bucket = TokenBucket(burst=1, per_second=2)
    assert [bucket.reserve() for _ in range(3)] == [0.0, 0.5, 1.0]
    clock.now += 2
    assert bucket.reserve() == 0.0
