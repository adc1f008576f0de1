"""Running PostgreSQL's programs through the launcher, and turning its failures into errors that say what to do."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenterhook.database.embedded import launcher
from tenterhook.database.embedded.binaries import installation, libraries
from tenterhook.database.embedded.errors import EmbeddedServerError, IsolationRefusedError

_TIME_LIMIT_SECONDS = 300.0
"""For ``initdb``, which takes one or two seconds; a slow disk may need a minute."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """One program to run."""

    name: str
    """In the wheel's ``bin``."""
    arguments: tuple[str, ...]
    """Seen by everybody in ``ps``: never a secret."""
    uid: int | None
    """Whom root becomes for it; None to stay who we are."""
    cluster: Path
    """Its data folder."""
    socket: Path
    """The socket's folder."""
    alive_lock: int
    """The descriptor of the lock that the program inherits and keeps to its end."""
    detach: bool
    """True: it goes on without us. False: wait for its end."""


async def run(program: Program, output: Path) -> int:
    """Run the program, its output appended to a file; return its exit status, 0 at once when detached.

    Raises:
        IsolationRefusedError: when root may not make a mount namespace here.
        EmbeddedServerError: when the program cannot be run.
    """
    work = asyncio.ensure_future(asyncio.to_thread(_run, program, output))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])  # the thread uses descriptors that the caller is about to close
        raise


def _run(program: Program, output: Path) -> int:
    outside = installation()
    folder = outside if program.uid is None else Path(launcher.PROGRAMS)
    status_reader, status_writer = os.pipe()
    output_fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    plan = {
        "uid": program.uid,
        "binds": {
            launcher.PROGRAMS: str(outside),
            launcher.LIBRARIES: str(libraries(outside)),
            launcher.CLUSTER: str(program.cluster),
            launcher.SOCKET: str(program.socket),
        },
        "command": [str(folder / "bin" / program.name), *program.arguments],
        # Nothing of ours is passed on: PGDATA and its like would change what the server does.
        "environment": {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"},
        "detach": program.detach,
        "status_fd": status_writer,
        "output_fd": output_fd,
    }
    try:
        finished = subprocess.run(
            [sys.executable, "-I", "-S", launcher.__file__],
            input=json.dumps(plan).encode(),
            pass_fds=(status_writer, output_fd, program.alive_lock),
            stdout=output_fd,
            stderr=output_fd,
            start_new_session=True,
            timeout=_TIME_LIMIT_SECONDS,
            check=False,
        )
        os.close(status_writer)
        status_writer = -1
        with os.fdopen(status_reader, "rb", closefd=False) as reader:
            report = reader.read()  # ends when the program has been executed, or the launcher has given up
    except subprocess.TimeoutExpired as error:
        raise EmbeddedServerError(
            f"PostgreSQL's {program.name} was not done after {_TIME_LIMIT_SECONDS:.0f} seconds; is the disk of "
            f"{program.cluster.parent} overloaded?"
        ) from error
    finally:
        os.close(status_reader)
        os.close(output_fd)
        if status_writer >= 0:
            os.close(status_writer)
    if report:
        raise _error(json.loads(report), program)
    return finished.returncode


def _error(report: dict[str, Any], program: Program) -> EmbeddedServerError | IsolationRefusedError:
    if report["step"] == "start":
        return EmbeddedServerError(f"PostgreSQL's {program.name} cannot be run: {report['reason']}.")
    return IsolationRefusedError(
        "PostgreSQL does not run as root. Tenterhook would run it as a user number of its own in a mount namespace of "
        f"its own, and this machine does not allow that ({report['reason']}), as is usual inside containers. Either run "
        "Tenterhook as an ordinary user, or set DATABASE_URL to use a PostgreSQL server of your own."
    )
