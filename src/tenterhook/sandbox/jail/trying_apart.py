"""Children of a try: in a process of their own, and in namespaces nested as the zygote's and its children's are."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from tenterhook.sandbox.jail import libc, namespaces, tree

PATIENCE_SECONDS = 15
"""For one try."""

ALL_NAMESPACES = (
    namespaces.CLONE_NEWNS
    | namespaces.CLONE_NEWPID
    | namespaces.CLONE_NEWNET
    | namespaces.CLONE_NEWIPC
    | namespaces.CLONE_NEWUTS
)


def outcome(body: Callable[[], str], start: Callable[[], int] = os.fork) -> tuple[bool, str]:
    """Run a body in a child; return whether it succeeded, and what it said."""
    reading, writing = os.pipe()
    try:
        pid = start()
    except OSError as error:
        os.close(reading)
        os.close(writing)
        return False, str(error)
    if pid == 0:
        _answer(body, writing)
    os.close(writing)
    said = b""
    while part := os.read(reading, 4096):
        said += part
    os.close(reading)
    _, status = os.waitpid(pid, 0)
    if not said:
        return False, f"the try ended with status {os.waitstatus_to_exitcode(status)}"
    return said[:1] == b"+", said[1:].decode(errors="replace")


def _answer(body: Callable[[], str], writing: int) -> NoReturn:
    try:
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.alarm(PATIENCE_SECONDS)
        os.write(writing, f"+{body()}".encode())
    except BaseException as error:  # noqa: BLE001 - whatever it is, this copy of the program must end here
        os.write(writing, f"-{error or type(error).__name__}".encode())
    finally:
        os._exit(0)


def nothing() -> None:
    """Do nothing more."""


def enter_zygotes_namespaces() -> Callable[[], None]:
    """Become what the zygote is, and return what its child does first."""
    if os.geteuid() == 0:
        libc.unshare(namespaces.CLONE_NEWNS)
        libc.mount("none", "/", None, libc.MS_REC | libc.MS_PRIVATE)
        return nothing
    namespaces.enter_own_user_and_mount_namespace()
    libc.mount("none", "/", None, libc.MS_REC | libc.MS_PRIVATE)
    return lambda: namespaces.map_ids(namespaces.INSIDE_UID, 0, 0)


def user_flag() -> int:
    """Return the flag of the nested user namespace; to be asked before the zygote's is entered, where all are root."""
    return 0 if os.geteuid() == 0 else namespaces.CLONE_NEWUSER


def alone(flags: int, check: Callable[[], object]) -> str:
    """Start a child in namespaces as the zygote does, and let it check what it sees."""
    flags |= user_flag()
    settle = enter_zygotes_namespaces()

    def body() -> str:
        settle()
        check()
        return "works"

    available, detail = outcome(body, lambda: namespaces.clone(flags))
    if not available:
        raise OSError(detail)
    return detail


def is_first() -> None:
    """Check that this process is the first of its pid namespace."""
    if os.getpid() != 1:
        raise OSError(f"the process is number {os.getpid()} and not the first")


def has_no_network() -> None:
    """Check that there is no network device but the loopback, which is down."""
    others = [name for _index, name in socket.if_nameindex() if name != "lo"]
    if others:
        raise OSError(f"there are network devices: {', '.join(others)}")


def change_root() -> str:
    """Make a tree of a tmpfs and a bound folder, where and as the zygote does, and let a child make it the only one."""
    flags = namespaces.CLONE_NEWNS | user_flag()
    base = tree.base()
    settle = enter_zygotes_namespaces()
    libc.mount("tmpfs", base, "tmpfs", libc.MS_NOSUID | libc.MS_NODEV, "size=1m,mode=755")
    bound = Path(base, "bound")
    bound.mkdir()
    libc.mount("/dev", str(bound), None, libc.MS_BIND | libc.MS_REC)

    def body() -> str:
        settle()
        libc.mount("none", "/", None, libc.MS_REC | libc.MS_SLAVE)
        libc.mount(base, base, None, libc.MS_BIND | libc.MS_REC)
        os.chdir(base)
        libc.pivot_root_here()
        seen = [each.name for each in Path("/").iterdir()]
        if seen != ["bound"]:
            raise OSError(f"the new root holds {seen}")
        return "works"

    available, detail = outcome(body, lambda: namespaces.clone(flags))
    if not available:
        raise OSError(detail)
    return detail
