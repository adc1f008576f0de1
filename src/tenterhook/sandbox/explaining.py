"""Explaining a run's error by what the gate and the limits know, and the error does not say.

Pure functions of values whose secrets are masked already; what they add is not searched for them again.
"""

from __future__ import annotations

import dataclasses
import re

from tenterhook.egress import canonical
from tenterhook.sandbox import limits
from tenterhook.sandbox.execution import ConnectionAttempt, HookError
from tenterhook.sandbox.limits import Confinement, LimitHit

# Signs in Node's messages. An address that is a secret has been masked: its mark stands in brackets, perhaps in two.
_NOT_FOUND = ("enotfound", "erefused", "eai_again")
_CONNECT = re.compile(r"connect (E[A-Z]+) (\[{1,2}[^][]{1,300}\]{1,2}|[^][\s:]{1,300}):([0-9]{1,5})(?![0-9])")
# What V8 and Node say when memory outside the heap of JavaScript cannot be had.
_NO_MEMORY = ("Array buffer allocation failed", "Failed to allocate memory")
_TOO_MANY_CONNECTIONS = "too_many_connections"
# EMFILE as well, but of what the gate itself takes on, which no setting changes.
_BOUNDS_OF_THE_GATE = frozenset({"too_many_waiting", "too_many_questions"})


def explained(error: HookError, connections: tuple[ConnectionAttempt, ...]) -> HookError:
    """Say what the gate said of the name or address that the error is about.

    Inside, a refused name cannot be told from one that is not found, and of a refused address nothing is known but that
    it was refused: why, and what would allow it, is the policy's to say.
    """
    refused = [attempt for attempt in connections if not attempt.allowed]
    if not refused:
        return error
    told = f"{error.message}\n{error.stack or ''}"
    places = {(code, _plain(host), port) for code, host, port in _CONNECT.findall(told)}
    told = told.lower()
    for attempt in refused:
        if attempt.port is None:
            about = any(f"{sign} {name.lower()}" in told for name in attempt.names for sign in _NOT_FOUND)
        else:
            about = (attempt.error, _plain(attempt.address or ""), str(attempt.port)) in places
        if about:
            message = f"{error.message}: {attempt.explanation or attempt.reason}"
            stack = None if error.stack is None else error.stack.replace(error.message, message, 1)
            return dataclasses.replace(error, message=message, stack=stack)
    return error


def _plain(host: str) -> str:
    """Return one form of an address, which the gate and Node may write in two; or the mark of a secret."""
    host = host.strip("[]")
    return str(canonical(host) or host)


def limit_met(
    confinement: Confinement, error: HookError | None, connections: tuple[ConnectionAttempt, ...]
) -> LimitHit | None:
    """Return the limit of the process that an error speaks of, or that a connection was refused for.

    It ended nothing, so it is a remark and no ``limit`` of the run: a hook may go on, or have met it for its own reasons.
    """
    reasons = {attempt.reason for attempt in connections if not attempt.allowed}
    if _TOO_MANY_CONNECTIONS in reasons:
        return limits.connections(confinement.max_connections)
    code = None if error is None else error.code
    if code == "EMFILE" and reasons.isdisjoint(_BOUNDS_OF_THE_GATE):
        return limits.open_files(confinement.open_files)
    if code in {"ENOSPC", "EFBIG"}:
        return limits.scratch(confinement.scratch_bytes)
    if error is not None and error.name == "RangeError" and error.message.endswith(_NO_MEMORY):
        return limits.memory(confinement.memory_bytes)
    return None
