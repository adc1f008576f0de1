"""One process that the supervisor was asked for, as the host holds it.

asked for ─► spawned ─► exited
└ assign(): its tenant's modules and policy, at any time in between
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from tenterhook import egress
from tenterhook.errors import TenterhookError


class Supervisor(Protocol):
    """The host's way to the supervisor; see ``supervision``."""

    def send(self, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
        """Send a message."""
        ...

    def expect_answer(self, number: int, token: int) -> None:
        """Give it up when it does not answer in time."""
        ...

    def answered(self, number: int, token: int) -> None:
        """It did."""
        ...


class SandboxUnavailableError(TenterhookError):
    """The sandbox cannot run scripts now."""

    code = "sandbox_unavailable"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exit:
    """How a process ended."""

    status: int | None
    """Exit status, or minus the signal; None when its supervisor was lost with it."""
    oom_kills: int = 0
    """How often the kernel killed in its cgroup for want of memory."""
    over: str | None = None
    """The limit for which the zygote killed it, where the kernel does not count for us: ``memory`` or ``threads``."""


class Child:
    """A process that was asked for. ``channel`` and ``errors`` are the host's ends, and the owner's to close."""

    def __init__(self, supervisor: Supervisor, number: int, channel: socket.socket, errors: int) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.channel = channel
        self.errors = errors
        self.pid: int | None = None
        self.exited: asyncio.Future[Exit] = loop.create_future()
        self.on_event: Callable[[Mapping[str, Any]], None] | None = None
        """Called with what the gate tells of it (``connection``, ``outcome``, ``name``, ``unreported``, ``broken``), and
        with ``failure`` when it could not be started."""
        self._supervisor = supervisor
        self._pidfd: int | None = None
        self._unwanted = False
        self._tokens = 0
        self._assigning: dict[int, asyncio.Future[None]] = {}

    def kill(self) -> None:
        """End it now, or as soon as it is there; ``exited`` tells when that has happened."""
        self._unwanted = True
        if self._pidfd is not None:
            # Through the pidfd: the number may belong to another process by now.
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def assign(self, policy: egress.Policy | None, modules: Sequence[str]) -> None:
        """Set what it may connect to (None: as before), and let it read more module sets.

        Raises:
            SandboxUnavailableError: a module set could not be mounted, or the process has ended.
        """
        if self.exited.done():
            raise SandboxUnavailableError("The process for hooks has ended.")
        self._tokens += 1
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._supervisor.send(
            {
                "do": "assign",
                "id": self.number,
                "token": self._tokens,
                "policy": None if policy is None else policy.to_json(),
                "modules": list(modules),
            }
        )
        self._assigning[self._tokens] = done
        self._supervisor.expect_answer(self.number, self._tokens)
        await done

    def receive(self, message: dict[str, Any], descriptors: list[int]) -> None:
        """Take what the supervisor says of it."""
        match message["event"]:
            case "spawned":
                self._supervisor.answered(self.number, 0)
                self.pid = message["pid"]
                self._pidfd = os.dup(descriptors[0])
                if self._unwanted:
                    self.kill()
            case "assigned":
                self._supervisor.answered(self.number, message["token"])
                done = self._assigning.pop(message["token"])
                if done.done():
                    return
                if "error" in message:
                    done.set_exception(SandboxUnavailableError(message["error"]))
                else:
                    done.set_result(None)
            case _:
                if self.on_event is not None:
                    self.on_event(message)

    def lose(self, end: Exit) -> None:
        """It is gone."""
        for token in self._assigning:
            self._supervisor.answered(self.number, token)
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        if not self.exited.done():
            self.exited.set_result(end)
        for done in self._assigning.values():
            if not done.done():
                done.set_exception(SandboxUnavailableError("The process for hooks has ended."))
        self._assigning.clear()
