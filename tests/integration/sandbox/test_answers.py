"""What cb, throws and rejections say, as the original understood them."""

from __future__ import annotations

import pytest

from tenterhook.sandbox import ErrorCode, Limits, Outcome

from .conftest import Runner

HEAD = "module.exports = function (user, context, cb) {"


@pytest.mark.parametrize(
    ("call", "result"),
    [
        ("cb()", {}),
        ("cb(null, 0)", {}),
        ("cb(null, 'text')", "text"),
        ("cb(undefined, [1, 2])", [1, 2]),
        (
            "cb(null, {user: {app_metadata: {plan: user.email}}})",
            {"user": {"app_metadata": {"plan": "ada@example.com"}}},
        ),
        ("cb(null, function () {})", {}),
        ("cb(null, '\\ud800 \\0')", "\ufffd \ufffd"),
    ],
)
async def test_result_of_cb_is_kept(run: Runner, call: str, result: object) -> None:
    execution = await run(f"{HEAD} {call} }}")
    assert execution.outcome is Outcome.OK
    assert execution.verdict is not None
    assert execution.verdict.result == result
    assert execution.error is None


@pytest.mark.parametrize(
    ("call", "wire"),
    [
        ("cb('s')", {"message": "s"}),
        ("cb({message: 'm', other: 1})", {"message": "m"}),
        ("cb({})", {"message": "[object Object]"}),
    ],
)
async def test_error_that_is_no_error_keeps_only_its_message(
    run: Runner, call: str, wire: dict[str, str]
) -> None:
    execution = await run(f"{HEAD} {call} }}")
    assert execution.outcome is Outcome.ERROR
    assert execution.error is not None
    assert execution.error.to_wire() == wire


async def test_error_keeps_stack_and_own_properties(run: Runner) -> None:
    source = HEAD + "\n  const e = new Error('no');\n  e.statusCode = 418; e.foo = {bar: 1}; cb(e) }"
    error = (await run(source)).error
    assert error is not None
    assert (error.name, error.message) == ("Error", "no")
    assert error.properties == {"statusCode": 418, "foo": {"bar": 1}}
    assert error.stack is not None
    assert "my-hook.js:2:13" in error.stack
    assert "name" not in error.to_wire()
    assert "runtime" not in error.stack


async def test_point_error_classes_are_defined_and_do_not_shift_lines(run: Runner) -> None:
    source = HEAD + "\n  cb(new PreUserRegistrationError('for the log', 'for the user'))\n}"
    script = {"file_name": "deny.js", "error_classes": ("PreUserRegistrationError",)}
    error = (await run(source, script=script)).error
    assert error is not None
    assert error.name == "PreUserRegistrationError"
    assert error.message == "for the log"
    assert error.properties["friendlyMessage"] == "for the user"
    assert "deny.js:2:6" in (error.stack or "")
    assert error.to_wire()["name"] == "PreUserRegistrationError"


async def test_friendly_message_defaults_to_message(run: Runner) -> None:
    error = (await run(HEAD + "cb(new ExtensibilityUserError('only'))}")).error
    assert error is not None
    assert error.properties["friendlyMessage"] == "only"


async def test_script_may_declare_class_of_same_name(run: Runner) -> None:
    source = "class PreUserRegistrationError extends Error {}\n" + HEAD + "cb(null, 'mine')}"
    script = {"error_classes": ("PreUserRegistrationError",)}
    assert (await run(source, script=script)).outcome is Outcome.OK


async def test_circular_result_is_an_error(run: Runner) -> None:
    execution = await run(HEAD + "const a = {}; a.a = a; cb(null, a)}")
    assert execution.outcome is Outcome.ERROR
    assert execution.error is not None
    assert execution.error.message == "Error when JSON serializing the result of the extension point"
    assert execution.error.code == ErrorCode.NOT_SERIALIZABLE


@pytest.mark.parametrize(("length", "outcome"), [(998, Outcome.OK), (999, Outcome.ERROR)])
async def test_result_size_is_limited(run: Runner, length: int, outcome: Outcome) -> None:
    execution = await run(HEAD + f"cb(null, 'x'.repeat({length}))}}", limits=Limits(result_bytes=1000))
    assert execution.outcome is outcome
    assert (execution.limit is not None and execution.limit.name == "result_size") == (
        outcome is Outcome.ERROR
    )


