"""A run is over when nothing it started is open any more, and not before."""

from __future__ import annotations

import asyncio

import pytest

from tenterhook.sandbox import Limits, Outcome

from .conftest import Runner, Sink

HEAD = "module.exports = function (user, context, cb) {"


async def test_request_made_long_after_cb_is_awaited(run: Runner, sink: Sink) -> None:
    source = (
        f"{HEAD} cb(); setTimeout(() => require('http').get('{sink.url}/late', r => r.resume()), 1000) }}"
    )
    execution = await run(source)
    assert execution.outcome is Outcome.OK
    assert sink.seen == ["GET /late"]
    assert [(call.path, call.status, call.open_at_callback) for call in execution.calls] == [
        ("/late", 200, False)
    ]
    assert execution.called_back_at is not None
    assert execution.called_back_at < execution.settled_at


@pytest.mark.parametrize(
    "work",
    [
        "setTimeout(done, 40)",
        "const i = setInterval(() => { clearInterval(i); done() }, 40)",
        "setImmediate(() => setImmediate(() => setImmediate(done)))",
        "require('fs').readFile(__proto__ === 1 ? '' : '/etc/resolv.conf', done)",
        "require('fs').promises.readFile('/etc/resolv.conf').then(done)",
        "require('dns').lookup('localhost', done)",
        "require('zlib').gzip(Buffer.alloc(3e6, 'ab'), done)",
        "require('crypto').pbkdf2('a', 'b', 50000, 32, 'sha256', done)",
        "require('crypto').randomBytes(64, done)",
        "crypto.subtle.digest('SHA-256', new Uint8Array(1e6)).then(done)",
        "require('http').get(URL_, r => r.resume().on('end', done))",
        "fetch(URL_).then(r => r.text()).then(done)",
        "const s = require('net').connect(PORT_, '127.0.0.1', () => s.end('GET / HTTP/1.1\\r\\n\\r\\n')); s.on('data', () => 0).on('close', done)",
        "(async () => { for (let i = 0; i < 5; i++) await new Promise(r => setTimeout(r, 5)); done() })()",
        "new Promise(r => setTimeout(r, 10)).then(() => fetch(URL_)).then(r => r.text()).then(done)",
        "context.webtask.storage.get(done)",
    ],
)
async def test_work_after_cb_comes_to_its_end(run: Runner, sink: Sink, work: str) -> None:
    work = work.replace("URL_", f"'{sink.url}/slow/50'").replace("PORT_", str(sink.port))
    source = f"{HEAD} const done = () => console.log('done'); cb(); {work} }}"
    execution = await run(source)
    assert execution.outcome is Outcome.OK, execution.error
    assert [line.text for line in execution.console] == ["done"]
    assert execution.limit is None


@pytest.mark.parametrize(
    "work",
    [
        "setTimeout(() => {}, 1e6).unref()",
        "new Promise(() => {})",
        "require('fs').openSync('/etc/resolv.conf')",
        "require('zlib').createGzip()",
        "const a = new (require('http').Agent)({keepAlive: true}); require('http').get('URL_/x', {agent: a}, r => r.resume())",
        "fetch('URL_/x').then(r => r.text())",
        "fetch('URL_/x')",
        "require('http').get('URL_/x', r => {})",
        "require('http').get('URL_/big/3000000', r => {})",
        "fetch('URL_/big/3000000')",
        "AbortSignal.timeout(1e6)",
    ],
)
async def test_what_is_idle_does_not_hold_a_run(run: Runner, sink: Sink, work: str) -> None:
    source = f"{HEAD} {work.replace('URL_', sink.url)}; cb() }}"
    # Less than the time after which a connection counts as quiet: it is not that rule which lets the run settle.
    execution = await run(source, limits=Limits(grace_seconds=4))
    assert execution.outcome is Outcome.OK, execution.error
    assert execution.limit is None


