"""The connect gate in small: a child connects, its address is read from its memory, and a socket is handed in."""

from __future__ import annotations

import array
import os
import select
import signal
import socket
import struct
from collections.abc import Callable
from typing import NoReturn

from tenterhook import uids
from tenterhook.sandbox.gate.caller import read_memory
from tenterhook.sandbox.gate.notifications import Listener
from tenterhook.sandbox.jail import filter as seccomp
from tenterhook.sandbox.jail import libc, namespaces
from tenterhook.sandbox.jail.syscalls import current_architecture
from tenterhook.sandbox.jail.trying_apart import enter_zygotes_namespaces, user_flag

_ADDRESS = struct.pack("=HHI8x", socket.AF_INET, socket.htons(9), 0x0100007F)
"""sockaddr_in of 127.0.0.1, port 9; nobody connects to it."""


def become_somebody() -> None:
    """Take a uid that nobody has, as the processes of root's hooks do."""
    os.setgroups([])
    uid, _last = uids.usable_range()
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    # As after execve of a readable program.
    libc.prctl(libc.PR_SET_DUMPABLE, 1)


def exchange(become: Callable[[], None], flags: int) -> str:
    """Let a child connect, read the address from its memory, and put another socket in the place of its own."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if flags:
        return _exchange_across(ours, theirs, become, flags)
    pid = os.fork()
    if pid == 0:
        _ask(theirs, become)
    theirs.close()
    return _serve(ours)


def _exchange_across(
    ours: socket.socket, theirs: socket.socket, become: Callable[[], None], flags: int
) -> str:
    """Do the same from outside of the zygote's user namespace, in which the child's lies."""
    if os.fork() == 0:
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
        flags |= user_flag()
        try:
            settle = enter_zygotes_namespaces()
            if namespaces.clone(flags) == 0:
                settle()
                _ask(theirs, become)
            os.wait()
        except OSError as error:
            theirs.send(str(error).encode())
        os._exit(0)
    theirs.close()
    return _serve(ours)


def _ask(theirs: socket.socket, become: Callable[[], None]) -> NoReturn:
    """In the child: connect under a listener, and say what came through the socket that was put in."""
    try:
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
        become()
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            listener = seccomp.install(seccomp.listener_filter(current_architecture()), listener=True)
            theirs.sendmsg(
                [b"listener"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))]
            )
            os.close(listener)
            client.connect(("127.0.0.1", 9))
            theirs.send(b"through" if client.recv(16) == b"handed in" else b"not the socket handed in")
    except BaseException as error:  # noqa: BLE001 - whatever it is, this copy of the program must end here
        theirs.send(str(error).encode())
    finally:
        os._exit(0)


def _serve(ours: socket.socket) -> str:
    """Answer the child's connect, and return what it says."""
    said, descriptors, _flags, _address = socket.recv_fds(ours, 512, 1)
    if not descriptors:
        raise OSError(said.decode(errors="replace") or "the child ended before it had a listener")
    listener = Listener(descriptors[0])
    waiting = select.poll()
    waiting.register(listener.fileno(), select.POLLIN)
    waiting.poll()
    notification = listener.receive()
    if notification is None:
        raise OSError("no notification")
    if read_memory(notification.thread, notification.arguments[1], len(_ADDRESS)) != _ADDRESS:
        raise OSError("the address read from the child's memory is another")
    inside, outside = socket.socketpair()
    outside.send(b"handed in")
    listener.put_descriptor(notification, inside.fileno(), at=notification.arguments[0])
    listener.answer(notification, 0)
    said = ours.recv(512)
    if said != b"through":
        raise OSError(said.decode(errors="replace") or "the child ended before it had connected")
    return "works; the child's memory can be read"