@pytest.mark.parametrize(
    "body",
    [
        "throw new TypeError('boom')",
        "return Promise.reject(new TypeError('boom'))",
        "return {then(_, no) {no(new TypeError('boom'))}}",
    ],
)
async def test_throw_and_rejection_are_errors(run: Runner, body: str) -> None:
    execution = await run(f"{HEAD} {body} }}")
    assert execution.outcome is Outcome.ERROR
    assert execution.error is not None
    assert (execution.error.name, execution.error.message) == ("TypeError", "boom")
    assert execution.verdict is not None
    assert execution.verdict.error == execution.error


async def test_async_function_that_calls_back_later_works(run: Runner) -> None:
    source = "module.exports = async (user, context, cb) => { await new Promise(r => setTimeout(r, 30)); cb(null, 'late') }"
    execution = await run(source)
    assert execution.outcome is Outcome.OK
    assert execution.verdict is not None
    assert execution.verdict.result == "late"


async def test_second_callback_is_ignored_and_noted(run: Runner) -> None:
    execution = await run(HEAD + "cb(null, 1); cb(new Error('two')); cb()}")
    assert execution.outcome is Outcome.OK
    assert execution.verdict is not None
    assert execution.verdict.result == 1
    assert execution.notes == ("cb was called more than once; the first answer stands.",)


@pytest.mark.parametrize(
    "body", ["", "return Promise.resolve()", "new Promise(() => {})", "setTimeout(() => {}, 5)"]
)
async def test_ending_without_cb_is_reported_at_once(run: Runner, body: str) -> None:
    execution = await run(f"{HEAD} {body} }}", limits=Limits(wall_seconds=60))
    assert execution.outcome is Outcome.ERROR
    assert execution.error is not None
    assert execution.error.code == ErrorCode.CALLBACK_MISSING
    assert "without calling cb" in execution.error.message
    assert execution.limit is None


async def test_hostile_error_values_are_described(run: Runner) -> None:
    source = HEAD + "cb(Object.defineProperty(new Error(), 'message', {get() {throw 1}}))}"
    assert (await run(source)).outcome is Outcome.ERROR
    source = HEAD + "const e = new Error('big'); e.cause = e; e.x = 'y'.repeat(1e6); e.self = e; cb(e)}"
    error = (await run(source)).error
    assert error is not None
    assert error.properties == {}


async def test_numbers_that_only_json_can_write_become_what_javascript_makes_of_them(run: Runner) -> None:
    """``1e999`` is JSON, but Python reads infinity, which no database takes."""
    execution = await run(
        "module.exports = (user, context, cb) => "
        "cb(null, { a: JSON.rawJSON('1e999'), b: JSON.rawJSON('9'.repeat(5000)), c: 1.5, d: -7 });"
    )
    assert execution.outcome is Outcome.OK
    assert execution.verdict.result == {"a": None, "b": None, "c": 1.5, "d": -7}


@pytest.mark.parametrize(("depth", "outcome"), [(50, Outcome.OK), (51, Outcome.ERROR), (5000, Outcome.ERROR)])
async def test_depth_of_a_result_is_limited(run: Runner, depth: int, outcome: Outcome) -> None:
    execution = await run(
        f"module.exports = (user, context, cb) => {{ let a = []; for (let i = 1; i < {depth}; i++) a = [a]; cb(null, a) }}"
    )
    assert execution.outcome is outcome
    if outcome is Outcome.ERROR:
        assert execution.error.code == "NOT_SERIALIZABLE"


async def test_an_answer_larger_than_the_socket_holds_arrives_whole(run: Runner) -> None:
    source = "module.exports = function (user, context, cb) { for (let n = 0; n < 50; n++) console.log('x'.repeat(4000)); cb(null, 'é'.repeat(500000)) }"
    execution = await run(source)
    assert execution.verdict is not None
    assert execution.verdict.result == "é" * 500_000
    assert len(execution.console) == 50
