"""The hook that is measured, and what every part does with it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from harness.statistics_of import percentile
from tenterhook.clock import SystemClock
from tenterhook.sandbox import Execution, Invocation, Limits, Outcome, SandboxPool, Script
from tenterhook.sandbox.open_run import OpenRun

SOURCE = "module.exports = function (user, context, cb) { cb(null, { email: user.email }); };"
SCRIPT = Script(key="bench:1", source=SOURCE)
ARGUMENTS = (
    {
        "id": "5d8b1128fe2e260e0d96e369",
        "tenant": "acme",
        "username": "ada",
        "email": "ada@example.com",
        "emailVerified": True,
        "user_metadata": {"hobby": "surfing"},
        "app_metadata": {"plan": "full"},
    },
    {"requestLanguage": "en-us", "connection": {"id": "con_x", "name": "Users", "tenant": "acme"}},
)


def invocation(arguments: tuple[object, ...] = ARGUMENTS) -> Invocation:
    return Invocation(run_id="bench", arguments=arguments)


async def run(
    pool: SandboxPool, tenant: str, script: Script = SCRIPT, arguments: tuple[object, ...] = ARGUMENTS
) -> float:
    """Run the hook once; return how many milliseconds passed until it had settled.

    Raises:
        RuntimeError: it did not end well; a figure of failures is none.
    """
    began = time.perf_counter()
    execution: Execution = await pool.run(tenant, script, invocation(arguments))
    took = (time.perf_counter() - began) * 1000
    if execution.outcome is not Outcome.OK:
        raise RuntimeError(f"The hook of {tenant} ended with {execution.outcome}: {execution.error}")
    return took


def message() -> dict[str, object]:
    """Return what the process is told to run, for whoever tells it without a pool; on a running event loop."""
    open_run = OpenRun(
        SCRIPT, invocation(), limits=Limits(), storage=None, observer=None, clock=SystemClock()
    )
    script = {"source": SOURCE, "file_name": "hook.js", "error_classes": [], "require_map": {}}
    return {**open_run.to_message(1), "script": script}


def shown(values: Sequence[float], digits: int = 2) -> dict[str, float]:
    """Return median, 99th percentile and greatest."""
    return {
        "p50": round(percentile(values, 0.5), digits),
        "p99": round(percentile(values, 0.99), digits),
        "greatest": round(max(values), digits),
    }


def say(text: str) -> None:
    """Tell on stderr how far it is."""
    print(text, file=sys.stderr, flush=True)
