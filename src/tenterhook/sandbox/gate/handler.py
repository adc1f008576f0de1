"""One waiting connect(2), from its arrival to its answer.

    sockaddr, read once ─► parsed ─► its socket: TCP and fresh ─► name server? ─► judged ─► limits
        ─► our socket, connected ─► reported ─► put in ─► answered

**What is judged is what is connected.** The sockaddr is copied once; what other threads write there afterwards is seen
by nobody, for the process's own call is never let through. The socket is made and connected by us, in our network
namespace, and then put over the process's descriptor.

**A descriptor may change under us.** Between looking at descriptor 7 and putting the connection there, another thread
may have closed 7 and opened something else as 7, which is then replaced, as if by ``dup2``. Only files of the process
itself are concerned, and all it can get this way it could have got by ``dup2`` after a plain connect: a descriptor of
its own closed, and options and ``O_NONBLOCK`` taken from the wrong one. Nothing about *where* the connection goes
depends on the descriptor. A thread with a descriptor table of its own (``clone`` without ``CLONE_FILES``, which the
jail's filter refuses) would only mix up its own two tables, and hide its connections from ``max_connections``.

**A socket that was handed in** lives in our network namespace and can reach its peer and nobody else, as long as the
jail's filter refuses bind, listen, ``MSG_FASTOPEN`` and the other ways around connect(2). To connect it again comes
here again, is judged anew and given a new socket. ``AF_UNSPEC``, which would make it fresh, is refused.

**Events registered before connect** (epoll on the old socket) go with the old socket. Node and c-ares register after.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import functools
import os
import socket
import struct
import time
from collections.abc import Callable

from tenterhook.egress import Judgement, Policy
from tenterhook.sandbox.gate import attempts, caller
from tenterhook.sandbox.gate.attempts import Attempt, Attempts
from tenterhook.sandbox.gate.caller import Caller
from tenterhook.sandbox.gate.connections import Refusal, Report
from tenterhook.sandbox.gate.destinations import LONGEST, Destination, Unserved, parse
from tenterhook.sandbox.gate.name_server import NameServer
from tenterhook.sandbox.gate.notifications import Listener, Notification
from tenterhook.sandbox.gate.reporting import Reporter
from tenterhook.sandbox.gate.socket_options import carry_over
from tenterhook.sandbox.jail.syscalls import current_architecture

RECOUNT_SECONDS = 0.1
"""How long a process that has all its connections is believed to have them."""
JUDGEMENTS_KEPT = 256
"""Of one process."""
CONNECTIONS_SETTING = "TENTERHOOK_MAX_CONNECTIONS"
"""The operator's default of ``max_connections``; the settings themselves are not loaded in this process."""

_TIMEVAL = struct.Struct("@ll")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    """What the process wants, in our copy."""

    notification: Notification
    descriptor: int
    to: Destination
    main_thread: bool
    blocking: bool


class _Refused(Exception):  # noqa: N818 - an answer, not an error
    def __init__(self, refusal: Refusal, names: frozenset[str] = frozenset()) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal
        self.names = names


def _int(register: int) -> int:
    """Return a C ``int`` as the kernel takes it from a register: the upper half is whatever was there."""
    return ctypes.c_int(register & 0xFFFFFFFF).value


