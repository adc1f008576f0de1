"""Whatever a process writes becomes messages that an open run takes, finds useless or refuses; nothing else."""

from __future__ import annotations

import asyncio
import errno
import json
import sys
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tenterhook import egress
from tenterhook.clock import SystemClock
from tenterhook.sandbox import limits
from tenterhook.sandbox.connections import ConnectionLedger, GateRecord
from tenterhook.sandbox.execution import Execution, Outcome
from tenterhook.sandbox.limits import Confinement, Limits
from tenterhook.sandbox.open_run import OpenRun
from tenterhook.sandbox.protocol import Fields, FrameDecoder, ProtocolViolation, encode
from tenterhook.sandbox.script import Invocation, Script, Webtask

from .frames import messages_of

SECRET = "sesame-open-42"
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
KINDS = st.sampled_from(
    ["console", "call", "connection", "lookup", "late_error", "failed", "note", "called_back", "settled", "x"]
)
NAMES = (
    "offset_ms", "level", "text", "truncated", "method", "host", "path", "status", "milliseconds", "error", "result",
    "open_at_callback", "bytes_sent", "bytes_received", "address", "port", "name",
)  # fmt: skip
LIKELY: dict[str, Any] = {
    "offset_ms": 1, "level": "log", "text": SECRET, "truncated": False, "method": "GET", "host": "h", "path": "/",
    "status": 200, "milliseconds": 1.5, "open_at_callback": False, "address": "10.0.0.1", "port": 22, "name": "x.example",
    "error": {"name": "E", "message": SECRET, "stack": None, "code": None, "properties": {"a": SECRET}},
}  # fmt: skip


def open_run(*, confinement: Confinement | None = None, **own: Any) -> OpenRun:
    run = OpenRun(
        Script(key="k", source=""),
        Invocation(run_id="r", arguments=(), webtask=Webtask(secrets={"S": SECRET})),
        limits=Limits(console_bytes=2000, **own),
        storage=None,
        observer=None,
        clock=SystemClock(),
        confinement=confinement,
    )
    run.joins(ConnectionLedger(), 1)
    return run


def feed(run: OpenRun, data: bytes, decoder: FrameDecoder) -> None:
    for message in messages_of(decoder, data):
        fields = Fields(message)
        if message["type"] == "called_back":
            run.on_called_back(fields)
        else:
            run.receive(message["type"], fields)


def finished(run: OpenRun) -> Execution:
    run.finish(Outcome.OK)
    return run.result.result()


def check(execution: Execution) -> None:
    assert SECRET not in repr(execution)
    assert sum(len(line.text.encode()) for line in execution.console) <= 2000
    assert len(execution.console) <= 2000 / 32 + 2
    assert len(execution.calls) <= 512
    assert len(execution.notes) <= 33
    assert len(execution.connections) <= 1024


@given(
    st.lists(
        st.tuples(
            KINDS, st.dictionaries(st.sampled_from(NAMES), JSONS | st.just(SECRET), max_size=4), st.booleans()
        ),
        max_size=12,
    ),
    st.integers(1, 50),
)
def test_any_fields_are_taken_or_refused(messages: list[tuple[str, dict[str, Any], bool]], size: int) -> None:
    async def go() -> None:
        run, decoder = open_run(), FrameDecoder(max_frame_bytes=100_000)
        for kind, odd, likely in messages:
            text = json.dumps({"type": kind} | (LIKELY if likely else {}) | odd).encode()
            data = len(text).to_bytes(4, "big") + text
            try:
                for at in range(0, len(data), size):
                    feed(run, data[at : at + size], decoder)
            except ProtocolViolation:
                break
        check(finished(run))

    asyncio.run(go())


@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_bytes_are_messages_or_a_violation(data: bytes, size: int) -> None:
    async def go() -> None:
        run, decoder = open_run(), FrameDecoder(max_frame_bytes=200)
        try:
            for at in range(0, len(data), size):
                feed(run, data[at : at + size], decoder)
        except ProtocolViolation:
            pass
        check(finished(run))

    asyncio.run(go())


