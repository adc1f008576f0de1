"""``kill -9`` of everything right after 200 sign-ups were answered, then a restart: every run happens.

Everything is the server with its worker, every Node process, and the database with all its processes. Three hooks: one
that has posted before it calls back, the starting document's Slack sample (it calls back first), and one that calls
back at once and posts three seconds later.
"""

from __future__ import annotations

import asyncio
import collections
from pathlib import Path

import asyncpg
import httpx
import pytest

from tenterhook.cli import development
from tenterhook.cli.development.certificates import ensure_certificates
from tenterhook.database import embedded
from tests.program import Program
from tests.registry.fixture import npm_registry
from tests.slack_receiver import SlackReceiver

__all__ = ["npm_registry"]

SIGN_UPS = 200
AT_ONCE = 32
SLACK_SAMPLE = Path(development.__file__).with_name("slack_sample.js")

POSTS_BEFORE_CB = """
const https = require('https');
module.exports = function (user, context, cb) {
  const body = JSON.stringify({ text: user.email, run: context.webtask.id });
  const request = https.request(SLACK_HOOK, { method: 'POST', headers: { 'content-length': body.length } }, (answer) => {
    answer.resume();
    answer.on('end', () => cb());
  });
  request.on('error', cb);
  request.end(body);
};
"""
POSTS_THREE_SECONDS_AFTER_CB = """
const https = require('https');
module.exports = function (user, context, cb) {
  cb();
  setTimeout(() => {
    const body = JSON.stringify({ text: user.email, run: context.webtask.id });
    const request = https.request(SLACK_HOOK, { method: 'POST', headers: { 'content-length': body.length } }, (answer) => {
      answer.resume();
    });
    request.end(body);
  }, 3000);
};
"""


def scripts(url: str) -> dict[str, str]:
    sample = SLACK_SAMPLE.read_text()
    assert "'YOUR SLACK HOOK URL'" in sample
    return {
        "posts before cb": POSTS_BEFORE_CB.replace("SLACK_HOOK", repr(url)),
        "Slack sample": sample.replace("YOUR SLACK HOOK URL", url),
        "posts 3 s after cb": POSTS_THREE_SECONDS_AFTER_CB.replace("SLACK_HOOK", repr(url)),
    }


async def sign_up_many(program: Program) -> list[str]:
    """Sign up ``SIGN_UPS`` people, ``AT_ONCE`` at a time; return the addresses that were answered with 200."""
    answered: list[str] = []
    numbers = iter(range(SIGN_UPS))

    async def one_after_the_other(client: httpx.AsyncClient) -> None:
        for number in numbers:
            email = f"person-{number}@example.com"
            answer = await program.sign_up(client, email)
            assert answer.status_code == 200, answer.text
            answered.append(email)

    async with program.applicant() as client:
        await asyncio.gather(*(one_after_the_other(client) for _ in range(AT_ONCE)))
    return answered


async def in_database(data: Path, query: str) -> list[asyncpg.Record]:
    url = embedded.url_of_running(data)
    connection = await asyncpg.connect(url.get_secret_value())
    try:
        return await connection.fetch(query)
    finally:
        await connection.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("which", ["posts before cb", "Slack sample", "posts 3 s after cb"])
async def test_all_200_runs_happen_after_everything_was_killed(tmp_path, npm_registry, which: str) -> None:
    certificates = ensure_certificates(tmp_path / "tls")
    home = tmp_path / "home"
    home.mkdir()
    program = Program(
        tmp_path,
        TENTERHOOK_EXTRA_CA_FILE=str(certificates.ca),
        TENTERHOOK_RUN_LEASE_SECONDS="3",
        TENTERHOOK_RESCUE_INTERVAL_SECONDS="0.5",
        TENTERHOOK_HASHING_LINE_LENGTH="200",
        npm_config_registry=npm_registry.url,
        HOME=str(home),
    )
    with SlackReceiver(certificate=certificates.cert, key=certificates.key) as receiver:
        try:
            program.init()
            program.serve()
            hook = await program.create_hook(scripts(receiver.url)[which])
            assert "Tenterhook-Module-Error" not in hook.headers, hook.headers
            answered = await sign_up_many(program)
            assert len(answered) == SIGN_UPS
            assert program.kill_everything() >= 3

            before = len(receiver.messages)
            program.serve()
            await asyncio.to_thread(receiver.wait_for, SIGN_UPS, 200)
            async with asyncio.timeout(100):
                while True:
                    open_runs = await in_database(
                        program.data, "SELECT count(*) FROM runs WHERE state <> 'succeeded'"
                    )
                    if open_runs[0][0] == 0:
                        break
                    await asyncio.sleep(0.2)
            counted = await in_database(
                program.data,
                "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM runs), "
                "(SELECT count(*) FROM users JOIN runs ON runs.user_id = users.id)",
            )
            assert tuple(counted[0]) == (SIGN_UPS, SIGN_UPS, SIGN_UPS)
            repeated_runs = {
                row["id"] for row in await in_database(program.data, "SELECT id FROM runs WHERE attempts > 1")
            }
            assert program.stop() == 0
        finally:
            program.close()
    seen = collections.Counter(str(message.get("text")) for message in receiver.messages)
    print(f"{which}: {before} messages before the kill, {len(repeated_runs)} runs repeated")
    # What came twice came from a run that was attempted twice, under one run id.
    if which != "Slack sample":
        runs_of = collections.defaultdict(set)
        for message in receiver.messages:
            runs_of[message["text"]].add(message["run"])
        assert all(len(runs) == 1 for runs in runs_of.values())
        assert {next(iter(runs_of[text])) for text, times in seen.items() if times > 1} <= repeated_runs
        assert set(seen) == set(answered)
    else:
        assert len(seen) == SIGN_UPS
        assert sum(times - 1 for times in seen.values()) <= len(repeated_runs)
