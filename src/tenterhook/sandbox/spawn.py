"""Starts one Node process: the only place that knows what surrounds it. The jail goes here.

A ``Surroundings`` says what this host allows; it is found once, by trying:

| surroundings       | when                                | own uid | private mounts | what is readable                |
| ------------------ | ----------------------------------- | ------- | -------------- | ------------------------------- |
| OWN_UID_AND_MOUNTS | root that may mount                 | yes     | yes            | what any uid may read here      |
| OWN_UID            | root in a container without mounts  | yes     | no             | the same; clone must be readable|
| SAME_UID           | an ordinary user                    | no      | no             | what that user may read         |

The environment is built from nothing, descriptors other than 0 to 3 are closed, the command is a list and never
meets a shell, the process leads its own session and dies with the thread that started it (the event loop's).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tenterhook import uids
from tenterhook.errors import ConfigurationError, TenterhookError
from tenterhook.sandbox.node_binary import NodeBinary

RUNTIME_DIR = Path(__file__).with_name("runtime")
_LAUNCHER = Path(__file__).with_name("launcher.py")

# Covered by a private tmpfs in each process; the first that exists. None of them holds what Node needs to start.
_MOUNT_ROOTS = ("/mnt", "/srv", "/media", "/opt")
_SCRATCH_DIR = "/tmp"  # noqa: S108 - a private tmpfs of the process lies over it
_SCRATCH_BYTES = 16 * 1024 * 1024
# Idle, Node 24 counts 585 MiB of data against RLIMIT_DATA (reserved, hardly touched); the budget comes on top.
_NODE_RESERVED_BYTES = 585 * 1024 * 1024
_OPEN_FILES = 512
# Node has 7 threads; worker_threads and addons take more. The kernel counts per uid, and each process has its own.
_THREADS = 64


class SandboxUnavailableError(TenterhookError):
    """The sandbox cannot run scripts now."""

    code = "sandbox_unavailable"


class Surroundings(enum.StrEnum):
    """What this host lets us put around a process; the module's table says more."""

    OWN_UID_AND_MOUNTS = "own_uid_and_mounts"
    OWN_UID = "own_uid"
    SAME_UID = "same_uid"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """A process to start, fully described."""

    argv: tuple[str, ...]
    """Absolute path first, as seen inside."""
    environment: Mapping[str, str]
    binds: tuple[tuple[str, str], ...]
    """(path here, path inside), read-only; empty where there are no private mounts."""
    mount_root: str
    scratch_dir: str
    """Its working folder; private and empty."""
    scratch_bytes: int
    """Room there, where it is a private mount; else only the size of each file is limited."""
    uid: int | None
    """None: the host's own."""
    rlimits: Mapping[str, int]


@dataclasses.dataclass(kw_only=True)
class Child:
    """A started process, with what the host holds of it."""

    popen: subprocess.Popen[bytes]
    channel: socket.socket
    """Our end of the socket pair; non-blocking."""
    errors: int
    """Read end of its stderr; non-blocking."""
    scratch_dir: Path | None
    """To be removed when it has ended."""
    uid: int | None

    def close(self) -> None:
        """Let go of descriptors and the scratch folder; the process must have been waited for."""
        self.channel.close()
        with contextlib.suppress(OSError):
            os.close(self.errors)
        if self.scratch_dir is not None:
            shutil.rmtree(self.scratch_dir, ignore_errors=True)


@functools.cache
def surroundings() -> Surroundings:
    """Find out, by trying once in a process of its own, what this host allows."""
    if os.geteuid() != 0:
        return Surroundings.SAME_UID
    probe = Command(
        argv=(),
        environment={},
        binds=((str(RUNTIME_DIR), f"{_mount_root()}/runtime"),),
        mount_root=_mount_root(),
        scratch_dir=_SCRATCH_DIR,
        scratch_bytes=_SCRATCH_BYTES,
        uid=uids.pick_unused(),
        rlimits={},
    )
    done = subprocess.run(
        _launch_line(probe, channel=0), stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=30
    )
    return Surroundings.OWN_UID_AND_MOUNTS if done.returncode == 0 else Surroundings.OWN_UID


def check_readable(folders: tuple[Path, ...], here: Surroundings) -> None:
    """Make sure that processes will be able to read the folders; a missing one is made, for what comes into it later.

    Raises:
        ConfigurationError: a folder is closed to other users, and processes get a uid of their own.
    """
    for folder in folders:
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o755)  # whatever the umask
        if here is not Surroundings.SAME_UID and not folder.stat().st_mode & 0o001:
            raise ConfigurationError(
                f"Hooks run under user ids of their own and cannot enter {folder}. Open it with: chmod 755 {folder}"
            )


