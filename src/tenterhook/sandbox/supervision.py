"""The host's side of the supervisor: starts it, asks it for processes, hears what becomes of them.

    Supervision.spawn() ─► Child: spawned ─► exited
                                     └ assign(): its tenant's modules and policy, at any time in between

A supervisor that dies takes its processes along (the kernel sees to it): every child has ``exited`` then, and the next
``spawn`` starts another supervisor. Nothing here waits in a system call; all of it is for one event loop, on whose
thread the supervisor's life depends (PDEATHSIG means the thread that started it).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tenterhook import egress
from tenterhook.errors import TenterhookError
from tenterhook.sandbox.jail import wire
from tenterhook.sandbox.jail.plan import Ground, Plan
from tenterhook.sandbox.jail.protections import Protection

_PACKAGE = Path(__file__).resolve().parents[1]
# The supervisor is to hold as little as it can, so the packages' own __init__, which import the whole product, are left out.
_PROGRAM = """
import sys, types
sys.path[:] = {path!r}
for name, folder in (("tenterhook", {package!r}), ("tenterhook.sandbox", {sandbox!r})):
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = [folder]
from tenterhook.sandbox import supervisor
supervisor.main(int(sys.argv[1]))
"""


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

    def __init__(self, supervision: Supervision, number: int, channel: socket.socket, errors: int) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.channel = channel
        self.errors = errors
        self.pid: int | None = None
        self.exited: asyncio.Future[Exit] = loop.create_future()
        self.on_event: Callable[[Mapping[str, Any]], None] | None = None
        """Called with what the gate tells of it: ``connection``, ``outcome``, ``name`` and ``unreported`` events."""
        self._supervision = supervision
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
        self._supervision.send(
            {
                "do": "assign",
                "id": self.number,
                "token": self._tokens,
                "policy": None if policy is None else policy.to_json(),
                "modules": list(modules),
            }
        )
        self._assigning[self._tokens] = done
        await done

    def receive(self, message: dict[str, Any], descriptors: list[int]) -> None:
        """Take what the supervisor says of it."""
        match message["event"]:
            case "spawned":
                self.pid = message["pid"]
                self._pidfd = os.dup(descriptors[0])
                if self._unwanted:
                    self.kill()
            case "assigned":
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
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        if not self.exited.done():
            self.exited.set_result(end)
        for done in self._assigning.values():
            if not done.done():
                done.set_exception(SandboxUnavailableError("The process for hooks has ended."))
        self._assigning.clear()


def _close_all(descriptors: Sequence[int] | None) -> None:
    for descriptor in descriptors or ():
        os.close(descriptor)


class Supervision:
    """One supervisor at a time, started when it is needed."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._popen: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._children: dict[int, Child] = {}
        self._numbers = 0
        self._unsent: deque[tuple[bytes, list[int]]] = deque()
        self._closing = False
        self._gone: list[asyncio.Task[int]] = []

    @property
    def pid(self) -> int | None:
        """The supervisor's, while it lives."""
        return None if self._popen is None else self._popen.pid

    def start(self) -> None:
        """Start the supervisor, unless it lives. On the event loop's thread, on which its life depends.

        Raises:
            SandboxUnavailableError: the system is out of processes or descriptors.
        """
        if self._control is not None:
            return
        program = _PROGRAM.format(path=sys.path, package=str(_PACKAGE), sandbox=str(_PACKAGE / "sandbox"))
        closed = self._ground.holds(Protection.CLOSED_DESCRIPTORS)
        try:
            ours, theirs = wire.pair()
            with theirs:
                if not closed:
                    theirs.set_inheritable(True)
                self._popen = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", program, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),) if closed else (),
                    close_fds=closed,
                    cwd="/",
                    env={} if self._ground.holds(Protection.CLEAN_ENVIRONMENT) else None,
                    start_new_session=True,
                )
        except OSError as error:
            raise SandboxUnavailableError(f"A process for hooks could not be started: {error}") from error
        wire.send(ours, self._ground.to_json())
        ours.setblocking(False)
        self._control = ours
        asyncio.get_running_loop().add_reader(ours, self._on_readable)

    def spawn(self, plan: Plan, policy: egress.Policy, *, max_connections: int) -> Child:
        """Ask for a process; it starts meanwhile, and fails with ``exited``.

        Raises:
            SandboxUnavailableError: the system is out of processes or descriptors.
        """
        self.start()
        try:
            ours, theirs = socket.socketpair()
            errors, errors_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise SandboxUnavailableError(f"A process for hooks could not be started: {error}") from error
        ours.setblocking(False)
        self._numbers += 1
        child = Child(self, self._numbers, ours, errors)
        try:
            self.send(
                {
                    "do": "spawn",
                    "id": child.number,
                    "plan": plan.to_json(),
                    "policy": policy.to_json(),
                    "max_connections": max_connections,
                },
                [theirs.detach(), errors_end],
            )
        except SandboxUnavailableError:
            _close_all([ours.detach(), errors])
            raise
        self._children[child.number] = child
        return child

    def send(self, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
        """Send a message, now or when there is room; takes the descriptors and closes them.

        Raises:
            SandboxUnavailableError: the message is too long.
        """
        try:
            packet = wire.encode(message, most_bytes=wire.MAX_MESSAGE_BYTES)
        except ValueError as error:
            _close_all(descriptors)
            raise SandboxUnavailableError(
                f"What a process for hooks may connect to takes too many entries to say: {error}"
            ) from error
        if self._control is None:
            _close_all(descriptors)
            return
        if not self._unsent:
            asyncio.get_running_loop().add_writer(self._control, self._on_writable)
        self._unsent.append((packet, descriptors or []))
        self._on_writable()

    def _on_writable(self) -> None:
        if self._control is None:
            return
        while self._unsent:
            packet, descriptors = self._unsent[0]
            try:
                wire.send_packet(self._control, packet, descriptors)
            except BlockingIOError:
                return
            except OSError:
                return  # it has gone, and the reader is about to see it
            self._unsent.popleft()
            _close_all(descriptors)
        asyncio.get_running_loop().remove_writer(self._control)

    def _on_readable(self) -> None:
        if self._control is None:
            return
        try:
            message, descriptors = wire.receive(self._control)
        except BlockingIOError:
            return
        except OSError:
            message, descriptors = None, []
        if message is None:
            self._lose_supervisor()
            return
        try:
            child = self._children.get(message["id"])
            if child is None:
                return
            if message["event"] in {"exited", "failed"}:
                del self._children[child.number]
                if message["event"] == "failed":
                    self._say(child, message["error"])
                child.lose(
                    Exit(
                        status=message.get("status"),
                        oom_kills=message.get("oom_kills", 0),
                        over=message.get("over"),
                    )
                )
            else:
                child.receive(message, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _say(self, child: Child, error: str) -> None:
        child.receive({"event": "failure", "error": error}, [])

    def _lose_supervisor(self) -> None:
        """The supervisor has ended, and by that every child."""
        control, popen = self._control, self._popen
        self._control = self._popen = None
        if control is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(control)
            loop.remove_writer(control)
            control.close()
        for _packet, descriptors in self._unsent:
            _close_all(descriptors)
        self._unsent.clear()
        if popen is not None:
            popen.kill()  # it closed its end, whatever else it does; then waiting for it does not block
            self._gone.append(asyncio.get_running_loop().create_task(asyncio.to_thread(popen.wait)))
        children, self._children = self._children, {}
        for child in children.values():
            child.lose(Exit(status=None))

    async def close(self) -> None:
        """End the supervisor, and so every process, and wait until it is gone."""
        if self._control is not None and self._popen is not None:
            popen = self._popen
            self.send({"do": "end", "id": 0})
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(popen.wait, 10)
            self._lose_supervisor()
        await asyncio.gather(*self._gone)
        self._gone.clear()
