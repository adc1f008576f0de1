"""The ledger of connections: each record ends with the run that made it, whichever of the two messages comes first."""

from __future__ import annotations

import errno
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenterhook.sandbox.connections import MAX_PENDING, MAX_PER_RUN, ConnectionLedger, GateRecord


def record(sequence: int, address: str = "10.0.0.1", port: int = 22, **more: Any) -> GateRecord:
    values: dict[str, Any] = {"main_thread": True, "allowed": False, "reason": "not_public"} | more
    return GateRecord(sequence=sequence, address=address, port=port, **values)


def refused_name(name: str, **more: Any) -> GateRecord:
    return GateRecord.from_json({"name": name, "record_type": "A", "reason": "name_not_listed", **more})


def ledger_of(*runs: int) -> ConnectionLedger:
    ledger = ConnectionLedger()
    for run in runs:
        ledger.opened(run, at=100.0)
    return ledger


def taken(ledger: ConnectionLedger, run: int) -> list[tuple[str | None, int | None, bool]]:
    attempts, _ = ledger.take(run)
    return [(attempt.address, attempt.port, attempt.shared) for attempt in attempts]


@pytest.mark.parametrize("record_first", [True, False])
def test_claim_and_record_meet_in_either_order(record_first: bool) -> None:
    ledger = ledger_of(1, 2)
    if record_first:
        ledger.record(record(1), at=101)
        assert not ledger.is_complete(2)
    ledger.claim(2, "10.0.0.1", 22, offset_ms=5.5)
    assert ledger.is_complete(2) is record_first
    if not record_first:
        ledger.record(record(1), at=101)
    assert ledger.is_complete(1)
    assert ledger.is_complete(2)
    assert taken(ledger, 1) == []
    attempts, unlisted = ledger.take(2)
    assert unlisted == 0
    (attempt,) = attempts
    assert (attempt.offset_ms, attempt.shared, attempt.allowed) == (5.5, False, False)


def test_same_address_is_told_apart_by_order() -> None:
    ledger = ledger_of(1, 2)
    ledger.record(record(1, reason="first"), at=101)
    ledger.record(record(2, reason="second"), at=101)
    ledger.claim(2, "10.0.0.1", 22, offset_ms=1)
    ledger.claim(1, "10.0.0.1", 22, offset_ms=2)
    assert [each.reason for each in ledger.take(1)[0]] == ["second"]
    assert [each.reason for each in ledger.take(2)[0]] == ["first"]


@pytest.mark.parametrize(
    ("claimed", "recorded"),
    [("::ffff:10.0.0.1", "10.0.0.1"), ("0:0:0:0:0:0:0:1", "::1"), ("FD00::1", "fd00::1")],
)
def test_an_address_is_the_same_however_it_is_written(claimed: str, recorded: str) -> None:
    ledger = ledger_of(1, 2)
    ledger.claim(1, claimed, 22, offset_ms=1)
    ledger.record(record(1, recorded), at=101)
    assert taken(ledger, 2) == []
    assert taken(ledger, 1) == [(recorded, 22, False)]


def test_what_nobody_claims_is_everybodys_who_was_open_then() -> None:
    ledger = ledger_of(1, 2)
    ledger.record(record(1, main_thread=False), at=101)
    ledger.opened(3, at=102)
    assert taken(ledger, 3) == []
    assert taken(ledger, 1) == [("10.0.0.1", 22, True)]
    assert taken(ledger, 2) == [("10.0.0.1", 22, True)]


def test_what_nobody_claims_is_the_only_runs_without_doubt() -> None:
    ledger = ledger_of(1)
    ledger.record(record(1), at=101.5)
    assert ledger.is_complete(1)
    ((attempt,), _) = ledger.take(1)
    assert attempt.shared is False
    assert attempt.offset_ms == 1500


def test_native_code_on_the_main_thread_is_known_by_a_later_claim() -> None:
    ledger = ledger_of(1, 2)
    ledger.record(record(1, "10.0.0.9"), at=101)
    ledger.record(record(2, "10.0.0.1"), at=101)
    ledger.claim(1, "10.0.0.1", 22, offset_ms=7)
    assert ledger.is_complete(2)
    assert taken(ledger, 2) == [("10.0.0.9", 22, True)]
    assert sorted(taken(ledger, 1)) == [("10.0.0.1", 22, False), ("10.0.0.9", 22, True)]


def test_record_that_comes_after_its_run_is_not_hidden() -> None:
    ledger = ledger_of(1, 2)
    ledger.claim(1, "10.0.0.1", 22, offset_ms=1)
    assert taken(ledger, 1) == []
    ledger.record(record(1), at=101)
    assert taken(ledger, 2) == [("10.0.0.1", 22, False)]


def test_a_run_that_is_not_open_claims_nothing() -> None:
    ledger = ledger_of(1)
    assert ledger.claim(7, "10.0.0.1", 22, offset_ms=1) is False
    assert ledger.asks_name(7, "x.example", offset_ms=1) is False
    assert ledger.is_complete(7)
    assert ledger.take(7) == ((), 0)


def test_refused_name_is_the_askers_once() -> None:
    ledger = ledger_of(1, 2, 3)
    ledger.asks_name(1, "Internal.Example.", offset_ms=3)
    ledger.asks_name(2, "internal.example", offset_ms=4)
    for _ in range(4):  # A, AAAA, and again
        ledger.record(refused_name("internal.example", addresses=["10.9.9.9"]), at=101)
    ((attempt,), _) = ledger.take(1)
    assert (attempt.names, attempt.address, attempt.port, attempt.offset_ms) == (
        ("internal.example",),
        None,
        None,
        3,
    )
    assert not attempt.allowed
    assert len(ledger.take(2)[0]) == 1
    assert ledger.take(3) == ((), 0)


