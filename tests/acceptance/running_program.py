"""A program in the foreground, as an operator has it in a terminal: what it prints can be waited for; Ctrl-C ends it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


class RunningProgram:
    """One such program, and everything it has printed so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.printed = ""

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Read on until what was printed since the start matches; fail when the program ends before.

        How long that may take is the test's own time limit.
        """
        assert self._process.stdout is not None
        while (match := re.search(pattern, self.printed, re.MULTILINE)) is None:
            line = self._process.stdout.readline()
            assert line, f"It ended without {pattern!r}:\n{self.printed}"
            self.printed += line
        return match

    def interrupt(self) -> int:
        """Press Ctrl-C; return the exit code, everything printed being read."""
        self._process.send_signal(signal.SIGINT)
        rest, _ = self._process.communicate()
        self.printed += rest
        return self._process.returncode


@contextmanager
def running(
    command: Sequence[object], *, folder: Path, environment: Mapping[str, str] = os.environ
) -> Iterator[RunningProgram]:
    """Run a command inside the block; it must end by itself, and well, when Ctrl-C asks it to."""
    with subprocess.Popen(
        [str(word) for word in command],
        cwd=folder,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        program = RunningProgram(process)
        try:
            yield program
        except BaseException:
            process.send_signal(signal.SIGINT)
            raise
        assert program.interrupt() == 0, program.printed
