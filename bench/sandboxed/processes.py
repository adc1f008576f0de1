"""Other processes: those to compare with, and what the kernel tells of all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

_END_SECONDS = 5.0


@asynccontextmanager
async def program(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program that ends with its standard input, which the kernel closes if we are killed."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _END_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


async def line_of(process: asyncio.subprocess.Process) -> str:
    """Return the next line that a program prints."""
    if process.stdout is None:
        raise RuntimeError("The program's output is not ours.")
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError("A program to compare with has ended.")
    return line.decode().strip()


def processor_ms(pid: int) -> float:
    """Return the processor time of a process so far, all its threads; much finer than /proc/PID/stat."""
    return sum(
        int((task / "schedstat").read_text().split()[0]) / 1e6 for task in Path(f"/proc/{pid}/task").iterdir()
    )


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started and not yet buried."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def memory_mib(pid: int, field: str = "Pss") -> float:
    """Return a field of smaps_rollup; ``Pss`` counts a page that N processes share as an Nth."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith(f"{field}:")) / 1024


def available_mib() -> float:
    """Return how much memory the kernel believes can be had; what it keeps for processes itself is gone from it."""
    text = Path("/proc/meminfo").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("MemAvailable:")) / 1024