def test_refused_name_of_nobody_is_shared() -> None:
    ledger = ledger_of(1, 2)
    ledger.record(refused_name("internal.example"), at=101)
    assert taken(ledger, 1) == [(None, None, True)]


def test_a_name_that_was_only_reported_was_not_refused_and_hides_no_refusal() -> None:
    ledger = ledger_of(1)
    ledger.asks_name(1, "internal.example", offset_ms=3)
    ledger.record(refused_name("internal.example", reason="name_ok", explanation="Not listed."), at=101)
    ledger.record(refused_name("internal.example", reason="not_public", addresses=["10.9.9.9"]), at=101)
    attempts, _ = ledger.take(1)
    assert [(attempt.allowed, attempt.reported) for attempt in attempts] == [(True, True), (False, False)]


def test_outcome_tells_whether_it_was_established() -> None:
    ledger = ledger_of(1)
    ledger.claim(1, "1.1.1.1", 443, offset_ms=1)
    ledger.claim(1, "1.1.1.1", 443, offset_ms=2)
    for sequence in (1, 2):
        ledger.record(
            record(sequence, "1.1.1.1", 443, allowed=True, reason="public", errno=errno.EINPROGRESS), at=101
        )
    ledger.outcome(1, established=True)
    ((first, second), _) = ledger.take(1)
    assert (first.established, first.error, second.established) == (True, None, None)


def test_more_than_can_be_listed_are_counted_and_refused_ones_never_hide_behind_allowed_ones() -> None:
    ledger = ledger_of(1)
    for number in range(MAX_PER_RUN + 10):
        ledger.claim(1, "1.1.1.1", 443, offset_ms=number)
        ledger.record(record(number, "1.1.1.1", 443, allowed=True, reason="public"), at=101)
    ledger.claim(1, "10.0.0.1", 22, offset_ms=9999)
    ledger.record(record(9999), at=101)
    ledger.unreported(5)
    attempts, unlisted = ledger.take(1)
    assert unlisted == 15
    assert len(attempts) == MAX_PER_RUN + 1
    assert not attempts[-1].allowed


def test_without_a_gate_claims_are_all_there_is() -> None:
    ledger = ConnectionLedger(gated=False)
    ledger.opened(1, at=100)
    assert ledger.claim(1, "127.0.0.1", 80, offset_ms=2)
    assert ledger.is_complete(1)
    ((attempt,), _) = ledger.take(1)
    assert (attempt.allowed, attempt.reason) == (True, "unjudged")


def test_floods_are_bounded() -> None:
    ledger = ledger_of(1, 2)
    for number in range(3 * MAX_PENDING):
        ledger.record(record(number, f"10.0.{number % 250}.1"), at=101)
        ledger.outcome(number, established=None)
    useful = sum(ledger.claim(2, "9.9.9.9", port, offset_ms=1) for port in range(3 * MAX_PENDING))
    assert useful == MAX_PENDING
    assert (
        sum(ledger.asks_name(2, f"{n}.example", offset_ms=1) for n in range(3 * MAX_PENDING)) == MAX_PENDING
    )
    assert len(ledger._pending) <= MAX_PENDING
    assert len(ledger._claims) <= MAX_PENDING
    assert len(ledger._outcomes) <= MAX_PENDING
    attempts, unlisted = ledger.take(1)
    assert len(attempts) == MAX_PER_RUN
    assert unlisted == 3 * MAX_PENDING - MAX_PER_RUN
    ledger.take(2)
    assert not ledger._pending
    assert not ledger._claims
    assert not ledger._by_endpoint
    assert not ledger._claims_by_endpoint


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3)), max_size=60),
    st.integers(0, 2**32),
)
def test_every_connection_comes_to_its_run_however_the_two_streams_interleave(
    made: list[tuple[int, int]], seed: int
) -> None:
    """Each stream keeps its order; which of the two is read first is chance."""
    chance = random.Random(seed)
    ledger = ledger_of(1, 2, 3, 4, 5)
    records = [record(number, f"10.0.0.{host}") for number, (_, host) in enumerate(made)]
    claims = list(made)
    at_record = at_claim = 0
    while at_record < len(records) or at_claim < len(claims):
        if at_claim == len(claims) or (at_record < len(records) and chance.random() < 0.5):
            ledger.record(records[at_record], at=101)
            at_record += 1
        else:
            run, host = claims[at_claim]
            ledger.claim(run, f"10.0.0.{host}", 22, offset_ms=at_claim)
            at_claim += 1
    for run in range(1, 6):
        assert ledger.is_complete(run)
        expected = [(f"10.0.0.{host}", 22, False) for owner, host in made if owner == run]
        assert taken(ledger, run) == expected


def test_gate_record_survives_its_way() -> None:
    made = record(3, names=("a.example", "b.example"), errno=errno.EACCES, entry_to_add="10.0.0.1:22")
    assert GateRecord.from_json(made.to_json() | {"unknown": 1}) == made
    assert made.to_attempt(offset_ms=1.23456).error == "EACCES"
    long = GateRecord.from_json(made.to_json() | {"names": ["x" * 10_000] * 100})
    assert max(map(len, long.names)) == 255
    assert len(long.names) == 16
