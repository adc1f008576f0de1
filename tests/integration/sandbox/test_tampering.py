"""A hook that spoils what runs share in a process spoils no other run's record. (It is no boundary; only a process is.)"""

from __future__ import annotations

import pytest

from tenterhook.sandbox import Limits, Outcome

from .conftest import Runner, Sink

HEAD = "module.exports = function (user, context, cb) {"

SPOIL = {
    "toJSON of all objects": "Object.prototype.toJSON = () => ({ spoiled: true })",
    "array iterators": "Array.prototype[Symbol.iterator] = () => { throw new Error('spoiled') }",
    "array methods": "for (const name of ['push', 'includes', 'filter', 'some', 'join', 'indexOf']) Array.prototype[name] = () => { throw new Error('spoiled') }",
    "maps": "for (const name of ['get', 'set', 'delete', 'has', 'values', 'forEach']) { Map.prototype[name] = Set.prototype[name] = WeakMap.prototype[name] = () => { throw new Error('spoiled') } }",
    "texts": "for (const name of ['split', 'slice', 'includes', 'endsWith', 'indexOf', 'replace']) String.prototype[name] = () => { throw new Error('spoiled') }",
    "JSON": "JSON.parse = JSON.stringify = () => { throw new Error('spoiled') }",
    "promises": "Promise.prototype.then = () => { throw new Error('spoiled') }",
    "functions": "Function.prototype.call = Function.prototype.apply = Function.prototype.bind = () => { throw new Error('spoiled') }",
    "reflection": "for (const name of Reflect.ownKeys(Reflect)) try { Reflect[name] = () => { throw new Error('spoiled') } } catch {}",
    "numbers": "Math.round = Math.max = () => { throw new Error('spoiled') }; performance.now = () => NaN",
    "sockets": "const { Socket } = require('net'); Socket.prototype.write = Socket.prototype.emit = () => true; require('stream').Readable.prototype.push = () => true",
    "events": "const events = require('events'); events.prototype.emit = events.prototype.on = () => { throw new Error('spoiled') }",
    "async context": "const { AsyncLocalStorage } = require('async_hooks'); for (const name of ['run', 'getStore', 'exit']) AsyncLocalStorage.prototype[name] = () => ({ spoiled: true })",
    "stack traces": "Error.prepareStackTrace = () => { throw new Error('spoiled') }; Error.stackTraceLimit = 0",
    "stack traces as objects": "Error.prepareStackTrace = (error, sites) => sites",
    "inherited names": "for (const name of ['script', 'error', 'run', 'get', 'handle', 'status', 'filename']) Object.prototype[name] = 'spoiled'",
    "listeners": "process._events = {}",
    "listeners, removed": "process.removeAllListeners(); process.removeAllListeners('uncaughtException'); process._events.uncaughtException = undefined",
    "capture of what nobody caught": "process.setUncaughtExceptionCaptureCallback(() => {})",
    "console": "for (const name of Object.keys(console)) console[name].apply = null; require('util').format = () => 'spoiled'",
    "buffers": "Buffer.from = Buffer.concat = Buffer.byteLength = () => { throw new Error('spoiled') }; require('fs').writeSync = () => 0",
    "timers": "globalThis.setTimeout = globalThis.setImmediate = globalThis.clearTimeout = () => { throw new Error('spoiled') }",
}  # fmt: skip


@pytest.mark.parametrize("spoil", SPOIL.values(), ids=SPOIL.keys())
async def test_runs_after_it_are_recorded_as_ever(run: Runner, spoil: str) -> None:
    prepared = f"""
      const {{ setTimeout }} = globalThis; const which = crypto.randomUUID();
      {HEAD}
        const id = context.webtask.id;
        if (id === 'spoils') {{ {spoil}; cb(null, which); return; }}
        console.log('of ' + id);
        if (id === 'throws') throw new Error('of throws');
        setTimeout(() => {{ throw new Error('late of ' + id); }}, 5);
        cb(null, which);
      }};"""
    spoiled = await run(prepared, run_id="spoils", limits=Limits(grace_seconds=5))
    late = await run(prepared, run_id="late")
    throws = await run(prepared, run_id="throws")
    assert spoiled.outcome is Outcome.OK
    assert spoiled.verdict is not None
    assert late.verdict is not None
    if "toJSON" in spoil:
        assert late.verdict.error is None  # what a hook answers goes through its own toJSON
    else:
        assert late.verdict.result == spoiled.verdict.result
    assert late.outcome is Outcome.ERROR
    assert late.error is not None
    assert late.error.message == "late of late"
    assert throws.error is not None
    assert throws.error.message == "of throws"
    assert [[line.text for line in each.console] for each in (late, throws)] == [["of late"], ["of throws"]]


async def test_calls_are_recorded_after_their_channels_neighbours_were_spoiled(
    run: Runner, sink: Sink
) -> None:
    source = f"""{HEAD}
      if (context.webtask.id === 'spoils') {{ {SPOIL["maps"]}; {SPOIL["texts"]}; cb(); return; }}
      fetch('{sink.url}/path?x=1').then((answer) => answer.text()).then(() => cb(), cb);
    }}"""
    await run(source, run_id="spoils")
    execution = await run(source, run_id="calls")
    # Node's own fetch may not survive this; what we say of it does.
    assert [(call.method, call.path) for call in execution.calls] in ([("GET", "/path")], [])
    assert execution.outcome in {Outcome.OK, Outcome.ERROR}


async def test_error_with_a_hostile_getter_keeps_the_rest(run: Runner) -> None:
    source = f"""{HEAD}
      const error = new TypeError('readable');
      Object.defineProperty(error, 'stack', {{ get() {{ throw new Error('no') }} }});
      Object.defineProperty(error, 'cause', {{ get() {{ throw new Error('no') }} }});
      Object.defineProperty(error, 'secret', {{ enumerable: true, get() {{ throw new Error('no') }} }});
      error.more = 1;
      cb(error);
    }}"""
    error = (await run(source)).error
    assert error is not None
    assert (error.name, error.message, dict(error.properties)) == ("TypeError", "readable", {"more": 1})


async def test_text_on_stderr_is_not_taken_for_the_memory_limit(run: Runner) -> None:
    source = f"{HEAD} require('fs').writeSync(2, 'FATAL ERROR: JavaScript heap out of memory'); require('fs').writeSync(3, Buffer.from([255, 255, 255, 255])); setTimeout(cb, 10000) }}"
    execution = await run(source)
    assert execution.outcome is Outcome.KILLED
    assert execution.error is not None
    assert "protocol" in execution.error.message
    assert execution.limit is None
