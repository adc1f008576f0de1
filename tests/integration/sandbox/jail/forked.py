"""A forked child that gives up its rights for good, and says what it saw."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

from tenterhook.sandbox.jail import libc


def in_child(body: Callable[[], Any]) -> Any:
    """Run ``body`` in a child and return what it returns; an exception there is a failure here.

    A child that was killed returns ``Killed`` with the signal. ``body`` makes system calls only after it has confined
    itself, and imports nothing then.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            signal.alarm(30)
            libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
            said = json.dumps({"value": body()})
        except BaseException as error:  # noqa: BLE001 - pytest must not go on in this copy of it
            said = json.dumps({"error": f"{type(error).__name__}: {error}"})
        try:
            os.write(writing, said.encode())
        finally:
            os._exit(0)
    os.close(writing)
    said = b""
    while part := os.read(reading, 65536):
        said += part
    os.close(reading)
    _, status = os.waitpid(pid, 0)
    if not said:
        return {"killed by": os.waitstatus_to_exitcode(status)}
    answer = json.loads(said)
    assert "error" not in answer, answer["error"]
    return answer["value"]


def error_of(call: Callable[[], Any]) -> int:
    """Return the errno that a call ends with; 0 when it succeeds."""
    try:
        call()
    except OSError as error:
        return error.errno or -1
    return 0
