"""A hook can write to the channel itself; the host believes nothing, and its memory and other tenants stay whole."""

from __future__ import annotations

import asyncio

import pytest

from tenterhook.sandbox import Limits, MemoryStorage, Outcome, SandboxPool, intake

from .conftest import Runner

HEAD = "module.exports = function (user, context, cb) {"
FRAME = "const frame = (o) => { const b = Buffer.from(typeof o === 'string' ? o : JSON.stringify(o)); const h = Buffer.alloc(4); h.writeUInt32BE(b.length); require('fs').writeSync(3, Buffer.concat([h, b])) };"
# A large frame, or many, go out in pieces as the socket takes them.
WHOLE = "const whole = (o) => { const b = Buffer.from(JSON.stringify(o)); const h = Buffer.alloc(4); h.writeUInt32BE(b.length); const all = Buffer.concat([h, b]); for (let at = 0; at < all.length;) { try { at += require('fs').writeSync(3, all, at) } catch (error) { if (error.code !== 'EAGAIN') throw error } } };"

VIOLATIONS = {
    "a length of 2 GB": "require('fs').writeSync(3, Buffer.from([0x7f, 255, 255, 255]))",
    "a length of 4 GB": "require('fs').writeSync(3, Buffer.from([255, 255, 255, 255]))",
    "no JSON": "frame('{{{')",
    "no object": "frame([1])",
    "no UTF-8": "require('fs').writeSync(3, Buffer.from([0, 0, 0, 2, 0xff, 0xfe]))",
    "NaN": 'frame(\'{"type": "console", "run": NaN}\')',
    "deep nesting": "frame('['.repeat(100000) + ']'.repeat(100000))",
    "a run never sent": "frame({type: 'called_back', run: 999, result: 1})",
    "a negative run": "frame({type: 'called_back', run: -1, result: 1})",
    "a run that is text": "frame({type: 'called_back', run: '1', result: 1})",
    "a run that is true": "frame({type: 'started', run: true})",
    "an unknown type": "frame({type: 'give_me_root', run: 1})",
    "ready twice": "frame({type: 'ready', node: 'v1'})",
    "an error of the wrong shape": "frame({type: 'late_error', run: 1, error: 'x'})",
    "a connection from a forged port": "frame({type: 'connection', run: 1, offset_ms: 1, address: '10.0.0.1', port: '22'})",
    "a name that is no text": "frame({type: 'lookup', run: 1, offset_ms: 1, name: {}})",
    "a number without end": "frame('{\"type\": \"console\", \"run\": ' + '9'.repeat(5000) + '}')",
    "a large frame of a small kind": "whole({type: 'note', run: 1, text: 'x'.repeat(1200000)})",
    "a long list in place of a text": "frame({type: 'note', run: 1, text: Array(100000).fill(0)})",
    "an offset beyond numbers": "frame({type: 'console', run: 1, offset_ms: 1e300, level: 'log', text: '', truncated: false})",
}


@pytest.mark.parametrize("violation", VIOLATIONS.values(), ids=VIOLATIONS.keys())
async def test_violation_ends_the_process(run: Runner, pool: SandboxPool, violation: str) -> None:
    execution = await run(f"{HEAD} {FRAME} {WHOLE} {violation}; setTimeout(cb, 10000) }}")
    assert execution.outcome is Outcome.KILLED
    assert execution.error is not None
    assert "protocol" in execution.error.message
    assert (await run(f"{HEAD} cb() }}")).outcome is Outcome.OK
    assert pool.status.processes == 1


async def test_other_tenants_run_on(run: Runner) -> None:
    other = asyncio.create_task(run(f"{HEAD} setTimeout(() => cb(null, 'fine'), 500) }}", tenant="other"))
    await run(f"{HEAD} {FRAME} {VIOLATIONS['a length of 2 GB']}; setTimeout(cb, 10000) }}")
    assert (await other).outcome is Outcome.OK


async def test_half_a_frame_and_silence_ends_at_the_limit(run: Runner) -> None:
    source = f"{HEAD} require('fs').writeSync(3, Buffer.from([0, 0, 1, 0, 123])); cb() }}"
    execution = await run(source, limits=Limits(wall_seconds=0.3, grace_seconds=0.3))
    assert execution.outcome not in {Outcome.OK, Outcome.OK_WITH_FAILED_CALLS}
    assert (await run(f"{HEAD} cb() }}")).outcome is Outcome.OK


