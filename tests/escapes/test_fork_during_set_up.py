"""Processes that somebody else in the host starts while jails are being set up get nothing of theirs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading

from tenterhook.sandbox import Invocation, Outcome, SandboxPool, Script

# Careless as can be: everything inheritable is inherited.
_LIST = ["/bin/sh", "-c", "ls -l /proc/self/fd"]


def _inherited() -> set[str]:
    """Return what a process that is started now finds open, besides what is its own."""
    listed = subprocess.run(
        _LIST, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    opened = (line.rpartition(" -> ") for line in listed.splitlines() if " -> " in line)
    return {
        target
        for head, _arrow, target in opened
        if int(head.split()[-1]) > 2 and not target.startswith("/proc/")
    }


class _Forking(threading.Thread):
    """Starts processes all the time, until told to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.rounds = 0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            self.found |= _inherited()
            self.rounds += 1


async def test_processes_of_others_inherit_nothing() -> None:
    before = await asyncio.to_thread(_inherited)
    script = Script(key="x", source="module.exports = (user, context, cb) => cb(null, 'ran')")
    forking = _Forking()
    forking.start()
    try:
        for attempt in range(2):  # the supervisor's start is among it each time
            async with SandboxPool(drain_seconds=0, max_processes_per_tenant=4) as pool:
                runs = [
                    pool.run(
                        f"tenant-{number}",
                        script,
                        Invocation(run_id=f"{attempt}-{number}", arguments=({}, {})),
                    )
                    for number in range(6)
                ]
                assert {execution.outcome for execution in await asyncio.gather(*runs)} == {Outcome.OK}
    finally:
        forking.over.set()
        await asyncio.to_thread(forking.join)
    assert forking.rounds > 5
    assert forking.found - before == set()


async def test_an_inheritable_descriptor_would_be_found(tmp_path) -> None:
    """The test above looks in the right place."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        assert str(tmp_path) not in await asyncio.to_thread(_inherited)
        os.set_inheritable(descriptor, True)
        assert str(tmp_path) in await asyncio.to_thread(_inherited)
    finally:
        os.close(descriptor)
