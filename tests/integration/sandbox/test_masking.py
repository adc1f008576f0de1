"""Secrets' values are nowhere in what a run leaves behind, and word for word in the answer that a flow waits for."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tenterhook.egress import Rules
from tenterhook.sandbox import Confinement, Invocation, Outcome, SandboxPool, Script, Verdict, Webtask

from .conftest import Sink

SECRETS = {"TOKEN": "s3same/öpen+42", "HOST": "127.0.0.1.nip.example", "SHORT": "abc"}
SOURCE = """
module.exports = function (user, context, cb) {
  const { TOKEN, HOST, SHORT } = context.webtask.secrets;
  console.log('token', TOKEN, { nested: [TOKEN] }, SHORT);
  console.error(JSON.stringify({ TOKEN }), Buffer.from('user:' + TOKEN).toString('base64'));
  process.stdout.write(encodeURIComponent(TOKEN));
  console.log('x'.repeat(65536 - 5) + TOKEN);
  const error = Object.assign(new Error('failed with ' + TOKEN), { config: { headers: { authorization: TOKEN } } });
  fetch(`SINK/hook/${encodeURIComponent(TOKEN)}/end`).then((answer) => answer.text()).then(() => {
    require('http').get({ host: '127.0.0.1', port: PORT, path: '/x', headers: { host: HOST } }, (answer) => answer.resume());
    if (user.fail) { cb(error); return; }
    cb(null, { user: { app_metadata: { TOKEN, [TOKEN]: 1 } } });
    cb();
    Promise.reject(error);
  });
};
"""


class Watch:
    def __init__(self) -> None:
        self.shown: list[Any] = []
        self.answer: Verdict | None = None

    def on_started(self, at: object) -> None:
        """Nothing to see."""

    def on_console(self, line: Any) -> None:
        self.shown.append(line)

    def on_answer(self, answer: Verdict) -> None:
        self.answer = answer

    def on_called_back(self, verdict: Verdict) -> None:
        self.shown.append(verdict)

    def on_call(self, call: Any) -> None:
        self.shown.append(call)


async def execute(pool: SandboxPool, sink: Sink, watch: Watch, *, fail: bool) -> Any:
    source = SOURCE.replace("SINK", sink.url).replace("PORT", str(sink.port))
    return await pool.run(
        "acme",
        Script(key="masking", source=source),
        Invocation(run_id="r", arguments=({"fail": fail}, {}), webtask=Webtask(secrets=SECRETS)),
        observer=watch,
    )


def check(left: Any) -> None:
    text = repr(left)
    assert "[secret TOKEN]" in text
    for part in ("s3same", "pen+42", "pen%2B42", "czNzYW1l", SECRETS["HOST"]):
        assert part not in text


async def test_nothing_that_is_kept_or_shown_holds_a_secret(pool: SandboxPool, sink: Sink) -> None:
    watch = Watch()
    execution = await execute(pool, sink, watch, fail=False)
    check(dataclasses.asdict(execution))
    check(watch.shown)
    assert execution.outcome is Outcome.ERROR
    assert execution.error is not None
    assert execution.error.message == "failed with [secret TOKEN]"
    assert execution.error.properties["config"] == {"headers": {"authorization": "[secret TOKEN]"}}
    assert execution.console[0].text == "token [secret TOKEN] { nested: [ '[secret TOKEN]' ] } abc"
    assert execution.console[3].text.endswith("x[secret TOKEN]")
    assert {(call.host, call.path) for call in execution.calls} == {
        (f"127.0.0.1:{sink.port}", "/hook/[secret TOKEN]/end"),
        ("[secret HOST]", "/x"),
    }
    token = SECRETS["TOKEN"]
    assert watch.answer == Verdict(result={"user": {"app_metadata": {"TOKEN": token, token: 1}}})
    assert execution.verdict == Verdict(
        result={"user": {"app_metadata": {"TOKEN": "[secret TOKEN]", "[secret TOKEN]": 1}}}
    )


async def test_error_of_the_answer_is_word_for_word_for_the_flow_alone(pool: SandboxPool, sink: Sink) -> None:
    watch = Watch()
    execution = await execute(pool, sink, watch, fail=True)
    check(dataclasses.asdict(execution))
    check(watch.shown)
    assert watch.answer is not None
    assert watch.answer.error is not None
    assert watch.answer.error.message == f"failed with {SECRETS['TOKEN']}"


@pytest.mark.parametrize(
    "ask",
    [
        "require('dns').lookup",
        "require('dns').resolve4",
        "(name, done) => fetch('https://' + name).catch(done)",
    ],
)
async def test_a_secret_in_a_name_that_was_refused_is_masked(pool: SandboxPool, ask: str) -> None:
    source = (
        f"module.exports = (user, context, cb) => ({ask})(context.webtask.secrets.KEY + '.example.com', cb)"
    )
    execution = await pool.run(
        "acme",
        Script(key="name", source=source),
        Invocation(run_id="r", arguments=({}, {}), webtask=Webtask(secrets={"KEY": "S3same-Open-42"})),
        confinement=Confinement(egress=Rules.of("enforce", ["listed.example.com"])),
    )
    assert execution.error is not None
    text = repr(dataclasses.asdict(execution)).lower()
    assert "[secret key]" in text
    assert "same-open" not in text