async def test_half_a_frame_takes_the_process_out_of_service(
    run: Runner, pool: SandboxPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody gets a process whose channel can say nothing any more, and it does not stay."""
    monkeypatch.setattr(intake, "STUCK_SECONDS", 0.2)
    pid = f"{HEAD} cb(null, (globalThis.which ??= crypto.randomUUID())) }}"
    # Its own last frames still come, whole; then the half one.
    late = f"{HEAD} cb(null, (globalThis.which ??= crypto.randomUUID())); setTimeout(() => {{}}, 20); process.nextTick(() => setTimeout(() => {{ const t = setInterval(() => {{ require('fs').writeSync(3, Buffer.from([0, 0, 1, 0, 123])); clearInterval(t) }}, 60); t.unref() }}, 0).unref()) }}"
    first = await run(late)
    while pool.status.processes:
        await asyncio.sleep(0.02)
    again = await run(pid)
    assert first.verdict is not None
    assert again.verdict is not None
    assert again.outcome is Outcome.OK


async def test_process_that_asks_and_does_not_read_the_answers_is_ended(run: Runner) -> None:
    """Or the host would hold its answers for it, half a megabyte each."""
    source = f"""{HEAD} {WHOLE}
      context.webtask.storage.set('x'.repeat(400000), () => {{
        for (let n = 1; n < 1e6; n++) whole({{ type: 'storage_get', run: 1, question: n }});
      }});
    }}"""
    execution = await run(source, storage=MemoryStorage(), limits=Limits(wall_seconds=20))
    assert execution.outcome not in {Outcome.OK, Outcome.OK_WITH_FAILED_CALLS}
    assert execution.outcome is Outcome.KILLED


async def test_forged_claims_move_connections_but_hide_none(run: Runner) -> None:
    forge = f"""{HEAD} {FRAME}
      for (let n = 0; n < 50; n++) frame({{ type: 'connection', run: 1, offset_ms: 1, address: '10.0.0.1', port: 22 }});
      require('net').connect(23, '10.0.0.1').on('error', () => cb());
    }}"""
    execution = await run(forge)
    assert [each.port for each in execution.refused] == [23]


async def test_silence_ends_at_the_limit(run: Runner) -> None:
    source = f"{HEAD} require('net').Socket.prototype.write = () => true; require('fs').closeSync(3); cb() }}"
    execution = await run(source, limits=Limits(wall_seconds=0.3, grace_seconds=0.3))
    assert execution.outcome not in {Outcome.OK, Outcome.OK_WITH_FAILED_CALLS}
    assert (await run(f"{HEAD} cb() }}")).outcome is Outcome.OK


@pytest.mark.parametrize(
    "message",
    [
        "{type: 'console', run: 1, offset_ms: 1, level: 'log', text: n % 2 ? 'x'.repeat(20000) : '', truncated: false}",
        "{type: 'note', run: 1, text: 'x'.repeat(200)}",
        "{type: 'called_back', run: 1, result: 1}",
        "{type: 'call', run: 1, offset_ms: 0, method: 'GET', host: 'h', path: '/', status: 200, milliseconds: 1, error: null, open_at_callback: false}",
        "{type: 'storage_get', run: 1, question: 1}",
    ],
)
async def test_flood_of_forged_frames_is_cut_off(run: Runner, message: str) -> None:
    flood = f"const go = () => {{ try {{ for (let n = 0; n < 2000; n++) frame({message}) }} catch {{}} setImmediate(go) }}; go()"
    execution = await run(f"{HEAD} {FRAME} {flood} }}", limits=Limits(wall_seconds=30))
    assert execution.outcome not in {Outcome.OK, Outcome.OK_WITH_FAILED_CALLS}
    assert execution.called_back_at is None or "called_back" in message
    assert sum(len(line.text) for line in execution.console) <= 256 * 1024
    assert len(execution.console) <= 256 * 1024 / 32 + 1
    assert len(execution.notes) <= 33
    assert len(execution.calls) <= 512
    assert (await run(f"{HEAD} cb() }}")).outcome is Outcome.OK


async def test_flood_of_stderr_is_drained(run: Runner) -> None:
    source = f"{HEAD} for (let n = 0; n < 2000; n++) try {{ require('fs').writeSync(2, 'y'.repeat(60000)) }} catch {{}}; cb() }}"
    assert (await run(source)).outcome is Outcome.OK


async def test_spoiled_built_ins_do_not_break_the_next_run(run: Runner) -> None:
    spoil = f"""{HEAD}
      JSON.stringify = () => {{ throw new Error('spoiled') }}; JSON.parse = JSON.stringify;
      for (const name of ['readUInt32BE', 'writeUInt32BE', 'copy', 'utf8Slice']) Buffer.prototype[name] = JSON.parse;
      Buffer.from = Buffer.concat = Buffer.allocUnsafe = Buffer.byteLength = JSON.parse;
      Promise.prototype.then = JSON.parse; globalThis.setTimeout = globalThis.setImmediate = JSON.parse;
      performance.now = JSON.parse;
      Map.prototype.get = ((get) => function (...a) {{ return get.apply(this, a) }})(Map.prototype.get);
      cb(null, (globalThis.which ??= crypto.randomUUID()));
    }}"""
    first = await run(spoil)
    assert first.outcome is Outcome.OK
    second = await run(
        f"{HEAD} console.log('still', 1); cb(null, (globalThis.which ??= crypto.randomUUID())) }}"
    )
    assert second.outcome is Outcome.OK
    assert first.verdict == second.verdict
    assert [line.text for line in second.console] == ["still 1"]
    await run("module.exports = async (u, c, cb) => cb()")
