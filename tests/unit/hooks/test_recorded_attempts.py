"""What an attempt keeps of an execution."""

from __future__ import annotations

import datetime as dt
import json

from tenterhook.hooks.hook_runs import result_of
from tenterhook.sandbox import Call, ConnectionAttempt, Execution, Outcome, Verdict

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def test_calls_and_connections_are_kept_as_json():
    call = Call(offset_ms=1.0, method="GET", host="h", path="/", status=200, bytes_sent=0, bytes_received=9)
    refused = ConnectionAttempt(
        offset_ms=2.0,
        address="10.0.0.1",
        port=22,
        names=("a.example",),
        allowed=False,
        reason="not_public",
        explanation="It is private.",
        setting="TENTERHOOK_EGRESS_ALLOW",
        entry_to_add="10.0.0.1:22",
        error="EACCES",
    )
    execution = Execution(
        run_id="r",
        attempt=1,
        outcome=Outcome.OK,
        verdict=Verdict(result={}),
        error=None,
        console=(),
        calls=(call,),
        connections=(refused,),
        notes=(),
        limit=None,
        started_at=NOW,
        called_back_at=NOW,
        settled_at=NOW,
        milliseconds_to_start=1.0,
        milliseconds_to_callback=1.0,
        milliseconds_to_settled=1.0,
    )
    result = result_of(execution)
    assert execution.refused == (refused,)
    (kept,) = json.loads(json.dumps(result.connections))
    assert (kept["address"], kept["port"], kept["names"], kept["allowed"]) == (
        "10.0.0.1",
        22,
        ["a.example"],
        False,
    )
    assert (kept["setting"], kept["entry_to_add"]) == ("TENTERHOOK_EGRESS_ALLOW", "10.0.0.1:22")
    assert json.loads(json.dumps(result.calls))[0]["bytes_received"] == 9
