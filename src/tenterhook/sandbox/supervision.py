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
import os
import socket
import subprocess
from collections import deque
from collections.abc import Sequence
from typing import Any

import structlog

from tenterhook import egress
from tenterhook.sandbox.child import Child, Exit, SandboxUnavailableError
from tenterhook.sandbox.jail import bare_python, wire
from tenterhook.sandbox.jail.plan import Ground, Plan
from tenterhook.sandbox.jail.protections import Protection
from tenterhook.sandbox.stderr_log import StderrLog

ANSWER_SECONDS = 30.0
"""How long the supervisor may take to start a process or to mount a module set; a few milliseconds on a quiet machine."""
_MESSAGES_PER_TURN = 64
_log = structlog.get_logger(__name__)


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
        self._ready: asyncio.Future[None] | None = None
        self._unanswered: dict[tuple[int, int], asyncio.TimerHandle] = {}
        """(child, token; 0 for its start) → when patience ends."""

    @property
    def pid(self) -> int | None:
        """The supervisor's, while it lives."""
        return None if self._popen is None else self._popen.pid

    async def started(self) -> None:
        """Wait until jails can be made.

        Raises:
            SandboxUnavailableError: they cannot; the message says why.
        """
        self.start()
        if self._ready is not None:
            await asyncio.wait_for(asyncio.shield(self._ready), ANSWER_SECONDS)

    def start(self) -> None:
        """Start the supervisor, unless it lives. On the event loop's thread, on which its life depends.

        Raises:
            SandboxUnavailableError: the system is out of processes or descriptors.
        """
        if self._control is not None:
            return
        closed = self._ground.holds(Protection.CLOSED_DESCRIPTORS)
        try:
            ours, theirs = wire.pair()
            errors, errors_end = os.pipe2(os.O_CLOEXEC)
        except OSError as error:
            raise SandboxUnavailableError(f"A process for hooks could not be started: {error}") from error
        try:
            with theirs:
                if not closed:
                    theirs.set_inheritable(True)
                self._popen = subprocess.Popen(
                    bare_python.argv("tenterhook.sandbox.supervisor", f"main({theirs.fileno()})"),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors_end,
                    pass_fds=(theirs.fileno(),) if closed else (),
                    close_fds=closed,
                    cwd="/",
                    env={} if self._ground.holds(Protection.CLEAN_ENVIRONMENT) else None,
                    start_new_session=True,
                )
        except OSError as error:
            ours.close()
            os.close(errors)
            raise SandboxUnavailableError(f"A process for hooks could not be started: {error}") from error
        finally:
            os.close(errors_end)
        wire.send(ours, self._ground.to_json())
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        self._control = ours
        self._said = StderrLog(errors, "supervisor_said")
        self._ready = loop.create_future()
        loop.add_reader(ours, self._on_readable)

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
        self.expect_answer(child.number, 0)
        return child

    def expect_answer(self, number: int, token: int) -> None:
        """Give the supervisor up when it does not answer in time: whoever waits for it must not wait for ever."""
        loop = asyncio.get_running_loop()
        self._unanswered[number, token] = loop.call_later(ANSWER_SECONDS, self._on_silence, number)

    def answered(self, number: int, token: int) -> None:
        """It did."""
        timer = self._unanswered.pop((number, token), None)
        if timer is not None:
            timer.cancel()

    def _on_silence(self, number: int) -> None:
        _log.error("supervisor_silent", process=number, seconds=ANSWER_SECONDS)
        self._lose_supervisor()

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
        for _ in range(_MESSAGES_PER_TURN):
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
                self._receive(message, descriptors)
            finally:
                _close_all(descriptors)

    def _receive(self, message: dict[str, Any], descriptors: list[int]) -> None:
        if message["id"] == 0:
            self._on_state(message)
            return
        child = self._children.get(message["id"])
        if child is None:
            return
        if message["event"] not in {"exited", "failed"}:
            child.receive(message, descriptors)
            return
        del self._children[child.number]
        self.answered(child.number, 0)
        if message["event"] == "failed":
            child.receive({"event": "failure", "error": message["error"]}, [])
        child.lose(
            Exit(
                status=message.get("status"),
                oom_kills=message.get("oom_kills", 0),
                over=message.get("over"),
            )
        )

    def _on_state(self, message: dict[str, Any]) -> None:
        """Hear that jails can be made, or why not: it ends then."""
        if self._ready is None or self._ready.done():
            return
        if message["event"] == "ready":
            self._ready.set_result(None)
        else:
            _log.error("sandbox_cannot_be_made", error=message["error"])
            self._ready.set_exception(
                SandboxUnavailableError(f"The sandbox cannot be made: {message['error']}")
            )

    def _lose_supervisor(self) -> None:
        """The supervisor has ended, and by that every child."""
        if not self._closing and self._control is not None:
            _log.error("supervisor_lost", processes=len(self._children))
        for timer in self._unanswered.values():
            timer.cancel()
        self._unanswered.clear()
        if self._ready is not None:
            if not self._ready.done():
                self._ready.set_exception(SandboxUnavailableError("The supervisor of the sandbox ended."))
            self._ready.exception()  # whoever waits gets it; nobody waiting is no fault
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
        self._closing = True
        if self._control is not None and self._popen is not None:
            popen = self._popen
            self.send({"do": "end", "id": 0})
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(popen.wait, 10)
            self._lose_supervisor()
        await asyncio.gather(*self._gone)
        self._gone.clear()