@pytest.mark.parametrize("kind", ["console", "call", "connection", "lookup", "late_error", "failed", "note"])
async def test_a_flood_of_one_kind_becomes_useless_and_leaves_little(kind: str) -> None:
    run = open_run()
    error = None if kind == "call" else LIKELY["error"]
    fields = Fields({"type": kind} | LIKELY | {"text": SECRET * 3, "error": error})
    useful = sum(run.receive(kind, fields) for _ in range(10_000))
    assert useful < 5000
    check(finished(run))


async def test_an_unknown_kind_is_a_violation() -> None:
    with pytest.raises(ProtocolViolation):
        open_run().receive("give_me_root", Fields({"type": "give_me_root"}))


async def test_a_console_line_that_was_cut_through_a_secret_shows_nothing_of_it() -> None:
    run = open_run()
    run.receive("console", Fields({**LIKELY, "text": f"token {SECRET[:9]}", "truncated": True}))
    assert [line.text for line in finished(run).console] == ["token [secret S]"]


async def test_the_answer_is_word_for_word_and_what_is_kept_is_masked() -> None:
    seen: list[Any] = []

    class Watch:
        def on_answer(self, answer: Any) -> None:
            seen.append(answer.result)

        def on_called_back(self, verdict: Any) -> None:
            seen.append(verdict.result)

    run = open_run()
    run._observer = Watch()  # type: ignore[assignment]
    run.on_called_back(Fields({"type": "called_back", "result": {"user": [SECRET]}}))
    assert seen == [{"user": [SECRET]}, {"user": ["[secret S]"]}]
    verdict = finished(run).verdict
    assert verdict is not None
    assert verdict.result == {"user": ["[secret S]"]}


async def test_a_name_that_was_refused_explains_that_it_was_not_found() -> None:
    run = open_run()
    ledger = ConnectionLedger()
    run.joins(ledger, 1)
    run.receive("lookup", Fields({"type": "lookup", "offset_ms": 1, "name": "wiki.internal"}))
    ledger.record(
        GateRecord.from_json(
            {"name": "wiki.internal", "reason": "name_not_listed", "explanation": "It is not listed."}
        ),
        at=1,
    )
    error = {
        "name": "Error",
        "message": "getaddrinfo ENOTFOUND wiki.internal",
        "stack": None,
        "code": "ENOTFOUND",
    }
    run.on_called_back(Fields({"type": "called_back", "error": {**error, "properties": {}}}))
    run.finish_settled()
    execution = run.result.result()
    assert execution.error is not None
    assert execution.error.message == "getaddrinfo ENOTFOUND wiki.internal: It is not listed."
    assert execution.error.code == "ENOTFOUND"
    assert [attempt.names for attempt in execution.refused] == [("wiki.internal",)]


def ended(run: OpenRun, record: dict[str, Any] | None, message: str, code: str = "ENOTFOUND") -> Execution:
    """End a run with an error, after the gate told of one refusal and the runtime claimed it."""
    if record is not None:
        ledger = ConnectionLedger()
        run.joins(ledger, 1)
        if "name" in record:
            run.receive("lookup", Fields({"type": "lookup", "offset_ms": 1, "name": record["name"]}))
        else:
            run.receive(
                "connection",
                Fields({"offset_ms": 1, "address": record["address"], "port": record["port"]}),
            )
            record = {"sequence": 1, "main_thread": True, "allowed": False, **record}
        ledger.record(GateRecord.from_json(record), at=1)
    error = {"name": "Error", "message": message, "stack": None, "code": code, "properties": {}}
    run.on_called_back(Fields({"type": "called_back", "error": error}))
    run.finish_settled()
    return run.result.result()


