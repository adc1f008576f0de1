"""The gate of one process: whatever it wants to connect to, comes here first.

    asleep ──first connect──► serving, in a thread of its own ──a while without──► asleep
       │                          │
       └────── close(), or the process has ended ──────► closed

While nothing happens, the gate is one descriptor on the supervisor's event loop. A thread serves it while there is
something to do, because two things that a connect needs can be held up by the process itself: to read its memory takes
its ``mmap_lock``, and to put a descriptor in waits until its thread has run (``SECCOMP_IOCTL_NOTIF_ADDFD``). A process
that its cgroup throttles, or that has put itself behind all others, would hold up the event loop and so everybody. In
a thread it holds up itself.

No thread waits for the network: sockets do not block, and connections on their way are waited for together
(``attempts``). A process that connects in a flood is served at a bounded rate, so it takes a bounded share of the
supervisor.

If the gate breaks, it closes: the process's connects then fail with ENOSYS, and ``closed`` raises why.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import threading
import time

from tenterhook.egress import Policy
from tenterhook.sandbox.gate.attempts import Attempts
from tenterhook.sandbox.gate.caller import Caller
from tenterhook.sandbox.gate.connections import Report
from tenterhook.sandbox.gate.handler import ConnectHandler
from tenterhook.sandbox.gate.name_server import NameServer
from tenterhook.sandbox.gate.notifications import Listener
from tenterhook.sandbox.gate.token_bucket import TokenBucket

CONNECTS_BURST, CONNECTS_PER_SECOND = 500, 500.0
"""Of one process. One costs us a tenth of a millisecond, so a flood costs a twentieth of a processor."""
IDLE_SECONDS = 5.0
"""How long the thread stays without anything to do; starting one takes a tenth of a millisecond."""
NO_THREAD_SECONDS = 0.1
"""When to try again after the machine had no thread for us."""


class Gate:
    """Stands between one process and the network. Made and used on the event loop."""

    def __init__(
        self,
        listener_fd: int,
        pid: int,
        *,
        policy: Policy,
        names: NameServer,
        report: Report,
        max_connections: int,
    ) -> None:
        """Take the listener of the process's filter; it is ours from here on.

        Raises:
            ProcessLookupError: the process has ended; the listener is closed.
        """
        self._listener = Listener(listener_fd)
        try:
            self._process = Caller(pid)
        except OSError:
            self._listener.close()
            raise
        self._names = names
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._attempts = Attempts(self._epoll, self._listener.waits)
        self._handler = ConnectHandler(
            listener=self._listener,
            process=self._process,
            policy=policy,
            names=names,
            report=report,
            max_connections=max_connections,
            attempts=self._attempts,
        )
        self._rate = TokenBucket(burst=CONNECTS_BURST, per_second=CONNECTS_PER_SECOND)
        self._loop = asyncio.get_running_loop()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._closing = False
        self._process_ended = False
        self._thread: threading.Thread | None = None

    # --- on the event loop

    def open(self) -> None:
        """Begin to answer."""
        self._epoll.register(self._wake, select.EPOLLIN)
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._sleep()

    def set_policy(self, policy: Policy) -> None:
        """Judge by this from now on. Connections that exist stay."""
        self._handler.set_policy(policy)
        self._names.policy = policy

    def close(self) -> None:
        """Answer nothing more; the process's connects fail with ENOSYS. ``closed`` says when it is done."""
        if self._closing:
            return
        self._closing = True
        if self._thread is None:
            self._loop.remove_reader(self._listener.fileno())
            self._end(None)
        else:
            os.eventfd_write(self._wake, 1)

    async def closed(self) -> None:
        """Wait until the gate is closed; raise what broke it, if something did.

        It closes by itself when the process has ended.
        """
        await asyncio.shield(self._closed)

    def _sleep(self) -> None:
        self._thread = None
        if self._closing:
            self._end(None)
        else:
            self._loop.add_reader(self._listener.fileno(), self._start)

    def _start(self) -> None:
        """Begin to serve: the process connects, or has ended."""
        self._loop.remove_reader(self._listener.fileno())
        thread = threading.Thread(target=self._run, name=f"gate of {self._process.pid}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread to be had
            self._loop.call_later(NO_THREAD_SECONDS, self._sleep)
            return
        self._thread = thread

    def _end(self, error: BaseException | None) -> None:
        """Close everything, once. No thread runs any more."""
        if self._closed.done():
            return
        self._closing = True
        self._attempts.close(process_ended=self._process_ended)
        self._handler.reporter.flush()
        self._listener.close()
        self._process.close()
        self._epoll.close()
        os.close(self._wake)
        if error is None:
            self._closed.set_result(None)
        else:
            self._closed.set_exception(error)

    # --- in the thread

    def _run(self) -> None:
        # Signals are for the main thread; here one would only interrupt the handing over of a descriptor.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        error: BaseException | None = None
        try:
            self._serve()
        except BaseException as raised:  # noqa: BLE001 - raised by ``closed``
            error = raised
        self._handler.reporter.flush()
        ended = error is not None or self._closing or self._process_ended
        with contextlib.suppress(RuntimeError):  # the loop is closed: the supervisor ends
            self._loop.call_soon_threadsafe(self._served, error, ended)

    def _serve(self) -> None:
        """Serve until there is nothing more to do."""
        listener = self._listener.fileno()
        busy_at = time.monotonic()
        paused = False
        while not self._closing:
            pause = self._rate.seconds_until_next()
            if paused != (pause > 0):
                paused = not paused
                self._epoll.modify(listener, 0 if paused else select.EPOLLIN)
            for descriptor, event in self._epoll.poll(self._patience(pause)):
                busy_at = time.monotonic()
                if descriptor != listener:
                    self._attempts.ready(descriptor)
                elif event & select.EPOLLIN:
                    self._take()
                elif event & select.EPOLLHUP:  # nobody is left under the filter
                    self._process_ended = True
                    return
            self._attempts.expire()
            if not self._attempts and not paused and time.monotonic() - busy_at >= IDLE_SECONDS:
                return

    def _patience(self, pause: float) -> float:
        """Return how long there is nothing to do if nothing happens."""
        deadline = self._attempts.next_deadline()
        patience = IDLE_SECONDS if deadline is None else min(IDLE_SECONDS, deadline)
        return min(patience, pause) if pause else patience

    def _take(self) -> None:
        call = self._listener.receive()
        if call is not None:
            self._rate.take()
            self._handler.handle(call)

    def _served(self, error: BaseException | None, ended: bool) -> None:  # noqa: FBT001 - through call_soon
        self._thread = None
        if ended:
            self._end(error)
        else:
            self._sleep()