class PathMap:
    """Where the folders that a process may read are, seen from inside."""

    def __init__(self, readable_dirs: tuple[Path, ...], files: tuple[Path, ...], here: Surroundings) -> None:
        self._inside: dict[Path, str] = {}
        private = here is Surroundings.OWN_UID_AND_MOUNTS
        for number, folder in enumerate((RUNTIME_DIR, *readable_dirs)):
            self._inside[folder] = f"{_mount_root()}/{number}" if private else str(folder)
        for number, file in enumerate(files):
            self._inside[file] = f"{_mount_root()}/files/{number}-{file.name}" if private else str(file)
        self.binds = tuple((str(path), inside) for path, inside in self._inside.items()) if private else ()

    def inside(self, path: Path) -> str:
        """Translate a path.

        Raises:
            ValueError: it lies under none of the readable folders.
        """
        path = Path(os.path.normpath(path))  # no ".." may lead out
        for folder, target in self._inside.items():
            if path.is_relative_to(folder):
                rest = path.relative_to(folder).as_posix()
                return target if rest == "." else f"{target}/{rest}"
        raise ValueError(f"{path} is outside the folders that the sandbox may read")


def _mount_root() -> str:
    return next((folder for folder in _MOUNT_ROOTS if Path(folder).is_dir()), _MOUNT_ROOTS[0])


def _launch_line(command: Command, *, channel: int) -> list[str]:
    plan = {**dataclasses.asdict(command), "channel": channel, "parent": os.getpid()}
    return [sys.executable, "-I", "-S", str(_LAUNCHER), json.dumps(plan)]


def node_command(
    node: NodeBinary,
    paths: PathMap,
    here: Surroundings,
    *,
    memory_bytes: int,
    ca_file: Path | None,
    uid: int | None,
) -> Command:
    """Describe a Node process that runs our runtime."""
    private = here is Surroundings.OWN_UID_AND_MOUNTS
    scratch = _SCRATCH_DIR if private else tempfile.mkdtemp(prefix="tenterhook-hook-")
    if uid is not None and not private:
        os.chown(scratch, uid, uid)
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": scratch,
        "TMPDIR": scratch,
        "TZ": "UTC",
        "LANG": "C.UTF-8",
    }
    if ca_file is not None:
        environment["NODE_EXTRA_CA_CERTS"] = paths.inside(ca_file)
    # The JavaScript heap is most of the budget; buffers, code and stacks need the rest.
    heap_mib = max(32, memory_bytes * 3 // 4 // 1024 // 1024)
    argv = (
        paths.inside(node.path),
        f"--max-old-space-size={heap_mib}",
        "--no-warnings",  # they would go to stderr, which is ours
        f"{paths.inside(RUNTIME_DIR)}/main.cjs",
    )
    rlimits = {
        "CORE": 0,
        "NOFILE": _OPEN_FILES,
        "FSIZE": _SCRATCH_BYTES,
        "DATA": _NODE_RESERVED_BYTES + memory_bytes,
    }
    if uid is not None:
        rlimits["NPROC"] = (
            _THREADS  # counted per uid: under the host's own it would count the host's processes
        )
    return Command(
        argv=argv,
        environment=environment,
        binds=paths.binds,
        mount_root=_mount_root(),
        scratch_dir=scratch,
        scratch_bytes=_SCRATCH_BYTES,
        uid=uid,
        rlimits=rlimits,
    )


def spawn(command: Command) -> Child:
    """Start the process. Must be called on the event loop's thread: the process dies with the thread that started it."""
    asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    errors, errors_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        popen = subprocess.Popen(
            _launch_line(command, channel=theirs.fileno()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors_end,
            pass_fds=(theirs.fileno(),),
            close_fds=True,
            cwd="/",
            env={},
            start_new_session=True,
        )
    except OSError as error:
        ours.close()
        os.close(errors)
        raise SandboxUnavailableError(f"A process for hooks could not be started: {error}") from error
    finally:
        theirs.close()
        os.close(errors_end)
    ours.setblocking(False)
    own_scratch = None if command.scratch_dir == _SCRATCH_DIR else Path(command.scratch_dir)
    return Child(popen=popen, channel=ours, errors=errors, scratch_dir=own_scratch, uid=command.uid)
