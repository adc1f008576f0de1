"""Finding out what jails can stand on here, and describing each Node process.

    probe (by trying) ─► tier ─► mode ─► Ground, once per pool
    Confinement ─► Plan, once per process

Where namespaces can be had, Node, its libraries, our runtime and the module sets have fixed places inside
(``jail/tree.py``); where not, they are where they are on the host.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import stat
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tenterhook import egress
from tenterhook.errors import ConfigurationError
from tenterhook.sandbox.jail.plan import (
    TREE_CA_FILE,
    TREE_MODULES,
    TREE_NODE,
    TREE_RUNTIME,
    TREE_SCRATCH,
    Ground,
    Mode,
    Plan,
)
from tenterhook.sandbox.jail.protections import NONE_REMOVED, Protection
from tenterhook.sandbox.limits import Confinement
from tenterhook.sandbox.node_binary import NodeBinary
from tenterhook.sandbox.status import SandboxStatus
from tenterhook.settings import environment_name

RUNTIME_DIR = Path(__file__).with_name("runtime")
_PT_INTERP = 3
# What glibc loads by name when it looks up a host; built into libc itself since 2.34.
_NAME_SERVICE = ("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2")


def mode_of(status: SandboxStatus) -> Mode | None:
    """Return how jails are built on a tier; None: not at all."""
    if status.tier in {1, 2}:
        return Mode.NAMESPACES
    if status.tier == 3:
        return Mode.GATE
    return Mode.NONE if status.unsafe else None


def find_ground(
    node: NodeBinary,
    mode: Mode,
    *,
    module_dirs: Iterable[Path],
    ca_file: Path | None,
    cgroups: bool,
    removed: frozenset[Protection] = NONE_REMOVED,
) -> Ground:
    """Describe what all jails of a pool stand on. Blocks: Node's libraries are listed by running the linker.

    Raises:
        ConfigurationError: what hooks need cannot be read by them.
    """
    folders = tuple(folder.absolute() for folder in module_dirs)
    for folder in folders:
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o755)  # whatever the umask
    path = node.path.resolve()
    if ca_file is not None:
        check_ca_file(ca_file)
    own_uids = os.geteuid() == 0
    if own_uids and Protection.OWN_UID not in removed:
        _require_open(path, stat.S_IXOTH)
        if mode is not Mode.NAMESPACES or Protection.MOUNT_NAMESPACE in removed:
            # Nothing is bound or copied into a tree: a process under another uid must come to it by its path.
            _require_enterable(path)
            _require_enterable(RUNTIME_DIR / "main.cjs")
            if ca_file is not None:
                _require_open(ca_file, stat.S_IROTH)
                _require_enterable(ca_file)
    return Ground(
        mode=mode,
        own_uids=own_uids,
        node=str(path),
        libraries=libraries_of(path),
        runtime_dir=str(RUNTIME_DIR),
        module_dirs=tuple(str(folder) for folder in folders),
        ca_file=None if ca_file is None else str(ca_file.absolute()),
        cgroups=cgroups,
        removed=removed,
    )


def check_ca_file(file: Path) -> None:
    """Read the operator's certificates, as Node will.

    Raises:
        ConfigurationError: they cannot be read; Node would go without them and say nothing.
    """
    name = environment_name("extra_ca_file")
    try:
        file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{name}: {file} cannot be read: {error.strerror}.") from error


def _require_open(file: Path, permission: int) -> None:
    if not file.stat().st_mode & permission:
        mode = "755" if permission == stat.S_IXOTH else "644"
        raise ConfigurationError(
            f"Hooks run under user ids of their own and cannot use {file}. Open it with: chmod {mode} {file}"
        )


def _require_enterable(file: Path) -> None:
    """Refuse where another user cannot come to a file (a home that is closed to others), as the path goes and its links."""
    for parent in sorted({*file.absolute().parents, *file.resolve().parents}):
        if not parent.stat().st_mode & stat.S_IXOTH:
            raise ConfigurationError(
                f"Hooks run under user ids of their own, and without namespaces they cannot come to {file}, because "
                f"{parent} is closed to other users. Start Tenterhook as an ordinary user, keep the file elsewhere, or "
                f"let others pass with: chmod o+x {parent}"
            )


def _interpreter_of(binary: Path) -> str | None:
    """Return the dynamic linker that a 64-bit ELF file names (elf(5)); None when it needs none."""
    with binary.open("rb") as file:
        header = file.read(64)
        offset, size, count = struct.unpack_from("<Q14xHH", header, 32)
        file.seek(offset)
        table = file.read(size * count)
        for start in range(0, len(table), size):
            kind, where, length = struct.unpack_from("<I4xQ16xQ", table, start)
            if kind == _PT_INTERP:
                file.seek(where)
                return file.read(length).rstrip(b"\0").decode()
    return None


@functools.cache
def libraries_of(binary: Path) -> tuple[str, ...]:
    """Return the files that a program needs besides itself: its dynamic linker and what that says it would load."""
    interpreter = _interpreter_of(binary)
    if interpreter is None:
        return ()
    listed = subprocess.run(
        [interpreter, "--list", str(binary)], capture_output=True, text=True, check=True, timeout=30, env={}
    ).stdout
    found = {interpreter: None}
    for line in listed.splitlines():
        words = line.split()
        path = words[2] if len(words) > 2 and words[1] == "=>" else words[0] if words else ""
        if path.startswith("/"):
            found[path] = None
    for folder in {Path(path).parent for path in found if Path(path).name.startswith("libc.")}:
        for name in _NAME_SERVICE:
            if (folder / name).exists():
                found[str(folder / name)] = None
    return tuple(found)


class Layout:
    """Where things are, seen from inside."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._own_tree = ground.mode is Mode.NAMESPACES and ground.holds(Protection.MOUNT_NAMESPACE)

    @property
    def mounts_later(self) -> bool:
        """Whether module sets can be added to a process that runs already."""
        return self._own_tree

    def module_set(self, path: Path) -> str:
        """Return the module set that a folder belongs to, as a path of the host.

        Raises:
            ValueError: it is in none of the folders of module sets.
        """
        path = Path(os.path.normpath(path))  # no ".." may lead out
        for folder in self._ground.module_dirs:
            if path.is_relative_to(folder) and path != Path(folder):
                return str(Path(folder, path.relative_to(folder).parts[0]))
        raise ValueError(f"{path} is outside the folders that the sandbox may read")

    def inside(self, path: Path) -> str:
        """Translate a path in a module set.

        Raises:
            ValueError: it is in none of the folders of module sets.
        """
        owner = self.module_set(path)
        path = Path(os.path.normpath(path))
        if not self._own_tree:
            return str(path)
        return str(Path(TREE_MODULES, Path(owner).name, path.relative_to(owner)))

    def plan(self, confinement: Confinement, *, uid: int | None, modules: Iterable[str]) -> Plan:
        """Describe a process."""
        ground = self._ground
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": TREE_SCRATCH,
            "TMPDIR": TREE_SCRATCH,
            "TZ": "UTC",
            "LANG": "C.UTF-8",
        }
        if ground.ca_file is not None:
            environment["NODE_EXTRA_CA_CERTS"] = TREE_CA_FILE if self._own_tree else ground.ca_file
        if ground.mode is Mode.GATE:
            # The host's resolv.conf cannot be covered here; this asks for the one transport that the gate answers.
            environment["RES_OPTIONS"] = "use-vc timeout:10 attempts:2"
            # The host's own may not be read, and Node does not start when it is there and closed.
            environment["OPENSSL_CONF"] = "/dev/null"
        # The JavaScript heap is most of the budget; buffers, code and stacks need the rest.
        heap_mib = max(32, confinement.memory_bytes * 3 // 4 // 1024 // 1024)
        argv = (
            TREE_NODE if self._own_tree else ground.node,
            f"--max-old-space-size={heap_mib}",
            "--no-warnings",  # they would go to stderr, which is ours
            f"{TREE_RUNTIME if self._own_tree else ground.runtime_dir}/main.cjs",
        )
        return Plan(
            argv=argv,
            environment=environment,
            uid=uid,
            modules=tuple(modules),
            memory_bytes=confinement.memory_bytes,
            threads=confinement.threads,
            open_files=confinement.open_files,
            scratch_bytes=confinement.scratch_bytes,
            cpu_percent=confinement.cpu_percent,
        )


def shape_of(confinement: Confinement) -> Confinement:
    """Return what of a confinement is fixed when a process starts: the rest can be assigned to a warm one."""
    return dataclasses.replace(confinement, egress=egress.Rules(), grants=(), only_for=None)