async def test_a_secret_in_a_refused_name_is_masked_wherever_the_name_stands() -> None:
    name = f"{SECRET}.example.com"
    refused = egress.Policy(rules=egress.Rules.of("enforce")).judge_name(name)
    told = {"name": name, "reason": refused.reason.value, "explanation": refused.explanation}
    told |= {"setting": refused.setting, "entry_to_add": refused.entry_to_add}
    execution = ended(open_run(), told, f"getaddrinfo ENOTFOUND {name}")
    (attempt,) = execution.refused
    assert attempt.names == ("[secret S].example.com",)
    assert attempt.entry_to_add == "[secret S].example.com:443"
    assert attempt.explanation.startswith("[secret S].example.com is not on the hook's list")
    assert execution.error is not None
    assert attempt.explanation in execution.error.message
    check(execution)


async def test_a_secret_that_is_an_address_is_masked_in_the_refusal_and_its_error() -> None:
    run = OpenRun(
        Script(key="k", source=""),
        Invocation(run_id="r", arguments=(), webtask=Webtask(secrets={"HOST": "10.20.30.40"})),
        limits=Limits(),
        storage=None,
        observer=None,
        clock=SystemClock(),
    )
    refused = egress.Policy().judge("10.20.30.40", 22)
    told = {"address": "10.20.30.40", "port": 22, "errno": errno.EACCES, "reason": refused.reason.value}
    told |= {"explanation": refused.explanation, "entry_to_add": refused.entry_to_add}
    execution = ended(run, told, "connect EACCES 10.20.30.40:22", "EACCES")
    assert "10.20.30.40" not in repr(execution)
    assert execution.error is not None
    assert "[secret HOST]:22: [secret HOST] is private" in execution.error.message


async def test_a_name_that_leads_inside_tells_the_hooks_author_nothing_of_the_address() -> None:
    secret_address = "10.99.88.77"
    refused = egress.Policy().judge(secret_address, 443)
    told = {
        "name": "wiki.internal",
        "record_type": "A",
        "addresses": [secret_address],
        "reason": refused.reason.value,
        "explanation": refused.explanation,
        "setting": refused.setting,
        "entry_to_add": refused.entry_to_add,
    }
    with structlog.testing.capture_logs() as logged:
        execution = ended(open_run(), told, "getaddrinfo ENOTFOUND wiki.internal")
    (attempt,) = execution.refused
    assert (attempt.names, attempt.address, attempt.entry_to_add) == (("wiki.internal",), None, None)
    assert secret_address not in repr(execution)
    assert "private" not in repr(execution)
    assert execution.error is not None
    assert "leads to an address that is not public" in execution.error.message
    (event,) = [each for each in logged if each["event"] == "egress_name_withheld"]
    assert event["addresses"] == [secret_address]
    assert event["name"] == "wiki.internal"
    assert secret_address in event["explanation"]


@pytest.mark.parametrize("address", ["10.1.2.3", "127.0.0.1", "169.254.169.254", "0.0.0.0", "fe80::1"])
async def test_names_that_lead_to_different_insides_are_refused_in_the_same_words(address: str) -> None:
    def told(where: str) -> dict[str, Any]:
        refused = egress.Policy().judge(where, 443)
        return {
            "name": "wiki.internal",
            "addresses": [where],
            "reason": refused.reason.value,
            "explanation": refused.explanation,
            "setting": refused.setting,
            "entry_to_add": refused.entry_to_add,
        }

    assert GateRecord.from_json(told(address)) == GateRecord.from_json(told("10.0.0.1"))


@pytest.mark.parametrize("address", ["224.0.0.1", "10.0.0.1", "fd00::1"])
async def test_a_refused_connection_is_explained_in_the_error_by_the_gate(address: str) -> None:
    refused = egress.Policy().judge(address, 443)
    place = f"[{address}]:443" if ":" in address else f"{address}:443"
    told = {"address": address, "port": 443, "errno": errno.EACCES, "reason": refused.reason.value}
    told |= {"explanation": refused.explanation, "setting": refused.setting}
    for message in (f"connect EACCES {place}", f"request failed, reason: connect EACCES {place}: refused"):
        execution = ended(open_run(), told, message, "EACCES")
        assert execution.error is not None
        assert execution.error.message == f"{message}: {refused.explanation}"
    # Of another port nothing is known.
    execution = ended(open_run(), told, f"connect EACCES {place}0", "EACCES")
    assert execution.error is not None
    assert execution.error.message == f"connect EACCES {place}0"


