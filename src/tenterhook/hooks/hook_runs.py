"""Hook runs: how the runs of hooks are prepared, executed and, when they fail, told to the tenant.

The one ``RunKind`` there is. Before an attempt it looks whether the run may still be executed:

| found                               | the run becomes |
| ----------------------------------- | --------------- |
| the hook is gone                    | ``cancelled``   |
| its user is gone (erased)           | ``cancelled``   |
| the hook is disabled                | ``held``        |
| the hook keeps ending its process   | ``waiting``, for a while more: whoever crashes takes no place from others |

The code is the version that is newest when the attempt starts, so mending a hook heals its queue; secrets are those of
the moment. A failed attempt writes one ``fpurh`` to the tenant log (SPEC 8), with ``details.run``.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

from tenterhook.clock import Clock
from tenterhook.database import Reader, Transaction, Vault
from tenterhook.directory import users
from tenterhook.hooks import loading
from tenterhook.hooks.errors import HookNotFoundError
from tenterhook.hooks.hook import LoadedHook
from tenterhook.hooks.invoking import HookInvoker
from tenterhook.ids import HookId
from tenterhook.runs import AttemptOutcome, AttemptResult, NotExecutable, NotYet, Observe, Run, RunState
from tenterhook.sandbox import Call, ConsoleLine, Execution, Outcome, Verdict
from tenterhook.tenant_log import LogEvent, write

HOOK_RUN = "hook"
"""The name of this kind of run; a run's subject is the hook's id."""

FAILED_LOG_TYPE = "fpurh"
"""Auth0's code for a failed post-user-registration hook, the only point with runs today."""

_CRASHING = "its hook has brought its process down several times; the next one is started after a pause that grows with each"

_OUTCOMES = {
    Outcome.OK: AttemptOutcome.OK,
    Outcome.OK_WITH_FAILED_CALLS: AttemptOutcome.OK_WITH_FAILED_CALLS,
    Outcome.ERROR: AttemptOutcome.ERROR,
    Outcome.TIMED_OUT: AttemptOutcome.TIMED_OUT,
    Outcome.KILLED: AttemptOutcome.KILLED,
    Outcome.COULD_NOT_START: AttemptOutcome.COULD_NOT_START,
    Outcome.INTERRUPTED: AttemptOutcome.INTERRUPTED,
}


class HookRuns:
    """Executes the runs of hooks."""

    name = HOOK_RUN

    def __init__(self, invoker: HookInvoker, vault: Vault, clock: Clock) -> None:
        """Take the parts."""
        self._invoker = invoker
        self._vault = vault
        self._clock = clock

    async def prepare(self, reader: Reader, run: Run) -> _LoadedRun | NotExecutable | NotYet:
        """Load the hook, and see whether hook and user still want the run."""
        try:
            loaded = await loading.load(reader, HookId(run.subject_id), self._vault)
        except HookNotFoundError:
            return NotExecutable(state=RunState.CANCELLED, reason="its hook was deleted")
        if not loaded.enabled:
            return NotExecutable(state=RunState.HELD, reason="its hook is disabled")
        if run.user_id is not None and not await users.exists(reader, run.user_id):
            return NotExecutable(state=RunState.CANCELLED, reason="its user was deleted")
        wait = self._invoker.seconds_to_wait(loaded)
        if wait > 0:
            return NotYet(after_seconds=wait, reason=_CRASHING)
        return _LoadedRun(self._invoker, loaded)

    async def attempt_failed(
        self, transaction: Transaction, run: Run, attempt: int, result: AttemptResult, *, final: bool
    ) -> None:
        """Write the failure to the tenant log."""
        connection = run.event.get("context", {}).get("connection", {})
        user = run.event.get("user", {})
        error = dict(result.error or {})
        await write(
            transaction,
            LogEvent(
                tenant_id=run.tenant_id,
                type=FAILED_LOG_TYPE,
                date=self._clock.now(),
                description=str(error.get("message") or result.outcome.value.replace("_", " ")),
                connection=connection.get("name"),
                connection_id=connection.get("id"),
                user_id=run.user_id,
                user_name=user.get("email") or user.get("username"),
                strategy="auth0",
                strategy_type="database",
                details={
                    "error": {name: error.get(name) for name in ("name", "message", "stack")},
                    "hook": {"id": run.subject_id},
                    "run": {"id": run.id, "attempt": attempt, "final": final},
                    "outcome": result.outcome.value,
                },
            ),
        )


class _LoadedRun:
    """A run with the hook's code and secrets at hand."""

    def __init__(self, invoker: HookInvoker, loaded: LoadedHook) -> None:
        self._invoker = invoker
        self._loaded = loaded
        self.code_version: int | None = loaded.version

    async def execute(self, run: Run, attempt: int, observe: Observe) -> AttemptResult:
        """Call the hook and wait until all it started has settled."""
        execution = await self._invoker.invoke(
            self._loaded,
            run.event,
            run_id=run.id,
            attempt=attempt,
            observer=_Relay(observe),
            # It was there when a process or a worker ended; should it be to blame, nobody shall suffer with it.
            alone=run.interruptions > 0,
        )
        return result_of(execution)


class _Relay:
    """Passes on what the sandbox tells as the signals of a run."""

    def __init__(self, observe: Observe) -> None:
        self._observe = observe

    def on_started(self, at: dt.datetime) -> None:
        self._observe("first_line", {"at": at})

    def on_console(self, line: ConsoleLine) -> None:
        self._observe("console", {"level": line.level, "text": line.text})

    def on_answer(self, answer: Verdict) -> None:
        """Nothing to tell: what is told is masked."""

    def on_called_back(self, verdict: Verdict) -> None:
        self._observe("called_back", {"error": None if verdict.error is None else verdict.error.message})

    def on_call(self, call: Call) -> None:
        self._observe("call", dataclasses.asdict(call))


def result_of(execution: Execution) -> AttemptResult:
    """Return what the run records of an execution."""
    notes = list(execution.notes)
    if execution.limit is not None:
        notes.append(str(execution.limit))
    return AttemptResult(
        outcome=_OUTCOMES[execution.outcome],
        verdict=_verdict(execution.verdict),
        error=None
        if execution.error is None
        else {"name": execution.error.name, **execution.error.to_wire()},
        console=[dataclasses.asdict(line) for line in execution.console],
        calls=[{**dataclasses.asdict(call), "failed": call.failed} for call in execution.calls],
        connections=[dataclasses.asdict(attempt) for attempt in execution.connections],
        notes=notes,
        called_back_at=execution.called_back_at,
        settled_at=execution.settled_at,
    )


def _verdict(verdict: Verdict | None) -> dict[str, Any] | None:
    if verdict is None:
        return None
    if verdict.error is not None:
        return {"error": verdict.error.to_wire()}
    return {"result": verdict.result}
