"""Fifty runs at once in one process: what each wrote, called, was refused and failed with is its own and nobody else's."""

from __future__ import annotations

import asyncio

from tenterhook.sandbox import Execution, Outcome, SandboxPool

from .conftest import LOOPBACK, Runner, Sink

RUNS = 50

SOURCE = """
const http = require('http'), net = require('net'), util = require('util');
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
module.exports = async function (user, context, cb) {
  const id = context.webtask.id, n = Number(id.split('-')[1]);
  console.log(id, 'begins');
  const refused = (octet) => new Promise((done) => net.connect(1000 + n, `10.0.${octet}.1`).on('error', done));
  const get = (path) => new Promise((done) => http.get('SINK' + path, { agent: n % 2 ? undefined : false }, (answer) => {
    answer.resume().on('end', done);
  }));
  const all = [get(`/slow/${n % 7}?run=${id}`), refused(1), pause(n % 5).then(() => refused(2))];
  all.push(fetch(`SINK/fetched/${id}`, { method: 'POST', body: id }).then((answer) => answer.text()));
  process.nextTick(() => console.error(id, 'ticked'));
  queueMicrotask(() => process.stdout.write(`${id} wrote\\n`));
  await Promise.all(all);
  await get(`/last/${id}`);
  setTimeout(() => console.warn(id, 'after cb'), n % 11);
  if (n % 3 === 0) setTimeout(() => { throw new Error(`late of ${id}`) }, n % 13);
  if (n % 3 === 1) Promise.reject(new Error(`rejected of ${id}`));
  cb(null, { id, process: (globalThis.which ??= crypto.randomUUID()) });
};
"""


async def test_each_of_fifty_concurrent_runs_has_what_is_its_own(sink: Sink) -> None:
    source = SOURCE.replace("SINK", sink.url)
    async with SandboxPool(drain_seconds=0, grants=LOOPBACK, max_runs_per_process=RUNS) as pool:
        run = Runner(pool)
        await run("module.exports = (user, context, cb) => cb()")  # so that one process is there for all
        executions = await asyncio.gather(*(run(source, run_id=f"run-{n}") for n in range(RUNS)))
    for n, execution in enumerate(executions):
        check(execution, n, sink)
    answers = [execution.verdict.result for execution in executions if execution.verdict is not None]
    assert len({answer["process"] for answer in answers}) == 1


def check(execution: Execution, n: int, sink: Sink) -> None:
    name = f"run-{n}"
    assert execution.verdict is not None
    assert execution.verdict.result["id"] == name
    said = [f"{name} {what}" for what in ("begins", "ticked", "wrote", "after cb")]
    assert sorted(line.text for line in execution.console) == sorted(said)
    assert sorted((call.method, call.path, call.status) for call in execution.calls) == sorted(
        [("GET", f"/slow/{n % 7}", 200), ("POST", f"/fetched/{name}", 200), ("GET", f"/last/{name}", 200)]
    )
    refused = {(each.address, each.port, each.shared) for each in execution.refused}
    assert refused == {("10.0.1.1", 1000 + n, False), ("10.0.2.1", 1000 + n, False)}
    assert len(execution.refused) == 2
    # Of the connections to the server some were opened by others and kept; none of another's stands here.
    assert {each.port for each in execution.connections} <= {1000 + n, sink.port}
    assert not any(each.shared for each in execution.connections)
    if n % 3 == 2:
        assert (execution.outcome, execution.error) == (Outcome.OK, None)
    else:
        assert execution.outcome is Outcome.ERROR
        assert execution.error is not None
        assert execution.error.message == f"{'late' if n % 3 == 0 else 'rejected'} of {name}"
    assert execution.notes == ()
