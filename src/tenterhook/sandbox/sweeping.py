"""Sweeping: what a Node process started and left behind ends with it.

A hook may start a process that leaves its session and outlives Node. Where each Node process has a uid of its own,
whatever still has that uid came from there. Only a process of the same uid can name them all at once and nobody else
(``kill(-1)``), so one is started for it, on Python alone.

Known limitation: nothing is swept when the host itself is killed, or where all share the host's uid. The remedy is a pid
namespace, in which everything ends with its first process.
"""

from __future__ import annotations

import asyncio
import sys

import structlog

_log = structlog.get_logger(__name__)

_PROGRAM = """
import os, signal, sys
uid = int(sys.argv[1])
os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
try:
    os.kill(-1, signal.SIGKILL)
except ProcessLookupError:
    pass
"""


async def end_all_of(uid: int) -> None:
    """Kill every process of a uid that belongs to one ended Node process, and return when that is done."""
    try:
        sweeper = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _PROGRAM, str(uid)), stdin=asyncio.subprocess.DEVNULL, cwd="/"
        )
    except OSError as error:
        _log.error("sandbox_sweep_failed", uid=uid, error=str(error))
        return
    await sweeper.wait()
