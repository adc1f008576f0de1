"""The end of a process, and of the runs that were open in it: who is to blame, and what they are told.

| the process ended                                          | its only started run | one of several started runs |
| ---------------------------------------------------------- | -------------------- | --------------------------- |
| by itself, at a limit, or killed by us for what it did      | guilty: ``KILLED``   | suspect: ``INTERRUPTED``    |
| blocked beyond a run's time limit                           | guilty: ``TIMED_OUT``| suspect                     |
| killed from outside, and it was not alone in its process    | suspect              | suspect                     |
| with the pool                                               | ``INTERRUPTED``      | ``INTERRUPTED``             |

Suspects are run again, alone; whoever ends a process alone is guilty. Runs that had not started are never to blame.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
from collections.abc import Sequence

from tenterhook.sandbox import limits as limit_hits
from tenterhook.sandbox.child import Exit
from tenterhook.sandbox.execution import ErrorCode, HookError, Outcome
from tenterhook.sandbox.limits import LimitHit
from tenterhook.sandbox.open_run import OpenRun

_KEPT_BYTES = 16 * 1024
_CHUNK_BYTES = 64 * 1024
_LAST_LINE_BYTES = 1000
_PAUSE_SECONDS = 0.05
"""After a full read: a flood of stderr is taken at a megabyte a second."""
_OUT_OF_MEMORY = (b"heap out of memory", b"Reached heap limit", b"out of memory", b"OOM error")
# How abort() ends: by SIGABRT, which the first process of a pid namespace does not take from itself, so there by what the
# processor says to the instruction that glibc and V8 have after it.
_ABORTED = frozenset({-signal.SIGABRT, -signal.SIGTRAP, -signal.SIGSEGV, -signal.SIGILL})


class LastWords:
    """The tail of what a process writes to stderr; whatever a flood writes, only the tail stays."""

    def __init__(self, descriptor: int) -> None:
        """Take the read end of its pipe, which does not block, and is ours to close."""
        self._descriptor = descriptor
        self._tail = bytearray()
        self._pause: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self._read)

    @property
    def text(self) -> bytes:
        """What is kept."""
        return bytes(self._tail)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._descriptor)
            return
        self._tail += data
        del self._tail[:-_KEPT_BYTES]
        if len(data) == _CHUNK_BYTES:
            # Whoever writes without end waits for us, and not our processor for it.
            self._loop.remove_reader(self._descriptor)
            self._pause = self._loop.call_later(_PAUSE_SECONDS, self._read_on)

    def _read_on(self) -> None:
        self._loop.add_reader(self._descriptor, self._read)

    def close(self) -> None:
        """Read what is left, and no more."""
        self._read()
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Death:
    """How a process ended, and what is known of why."""

    end: Exit
    why: str | None
    """Why we killed it, if we did."""
    excused: bool
    """No run is to blame: the pool is being closed, or what we have around the process failed."""
    broke_rules: bool
    """We killed it for what it did: it was blocked, or broke the protocol."""
    alone: bool
    """It was given to one run alone."""
    last_words: bytes
    memory_bytes: int
    threads: int

    @property
    def limit(self) -> LimitHit | None:
        """The limit that ended it, if one did."""
        if self.end.over == "threads":
            return limit_hits.threads(self.threads)
        # A hook can write V8's words to its stderr; V8 itself ends with them, by one of these signals.
        by_itself = self.why is None and self.end.status in _ABORTED
        told = by_itself and any(sign in self.last_words for sign in _OUT_OF_MEMORY)
        if self.end.oom_kills > 0 or self.end.over == "memory" or told:
            return limit_hits.memory(self.memory_bytes)
        return None

    @property
    def from_outside(self) -> bool:
        """Whether somebody else killed it: an operator, or the kernel for want of memory of the whole machine.

        The second time, when the run was alone, it is the run. With its supervisor it may be lost at any time.
        """
        killed = self.end.status in {None, -signal.SIGKILL} and self.limit is None
        return self.why is None and killed and not (self.alone and self.end.status is not None)

    @property
    def last_line(self) -> str:
        """What it said last."""
        return self.last_words[-_LAST_LINE_BYTES:].decode(errors="replace").strip()

    @property
    def description(self) -> str:
        """How it ended, in a few words."""
        if self.why is not None:
            return self.why
        if self.limit is not None:
            return f"it hit the {self.limit}"
        status = self.end.status
        if status is None:
            return "its supervisor was lost"
        if status < 0:
            with contextlib.suppress(ValueError):
                return f"signal {signal.Signals(-status).name}"
        return f"status {status}"


def blamed_scripts(runs: Sequence[OpenRun], death: Death, last_script: str | None) -> frozenset[str]:
    """Return the scripts of which one has brought the process down: those that ran, or the last that did.

    A hook may leave its run settled and end the process a moment later, so that no run is there to be asked.
    """
    wanted = death.why is not None and not death.broke_rules
    if death.excused or death.from_outside or wanted:
        return frozenset()
    started = frozenset(run.script.key for run in runs if run.started)
    return started or frozenset(() if last_script is None else (last_script,))


def finish_runs(runs: Sequence[OpenRun], death: Death) -> None:
    """Finish the runs that were open."""
    started = [run for run in runs if run.started]
    for run in runs:
        if run.overdue is not None and len(started) == 1:
            finish_overdue(run, run.overdue)
            continue
        by_fault = run.started and not death.excused
        guilty = by_fault and len(started) == 1 and not death.from_outside
        run.finish(
            Outcome.KILLED if guilty else Outcome.INTERRUPTED,
            error=HookError(
                name="Error",
                message=f"The process of the hook ended: {death.description}",
                code=ErrorCode.PROCESS_ENDED,
            ),
            limit=death.limit if guilty else None,
            suspect=by_fault and not guilty,
        )


def finish_overdue(run: OpenRun, limit: LimitHit) -> None:
    """Finish a run that went beyond a time limit."""
    if limit.name == "grace":
        run.note("Settled by force: what it had started was still going on when the grace period was over.")
    run.finish(
        Outcome.TIMED_OUT,
        error=HookError(
            name="Error",
            message=f"Request to Webtask exceeded allowed execution time ({limit})",
            code=ErrorCode.TIMED_OUT,
        ),
        limit=limit,
    )