CONFINEMENT = Confinement(open_files=123, scratch_bytes=70_000, max_connections=7)


@pytest.mark.parametrize(
    ("code", "reason", "noted"),
    [
        ("EMFILE", None, limits.open_files(123)),
        ("ENOSPC", None, limits.scratch(70_000)),
        ("EFBIG", None, limits.scratch(70_000)),
        ("EMFILE", "too_many_connections", limits.connections(7)),
        ("SWALLOWED", "too_many_connections", limits.connections(7)),
        ("EMFILE", "too_many_questions", None),
        ("ECONNRESET", None, None),
    ],
)
async def test_the_limit_that_an_error_met_is_noted(
    code: str, reason: str | None, noted: limits.LimitHit | None
) -> None:
    record = None
    if reason is not None:
        record = {"address": "1.1.1.1", "port": 443, "errno": errno.EMFILE, "reason": reason}
    for confinement in (CONFINEMENT, None):
        execution = ended(open_run(confinement=confinement), record, "What it met.", code)
        wanted = () if noted is None or confinement is None else (f"Met the {noted}.",)
        assert execution.notes == wanted
        assert execution.limit is None


async def test_a_good_verdict_notes_the_connections_that_it_could_not_have() -> None:
    run, ledger = open_run(confinement=CONFINEMENT), ConnectionLedger()
    run.joins(ledger, 1)
    told = {"sequence": 1, "main_thread": False, "allowed": False, "address": "1.1.1.1", "port": 443}
    ledger.record(GateRecord.from_json(told | {"reason": "too_many_connections"}), at=1)
    assert finished(run).notes == (f"Met the {limits.connections(7)}.",)


LARGE = {
    "numbers": "[" + ",".join(["0"] * 500_000) + "]",
    "one infinite number among many": "[1e999," + ",".join(["0"] * 500_000) + "]",
    "small texts with a lone surrogate": '["\\ud800",' + ",".join(['""'] * 300_000) + "]",
    "escapes": '"' + "\\u0000" * 170_000 + '"',
    "empty lists": "[" + ",".join(["[]"] * 350_000) + "]",
    "objects": "[" + ",".join(['{"a":1}'] * 130_000) + "]",
}


@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE.keys())
def test_a_large_answer_is_read_without_python_code_for_each_of_its_parts(value: str) -> None:
    """Half a million calls of Python functions would block the event loop for as many microseconds."""
    body = b'{"type":"called_back","run":1,"result":' + value.encode() + b"}"
    frame = len(body).to_bytes(4, "big") + body
    decoder = FrameDecoder(max_frame_bytes=1 << 21)
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    decoder.push(frame)
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        decoder.next_message()
    except ProtocolViolation:
        assert "1e999" in value
    finally:
        sys.setprofile(before)
    # Escapes that no database takes are the exception: one cheap call for each, and a frame has no room for more.
    # The collector of garbage calls who asked to be told, now and then.
    assert calls < 5000 + value.count("u0000")


@pytest.mark.parametrize(
    ("kind", "accepted"), [("called_back", True), ("storage_set", True), ("console", False)]
)
def test_only_answers_and_documents_may_be_large(kind: str, accepted: bool) -> None:
    frame = encode({"type": kind, "text": "x" * (1 << 20)})
    decoder = FrameDecoder(max_frame_bytes=1 << 22)
    if accepted:
        assert len(messages_of(decoder, frame)) == 1
    else:
        with pytest.raises(ProtocolViolation):
            messages_of(decoder, frame)
