"""Outgoing HTTP requests, as the run's record shows them."""

from __future__ import annotations

import pytest

from tenterhook.sandbox import Outcome

from .conftest import Runner, Sink

HEAD = "module.exports = function (user, context, cb) {"


@pytest.mark.parametrize(
    "send",
    [
        "const r = require('http').request('URL_/hook/a?token=s3cret', {method: 'POST'}, (a) => a.resume()); r.end('{}')",
        "fetch('URL_/hook/a?token=s3cret', {method: 'POST', body: '{}'}).then((a) => a.text())",
    ],
)
async def test_call_is_recorded_without_its_query(run: Runner, sink: Sink, send: str) -> None:
    execution = await run(f"{HEAD} cb(); {send.replace('URL_', sink.url)} }}")
    assert execution.outcome is Outcome.OK
    (call,) = execution.calls
    assert (call.method, call.host, call.path, call.status) == (
        "POST",
        f"127.0.0.1:{sink.port}",
        "/hook/a",
        200,
    )
    assert call.error is None
    assert call.milliseconds is not None
    assert call.milliseconds > 0
    assert "s3cret" not in repr(execution)
    assert len(execution.connections) == 1


async def test_each_redirect_is_a_call_and_refusals_say_why(run: Runner) -> None:
    execution = await run(f"{HEAD} require('http').get('http://127.0.0.1:9/').on('error', () => cb()) }}")
    (call,) = execution.calls
    assert (call.status, call.error) == (None, "ECONNREFUSED")
    assert call.failed


async def test_answer_that_is_cut_is_a_failure(run: Runner, sink: Sink) -> None:
    source = f"{HEAD} fetch('{sink.url}/cut').catch(() => cb()) }}"
    (call,) = (await run(source)).calls
    assert call.failed
    assert call.error


async def test_a_raw_connection_is_counted(run: Runner, sink: Sink) -> None:
    source = (
        f"{HEAD} const s = require('net').connect({sink.port}, '127.0.0.1', () => {{ s.destroy(); cb() }}) }}"
    )
    execution = await run(source)
    assert len(execution.connections) == 1
    assert execution.calls == ()


async def test_calls_of_many_are_bounded(run: Runner, sink: Sink) -> None:
    source = f"{HEAD} let n = 0; const go = () => n++ < 520 ? require('http').get('{sink.url}/n', (r) => r.resume().on('end', go)) : cb(); go() }}"
    execution = await run(source)
    assert execution.outcome is Outcome.OK
    assert len(execution.calls) == 512
    assert execution.notes == ("Only the first 512 outgoing calls are kept.",)
