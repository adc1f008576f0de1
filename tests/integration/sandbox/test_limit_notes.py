"""A limit of its process that a hook meets is in a note, with the setting that changes it."""

from __future__ import annotations

import pytest

from tenterhook.sandbox import Confinement, Outcome, limits

from .conftest import Runner, Sink

HEAD = "module.exports = async function (user, context, cb) {"
SMALL = Confinement(open_files=64, scratch_bytes=65_536, max_connections=2)


@pytest.mark.parametrize(
    ("body", "met"),
    [
        ("for (;;) require('fs').openSync('/dev/null');", limits.open_files(64)),
        (
            "require('fs').writeFileSync(process.env.HOME + '/x', 'x'.repeat(1e6)); cb();",
            limits.scratch(65_536),
        ),
        (
            "for (let i = 0; i < 3; i += 1) require('net').connect(PORT, '127.0.0.1').on('error', cb);",
            limits.connections(2),
        ),
    ],
)
async def test_a_limit_that_was_met_is_noted(
    run: Runner, sink: Sink, body: str, met: limits.LimitHit
) -> None:
    execution = await run(f"{HEAD} {body.replace('PORT', str(sink.port))} }}", confinement=SMALL)
    assert execution.outcome is Outcome.ERROR
    assert f"Met the {met}." in execution.notes
    assert execution.limit is None
