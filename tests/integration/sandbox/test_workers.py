"""Worker threads fit into the process's memory, and what they say and fail with belongs to the run that made them."""

from __future__ import annotations

from tenterhook.sandbox import ErrorCode, Outcome

from .conftest import Runner

HEAD = "module.exports = function (user, context, cb) { const { Worker } = require('worker_threads');"


async def test_worker_runs_and_answers(run: Runner) -> None:
    code = "console.log('in the worker'); require('worker_threads').parentPort.postMessage(6 * 7)"
    source = f'{HEAD} const w = new Worker("{code}", {{ eval: true }}); let said; w.on("message", (m) => said = m); w.on("error", cb); w.on("exit", () => cb(null, said)) }}'
    execution = await run(source)
    assert execution.outcome is Outcome.OK
    assert execution.verdict is not None
    assert execution.verdict.result == 42
    assert [(line.level, line.text) for line in execution.console] == [("stdout", "in the worker")]


async def test_workers_wishes_are_bounded(run: Runner) -> None:
    code = "require('worker_threads').parentPort.postMessage(require('worker_threads').resourceLimits)"
    source = f'{HEAD} const w = new Worker("{code}", {{ eval: true, resourceLimits: {{ codeRangeSizeMb: 512, maxOldGenerationSizeMb: 9999, stackSizeMb: 1 }} }}); w.on("message", (m) => cb(null, m)); w.on("error", cb) }}'
    execution = await run(source)
    assert execution.verdict is not None
    limits = execution.verdict.result
    assert limits["codeRangeSizeMb"] == 16
    assert limits["maxOldGenerationSizeMb"] < 100
    assert limits["stackSizeMb"] == 1


async def test_late_error_of_a_worker_is_its_runs(run: Runner) -> None:
    source = f"{HEAD} new Worker('throw new Error(\"of the worker\")', {{ eval: true }}); cb() }}"
    execution = await run(source)
    assert execution.outcome is Outcome.ERROR
    assert execution.error is not None
    assert execution.error.message == "of the worker"


async def test_connection_of_a_worker_is_its_runs(run: Runner) -> None:
    code = "require('net').connect(22, '10.0.0.7').on('error', () => {})"
    source = f'{HEAD} new Worker("{code}", {{ eval: true }}).on("exit", () => cb()) }}'
    execution = await run(source)
    assert [(each.address, each.shared) for each in execution.refused] == [("10.0.0.7", False)]


async def test_there_are_only_a_few(run: Runner) -> None:
    source = f"{HEAD} const all = []; try {{ for (let n = 0; n < 9; n++) all.push(new Worker('setInterval(() => {{}}, 1000)', {{ eval: true }})) }} catch (error) {{ Promise.all(all.map((each) => each.terminate())).then(() => cb(error)) }} }}"
    execution = await run(source)
    assert execution.error is not None
    assert execution.error.code == ErrorCode.NOT_AVAILABLE
    assert execution.error.message == "A hook's process can have 4 worker threads at a time"
    again = await run(f"{HEAD} new Worker('0', {{ eval: true }}).on('exit', () => cb(null, 'again')) }}")
    assert again.outcome is Outcome.OK