async def test_socket_kept_alive_by_one_run_and_used_by_another_holds_only_the_user(
    run: Runner, sink: Sink
) -> None:
    source = f"""{HEAD}
      const agent = (globalThis.agent ??= new (require('http').Agent)({{keepAlive: true, maxSockets: 1}}));
      const request = require('http').get('{sink.url}/slow/200', {{agent}}, (answer) => answer.resume());
      request.on('socket', (socket) => {{
        console.log(globalThis.socket === undefined || globalThis.socket === socket);
        globalThis.socket = socket;
      }});
      cb();
    }}"""
    limits = Limits(grace_seconds=4)
    assert [line.text for line in (await run(source, limits=limits)).console] == ["true"]
    first, second = await asyncio.gather(run(source, limits=limits), run(source, limits=limits))
    assert [line.text for line in first.console + second.console] == ["true", "true"]
    assert [each.outcome for each in (first, second)] == [Outcome.OK] * 2
    assert first.settled_at < second.settled_at


async def test_run_beside_a_long_one_settles_by_itself(run: Runner, sink: Sink) -> None:
    long = asyncio.create_task(run(f"{HEAD} require('http').get('{sink.url}/never', r => cb()) }}"))
    await sink.arrived.wait()
    short = await run(f"{HEAD} cb(null, (globalThis.which ??= crypto.randomUUID())) }}")
    assert short.outcome is Outcome.OK
    assert not long.done()
    long.cancel()


async def test_work_that_never_ends_is_settled_by_force(run: Runner) -> None:
    execution = await run(
        f"{HEAD} setInterval(() => {{}}, 10); cb(null, 'said') }}", limits=Limits(grace_seconds=0.3)
    )
    assert execution.outcome is Outcome.TIMED_OUT
    assert execution.limit is not None
    assert execution.limit.name == "grace"
    assert execution.limit.setting == "TENTERHOOK_GRACE_LIMIT_SECONDS"
    assert execution.verdict is not None
    assert execution.verdict.result == "said"
    assert any("Settled by force" in note for note in execution.notes)


async def test_overstaying_run_cannot_go_on_and_its_process_is_replaced(run: Runner, sink: Sink) -> None:
    tick = f"setInterval(() => require('http').get('{sink.url}/tick', r => r.resume()), 20)"
    first = await run(
        f"{HEAD} {tick}; cb(null, (globalThis.which ??= crypto.randomUUID())) }}",
        limits=Limits(grace_seconds=0.3),
    )
    assert first.outcome is Outcome.TIMED_OUT
    second = await run(f"{HEAD} cb(null, (globalThis.which ??= crypto.randomUUID())) }}")
    assert first.verdict is not None
    assert second.verdict is not None
    assert first.verdict.result != second.verdict.result
    ticks = len(sink.seen)
    assert ticks > 0
    await run(f"{HEAD} cb(); setTimeout(() => {{}}, 200) }}")
    assert len(sink.seen) == ticks


async def test_quiet_connection_kept_for_later_does_not_hold_for_ever(run: Runner, sink: Sink) -> None:
    source = (
        f"{HEAD} const s = globalThis.db = require('net').connect({sink.port}, '127.0.0.1', () => cb()) }}"
    )
    execution = await run(source, limits=Limits(grace_seconds=60))
    assert execution.outcome is Outcome.OK
    assert len(execution.connections) == 1


@pytest.mark.parametrize(
    "work",
    [
        "require('crypto').randomBytes(16)",
        "require('crypto').pbkdf2Sync('a', 'b', 10, 32, 'sha256')",
        "require('crypto').randomUUID()",
        "require('zlib').gzipSync('abc')",
    ],
)
async def test_synchronous_work_holds_no_run_open(run: Runner, work: str) -> None:
    """Node destroys the resource of a synchronous job only when it is collected, which may be never."""
    execution = await run(f"{HEAD} {work}; cb(); }}", limits=Limits(grace_seconds=5))
    assert execution.outcome is Outcome.OK, execution.limit