class ConnectHandler:
    """Answers the connects of one process. Used by the gate's thread alone, but for ``policy``."""

    def __init__(
        self,
        *,
        listener: Listener,
        process: Caller,
        policy: Policy,
        names: NameServer,
        report: Report,
        max_connections: int,
        attempts: Attempts,
    ) -> None:
        self.set_policy(policy)
        self.reporter = Reporter(report)
        self._listener = listener
        self._process = process
        self._names = names
        self._max_connections = max_connections
        self._attempts = attempts
        self._architecture = current_architecture()
        # Inodes of the sockets that were put in, with some that were closed since.
        self._put_in: set[int] = set()
        self._exhausted_until = 0.0

    def set_policy(self, policy: Policy) -> None:
        """Judge by this from now on. From any thread."""

        # Programs connect to the same few places again and again; a policy is pure, so it need not be asked again.
        @functools.lru_cache(JUDGEMENTS_KEPT)
        def judge(to: Destination, names: frozenset[str]) -> Judgement:
            return policy.judge(to.address, to.port, names)

        self._judge_destination = judge

    # --- the way of a call

    def handle(self, notification: Notification) -> None:
        """Answer a call, or see to it that it will be."""
        try:
            to = self._destination(notification)
            if to is not None:
                self._connect(notification, to)
        except OSError as error:
            # What connect(2) itself would say (EBADF, EFAULT, ENOTSOCK), or the process has ended meanwhile.
            self._answer(notification, error.errno or errno.EACCES)

    def _destination(self, notification: Notification) -> Destination | None:
        """Return our copy of where it goes; None when that already was the end."""
        kernel = self._architecture
        own = self._process.has_thread(notification.thread)
        if not own or (notification.audit_arch, notification.number) != (
            kernel.audit_arch,
            kernel.table["connect"],
        ):
            # A filter of ours asks about nothing else; somebody runs under it who should not.
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        length = _int(notification.arguments[2])
        if not 0 <= length <= LONGEST:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        raw = caller.read_memory(notification.thread, notification.arguments[1], length)
        if not self._listener.waits(notification):
            return None  # the thread's number may be another's by now, and so what was read
        found = parse(raw)
        if isinstance(found, Destination):
            return found
        self._refuse_unserved(notification, found)
        return None

    def _refuse_unserved(self, notification: Notification, found: Unserved) -> None:
        if found.explanation is not None:
            self.reporter.connection(
                Refusal(errno=found.errno, reason="address_family", explanation=found.explanation),
                main_thread=notification.thread == self._process.pid,
                address=found.what,
                port=0,
                names=frozenset(),
                errno=found.errno,
                established=False,
            )
        self._answer(notification, found.errno)

    def _connect(self, notification: Notification, to: Destination) -> None:
        descriptor = _int(notification.arguments[0])
        with contextlib.ExitStack() as opened:
            theirs = self._process.socket(descriptor)
            if theirs is not None:
                opened.enter_context(theirs)
            call = _Call(
                notification=notification,
                descriptor=descriptor,
                to=to,
                main_thread=notification.thread == self._process.pid,
                blocking=self._process.blocks(descriptor)
                if theirs is None
                else os.get_blocking(theirs.fileno()),
            )
            try:
                self._check_socket(theirs, to)
                if self._names.serves(to.address, to.port):
                    self._connect_to_name_server(call, theirs)
                else:
                    self._connect_to_network(call, theirs, self._judge(call))
            except _Refused as refused:
                number = refused.refusal.errno
                self._tell(call, refused.refusal, refused.names, number, established=False)
                self._answer(notification, number)

    def _check_socket(self, theirs: socket.socket | None, to: Destination) -> None:
        """See that the descriptor is a fresh TCP socket of the address's family; unseen ones are taken for that."""
        if theirs is None:
            return
        if not caller.is_tcp(theirs):
            # glibc connects UDP sockets only to learn which source address a route has: nothing to tell.
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if theirs.family != to.family:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        number = attempts.progress(theirs)
        if number:
            raise OSError(number, os.strerror(number))

    def _judge(self, call: _Call) -> tuple[Judgement, frozenset[str]]:
        names = self._names.told.of(call.to.address)
        judgement = self._judge_destination(call.to, names)
        if not judgement.allowed:
            raise _Refused(Refusal.of(judgement), names)
        if self._connections_are_exhausted():
            raise _Refused(
                Refusal(
                    errno=errno.EMFILE,
                    reason="too_many_connections",
                    explanation=f"This process has {self._max_connections} connections open, and may have no more; "
                    f"the hook's limit “connections” and {CONNECTIONS_SETTING} change that.",
                    setting=CONNECTIONS_SETTING,
                ),
                names,
            )
        if call.blocking and self._attempts.awaited >= attempts.MAX_AWAITED:
            raise _Refused(
                Refusal(
                    errno=errno.EMFILE,
                    reason="too_many_waiting",
                    explanation=f"{attempts.MAX_AWAITED} threads of this process already wait for a connection.",
                ),
                names,
            )
        return judgement, names

    def _connections_are_exhausted(self) -> bool:
        """Say whether the process has all connections that it may have; those it has closed are counted out first."""
        if len(self._put_in) + self._attempts.awaited < self._max_connections:
            return False
        # To count is dear: whoever has all and asks again and again is believed for a moment.
        now = time.monotonic()
        if now < self._exhausted_until:
            return True
        self._exhausted_until = now + RECOUNT_SECONDS
        with contextlib.suppress(PermissionError):
            self._put_in &= self._process.sockets()
        if len(self._put_in) + self._attempts.awaited >= self._max_connections:
            return True
        self._exhausted_until = 0.0
        return False

    # --- connecting

    def _connect_to_name_server(self, call: _Call, theirs: socket.socket | None) -> None:
        channel = self._names.open_channel()
        if channel is None:
            raise _Refused(
                Refusal(
                    errno=errno.EMFILE,
                    reason="too_many_questions",
                    explanation="This process has too many connections to its name server open.",
                )
            )
        with channel:
            _let_go(theirs)
            self._hand_in(call, channel)
            self._answer(call.notification, 0)

    def _connect_to_network(
        self, call: _Call, theirs: socket.socket | None, judged: tuple[Judgement, frozenset[str]]
    ) -> None:
        with contextlib.ExitStack() as unless_kept:
            ours = unless_kept.enter_context(socket.socket(call.to.family, _NEW_SOCKET))
            seconds = attempts.AWAIT_SECONDS
            if theirs is not None:
                carry_over(theirs, ours)
                seconds = min(seconds, _send_timeout(theirs) or seconds)
            _let_go(theirs)
            number = ours.connect_ex(_sockaddr(call.to.family, judged[0]))
            if number == errno.EINPROGRESS and call.blocking:
                self._await(call, ours, judged, seconds)
                unless_kept.pop_all()
                return
            sequence = self._finish(call, ours, judged, number)
            if number == errno.EINPROGRESS:
                if self._attempts.can_watch:
                    self._watch(ours, sequence)
                    unless_kept.pop_all()
                else:
                    self.reporter.outcome(sequence, established=None)

    def _finish(
        self, call: _Call, ours: socket.socket, judged: tuple[Judgement, frozenset[str]], number: int
    ) -> int:
        """Tell, put the socket in if it is worth it, and answer; return the number under which it was told."""
        established = {0: True, errno.EINPROGRESS: None}.get(number, False)
        judgement, names = judged
        sequence = self._tell(call, judgement, names, number, established=established)
        if established is not False:
            self._put_in.add(os.fstat(ours.fileno()).st_ino)
            self._hand_in(call, ours)
        self._answer(call.notification, number)
        return sequence

    def _await(
        self, call: _Call, ours: socket.socket, judged: tuple[Judgement, frozenset[str]], seconds: float
    ) -> None:
        """Answer when the connection is there: the process's thread stands still, and nobody else does."""

        def finish(number: int) -> None:
            try:
                self._finish(call, ours, judged, number)
            except OSError as error:  # its descriptor was closed meanwhile, or it does not wait any more
                self._answer(call.notification, error.errno or errno.ECONNABORTED)

        self._add_attempt(ours, finish, seconds, call.notification)

    def _watch(self, ours: socket.socket, sequence: int) -> None:
        """Find out whether anybody was there, without touching the connection."""

        def finish(number: int) -> None:
            self.reporter.outcome(sequence, established=attempts.outcome(ours, number))

        self._add_attempt(ours, finish, attempts.WATCH_SECONDS, None)

    def _add_attempt(
        self,
        ours: socket.socket,
        finish: Callable[[int], None],
        seconds: float,
        waiting: Notification | None,
    ) -> None:
        deadline = time.monotonic() + seconds
        self._attempts.add(Attempt(socket=ours, deadline=deadline, finish=finish, waiting=waiting))

    # --- telling, handing in, answering

    def _tell(
        self,
        call: _Call,
        judged: Judgement | Refusal,
        names: frozenset[str],
        number: int,
        *,
        established: bool | None,
    ) -> int:
        return self.reporter.connection(
            judged,
            main_thread=call.main_thread,
            address=str(call.to.address),
            port=call.to.port,
            names=names,
            errno=number,
            established=established,
        )

    def _hand_in(self, call: _Call, ours: socket.socket) -> None:
        """Put a socket over the process's, blocking or not as that was.

        It will be closed by execve, whatever that was: only /proc tells (an eighth of our time), and the jail's filter
        refuses execve.
        """
        os.set_blocking(ours.fileno(), call.blocking)
        self._listener.put_descriptor(call.notification, ours.fileno(), at=call.descriptor)

    def _answer(self, notification: Notification, number: int) -> None:
        with contextlib.suppress(FileNotFoundError):  # it does not wait any more
            self._listener.answer(notification, number)


_NEW_SOCKET = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC


def _sockaddr(family: int, judgement: Judgement) -> tuple[str, int]:
    """Return where to connect to: what was judged, in the form that the family of the socket takes."""
    destination = judgement.destination
    if destination is None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    mapped = family == socket.AF_INET6 and destination.address.version == 4
    return f"::ffff:{destination.address}" if mapped else str(destination.address), destination.port


def _let_go(theirs: socket.socket | None) -> None:
    """Close our descriptor of the process's socket: the kernel then forgets that socket when it is replaced."""
    if theirs is not None:
        theirs.close()


def _send_timeout(theirs: socket.socket) -> float:
    """Return ``SO_SNDTIMEO``, which bounds a blocking connect; 0 for none."""
    seconds, microseconds = _TIMEVAL.unpack(
        theirs.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.size)
    )
    return float(seconds) + float(microseconds) / 1_000_000
