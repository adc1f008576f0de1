"""Errors that nobody catches belong to the run that caused them, and never end the process."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tenterhook.sandbox import ErrorCode, Outcome

from .conftest import Runner, Sink

HEAD = "module.exports = function (user, context, cb) {"
LATE = [
    "setTimeout(() => { throw new Error('late') }, 20)",
    "setImmediate(() => { throw new Error('late') })",
    "process.nextTick(() => { throw new Error('late') })",
    "queueMicrotask(() => { throw new Error('late') })",
    "Promise.reject(new Error('late'))",
    "(async () => { await null; throw new Error('late') })()",
    "new Promise((_, no) => setTimeout(() => no(new Error('late')), 20))",
    "require('fs').readFile('/nowhere', () => { throw new Error('late') })",
    "new (require('events'))().emit('error', new Error('late'))",
    "setTimeout(() => new (require('events'))().emit('error', new Error('late')), 5)",
]


@pytest.mark.parametrize("late", LATE)
async def test_error_instead_of_cb_is_the_verdict(run: Runner, late: str) -> None:
    execution = await run(f"{HEAD} {late} }}")
    assert execution.outcome is Outcome.ERROR
    assert execution.error is not None
    assert execution.error.message == "late"
    assert "my-hook.js:1:" in (execution.error.stack or "")


@pytest.mark.parametrize("late", [each for each in LATE if not each.startswith("new (require")])
async def test_error_after_cb_fails_the_run_but_keeps_the_verdict(run: Runner, late: str) -> None:
    execution = await run(f"{HEAD} cb(null, 'said'); {late} }}")
    assert execution.outcome is Outcome.ERROR
    assert execution.error is not None
    assert execution.error.message == "late"
    assert execution.verdict is not None
    assert execution.verdict.result == "said"


async def test_fifty_runs_at_once_keep_their_own_errors_lines_and_calls(run: Runner, sink: Sink) -> None:
    source = """
    module.exports = function (user, context, cb) {
      const n = context.webtask.id;
      setTimeout(() => {
        console.log(n);
        require('http').get(`URL_/slow/20/${n}`, (r) => r.resume());
        fetch(`URL_/slow/10/f${n}`).then((r) => r.text()).then(() => Promise.reject(new Error(n)));
        cb();
      }, Math.random() * 50);
    }""".replace("URL_", sink.url)
    executions = await asyncio.gather(*(run(source, run_id=f"n{number}") for number in range(50)))
    for execution in executions:
        n = execution.run_id
        assert [line.text for line in execution.console] == [n]
        assert sorted(call.path for call in execution.calls) == [f"/slow/10/f{n}", f"/slow/20/{n}"]
        assert execution.error is not None
        assert execution.error.message == n


@pytest.mark.parametrize(
    "end",
    [
        "process.exit(3)",
        "process.abort()",
        "process.kill(process.pid)",
        "process.kill(1, 'SIGKILL')",
        "process.reallyExit(0)",
    ],
)
async def test_ending_the_process_is_an_error_of_the_run(run: Runner, end: str) -> None:
    beside = asyncio.create_task(
        run(f"{HEAD} setTimeout(() => cb(null, (globalThis.which ??= crypto.randomUUID())), 300) }}")
    )
    execution = await run(f"{HEAD} {end} }}")
    assert execution.outcome is Outcome.ERROR
    assert execution.error is not None
    assert execution.error.code == ErrorCode.NOT_AVAILABLE
    late = await run(f"{HEAD} cb(); setTimeout(() => {{ {end} }}, 5) }}")
    assert late.outcome is Outcome.ERROR
    assert (await beside).outcome is Outcome.OK


async def test_clearing_listeners_does_not_make_errors_fatal(run: Runner) -> None:
    source = f"{HEAD} process.removeAllListeners(); process.removeAllListeners('uncaughtException'); cb(null, (globalThis.which ??= crypto.randomUUID())); setTimeout(() => {{ throw new Error('late') }}, 5) }}"
    first = await run(source)
    assert first.outcome is Outcome.ERROR
    second = await run(f"{HEAD} cb(null, (globalThis.which ??= crypto.randomUUID())) }}")
    assert first.verdict is not None
    assert second.verdict is not None
    assert first.verdict.result == second.verdict.result


async def test_failed_call_without_an_error_is_ok_with_failed_calls(run: Runner, sink: Sink) -> None:
    for path in ("/status/500", "/cut"):
        source = (
            f"{HEAD} require('http').get('{sink.url}{path}', r => r.resume()).on('error', () => 0); cb() }}"
        )
        execution = await run(source)
        assert execution.outcome is Outcome.OK_WITH_FAILED_CALLS
        assert [(call.path, call.failed, call.open_at_callback) for call in execution.calls] == [
            (path, True, True)
        ]


async def test_call_that_failed_before_cb_is_the_hooks_own_business(run: Runner, sink: Sink) -> None:
    source = f"{HEAD} require('http').get('{sink.url}/status/500', r => {{ r.resume(); r.on('close', () => setTimeout(cb, 10)) }}) }}"
    execution = await run(source)
    assert execution.outcome is Outcome.OK
    assert execution.calls[0].status == 500


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_unhandled_rejection_of_a_failed_call_is_an_error(run: Runner) -> None:
    # slack-notify 2.x answers with a promise that nobody handles: a late error wins over a failed call.
    execution = await run(f"{HEAD} fetch('http://127.0.0.1:{free_port()}/'); cb() }}")
    assert execution.outcome is Outcome.ERROR
    assert execution.calls[0].failed
    assert execution.error is not None
    assert "ECONNREFUSED" in (execution.error.stack or "")
