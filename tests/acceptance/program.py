"""The program as its users have it: the ``tenterhook`` command, its output line by line, its end."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping

from tests.program import TENTERHOOK

PATIENCE_SECONDS = 90
"""How long a line may take; only a failing test waits so long."""


def tenterhook(
    *arguments: str, env: Mapping[str, str], text: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [TENTERHOOK, *arguments],
        env=dict(env),
        input=text,
        stdin=subprocess.DEVNULL if text is None else None,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


class Program:
    """A command that goes on until it is told to stop."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.output: list[str] = []

    async def line(self, pattern: str) -> re.Match[str]:
        """Return the match of the next line that has the pattern; fail with what came instead."""
        assert self.process.stdout is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while raw := await self.process.stdout.readline():
                    self.output.append(raw.decode().rstrip("\n"))
                    if found := re.search(pattern, self.output[-1]):
                        return found
        raise AssertionError(f"No line with {pattern!r} in:\n" + "\n".join(self.output))

    async def stop(self) -> int:
        """Ask it to stop, wait until it has, and return its exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_SECONDS):
            rest = await self.process.stdout.read() if self.process.stdout else b""
            self.output += rest.decode().splitlines()
            return await self.process.wait()


@contextlib.asynccontextmanager
async def running(
    *arguments: str, env: Mapping[str, str], program: str = TENTERHOOK
) -> AsyncIterator[Program]:
    """Run a command inside the block."""
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        env=dict(env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    started = Program(process)
    try:
        yield started
    finally:
        await started.stop()
