"""Landlock: the kernel's own allow-list of files, TCP ports, abstract sockets and signals, for this process and its children.

In a tree of its own a process is confined twice; in gate mode this is what confines its files. Everything that the
running kernel can handle is handled, and only the named files are given back. What that is, is found by asking for each
right by itself and not by the version: RHEL 9 says version 6 without all of its rights.

Nothing is given back of the network: no TCP port can be bound or connected, for the supervisor connects. (Landlock's
TCP rules overlook MPTCP and SCTP; the filter refuses those sockets.) Where the kernel knows them, UDP and the reaching
of named AF_UNIX sockets are refused the same way.

Not covered by any version, so left to the filter and the tree: chdir, stat, access, chmod, chown, extended attributes,
times, flock, fcntl. Whether a file exists can be found out by its name.
"""

from __future__ import annotations

import ctypes
import dataclasses
import enum
import errno
import functools
import os
import stat
import struct
from collections.abc import Sequence

from tenterhook.sandbox.jail import libc
from tenterhook.sandbox.jail.syscalls import current_architecture

# linux/landlock.h
_ASK_VERSION = 1
_PATH_BENEATH = 1


class FileRight(enum.IntFlag):
    """``LANDLOCK_ACCESS_FS_*``."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    """Since ABI 2: rename and link between folders."""
    TRUNCATE = 1 << 14
    """Since ABI 3."""
    IOCTL_DEV = 1 << 15
    """Since ABI 5."""
    RESOLVE_UNIX = 1 << 16
    """Since ABI 9: connecting to a named AF_UNIX socket."""


class NetworkRight(enum.IntFlag):
    """``LANDLOCK_ACCESS_NET_*``: TCP since ABI 4."""

    BIND_TCP = 1 << 0
    CONNECT_TCP = 1 << 1
    BIND_UDP = 1 << 2
    CONNECT_SEND_UDP = 1 << 3


class Scope(enum.IntFlag):
    """``LANDLOCK_SCOPE_*``, since ABI 6: nothing outside of the domain is reached."""

    ABSTRACT_UNIX_SOCKET = 1 << 0
    SIGNAL = 1 << 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Handled:
    """What the running kernel can refuse. A right that it does not know stays as it was."""

    files: FileRight
    network: NetworkRight
    scopes: Scope

    def pack(self) -> bytes:
        """Return a ``struct landlock_ruleset_attr``, as short as it can be: old kernels refuse longer ones."""
        words = [int(self.files), int(self.network), int(self.scopes)]
        while len(words) > 1 and words[-1] == 0:
            words.pop()
        return struct.pack(f"={len(words)}Q", *words)


_NOTHING = Handled(files=FileRight(0), network=NetworkRight(0), scopes=Scope(0))

_OF_A_FILE = (
    FileRight.EXECUTE
    | FileRight.WRITE_FILE
    | FileRight.READ_FILE
    | FileRight.TRUNCATE
    | FileRight.IOCTL_DEV
    | FileRight.RESOLVE_UNIX
)
"""Rights that mean something for what is not a folder; the kernel refuses a rule with others (EINVAL)."""

_READ = FileRight.READ_FILE | FileRight.READ_DIR
_WRITE = (
    _READ
    | FileRight.WRITE_FILE
    | FileRight.TRUNCATE
    | FileRight.REMOVE_DIR
    | FileRight.REMOVE_FILE
    | FileRight.MAKE_DIR
    | FileRight.MAKE_REG
    | FileRight.MAKE_SYM
    | FileRight.REFER
)
"""No devices, pipes or sockets are made, and no device is controlled."""


def abi_version() -> int:
    """Return the version of Landlock that the kernel says it has; 0 without Landlock."""
    number = current_architecture().table["landlock_create_ruleset"]
    return max(0, libc.syscall(number, None, 0, _ASK_VERSION))


@functools.cache
def handled() -> Handled:
    """Return all that the running kernel can refuse, each right tried by itself."""
    files, network, scopes = FileRight(0), NetworkRight(0), Scope(0)
    for right in FileRight:
        if _is_known(dataclasses.replace(_NOTHING, files=right)):
            files |= right
    if files:
        for port_right in NetworkRight:
            if _is_known(Handled(files=files, network=port_right, scopes=Scope(0))):
                network |= port_right
        for scope in Scope:
            if _is_known(Handled(files=files, network=NetworkRight(0), scopes=scope)):
                scopes |= scope
    return Handled(files=files, network=network, scopes=scopes)


def restrict(
    *, executable: Sequence[str] = (), readable: Sequence[str] = (), writable: Sequence[str] = ()
) -> None:
    """Confine this thread for good to these files and folders, with all beneath; executable ones can also be read.

    A path that does not exist is an error: a process with less than it was to have would fail later, and less clearly.
    Links are followed.

    Raises:
        OSError: no Landlock (EOPNOTSUPP, ENOSYS), no no_new_privs (EPERM), a path is missing (ENOENT).
    """
    all_handled = handled()
    ruleset = _create(all_handled)
    try:
        for paths, rights in (
            (executable, _READ | FileRight.EXECUTE),
            (readable, _READ),
            (writable, _WRITE),
        ):
            for path in paths:
                _permit(ruleset, path, rights & all_handled.files)
        number = current_architecture().table["landlock_restrict_self"]
        libc.check(libc.syscall(number, ruleset, 0), "landlock_restrict_self")
    finally:
        os.close(ruleset)


def _permit(ruleset: int, path: str, rights: FileRight) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _OF_A_FILE
        rule = struct.pack("=Qi", int(rights), descriptor)
        number = current_architecture().table["landlock_add_rule"]
        libc.check(libc.syscall(number, ruleset, _PATH_BENEATH, rule, 0), f"landlock_add_rule {path}")
    finally:
        os.close(descriptor)


def _is_known(one: Handled) -> bool:
    try:
        os.close(_create(one))
    except OSError as error:
        # EINVAL: a right of a later version; E2BIG: a structure of a later version; the others: no Landlock at all.
        if error.errno in (errno.EINVAL, errno.E2BIG, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
            return False
        raise
    return True


def _create(what: Handled) -> int:
    attribute = what.pack()
    number = current_architecture().table["landlock_create_ruleset"]
    result = libc.syscall(number, ctypes.create_string_buffer(attribute, len(attribute)), len(attribute), 0)
    return libc.check(result, "landlock_create_ruleset")
