"""Scripts that cannot be loaded: no function of theirs runs, and the message leads to the place."""

from __future__ import annotations

import pytest

from tenterhook.sandbox import ErrorCode, Outcome

from .conftest import Runner

MESSAGE = "Unable to compile the extensibility code as javascript"


@pytest.mark.parametrize(
    ("source", "description"),
    [
        ("\n\n  let x = = 1;", "my-hook.js:3:11: SyntaxError: Unexpected token '='"),
        (
            "function (user, context, callback) {}",
            "my-hook.js:1:1: SyntaxError: Function statements require a function name",
        ),
        ("\nthrow new RangeError('at load')", "my-hook.js:2:7: RangeError: at load"),
        ("throw 'text'", "Error: text"),
    ],
)
async def test_what_does_not_compile_could_not_start(run: Runner, source: str, description: str) -> None:
    execution = await run(source)
    assert execution.outcome is Outcome.COULD_NOT_START
    assert execution.verdict is None
    assert execution.error is not None
    assert execution.error.message == MESSAGE
    assert execution.error.code == ErrorCode.COMPILE_FAILED
    assert execution.error.properties["error_description"] == description


@pytest.mark.parametrize(("exported", "named"), [("{}", "object"), ("null", "null"), ("'x'", "string")])
async def test_exporting_no_function_says_so(run: Runner, exported: str, named: str) -> None:
    execution = await run(f"module.exports = {exported}")
    assert execution.outcome is Outcome.COULD_NOT_START
    assert execution.error is not None
    assert execution.error.code == ErrorCode.NOT_A_FUNCTION
    assert execution.error.message == (
        f"module.exports must be a function, but it is {named}: func is not a function"
    )


async def test_script_that_failed_is_tried_again(run: Runner) -> None:
    source = "if (!globalThis.seen) { globalThis.seen = true; throw new Error('once') } module.exports = (u, c, cb) => cb()"
    assert (await run(source)).outcome is Outcome.COULD_NOT_START
    assert (await run(source)).outcome is Outcome.OK


async def test_script_is_loaded_once_per_process(run: Runner) -> None:
    source = "let loads = (globalThis.loads = (globalThis.loads || 0) + 1); let n = 0; module.exports = (u, c, cb) => cb(null, [loads, ++n])"
    results = [(await run(source)).verdict for _ in range(3)]
    assert [verdict and verdict.result for verdict in results] == [[1, 1], [1, 2], [1, 3]]


async def test_output_while_loading_belongs_to_the_run(run: Runner) -> None:
    execution = await run("console.log('loading'); module.exports = (u, c, cb) => cb()")
    assert [line.text for line in execution.console] == ["loading"]
