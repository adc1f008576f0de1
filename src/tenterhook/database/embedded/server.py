"""The embedded PostgreSQL server: started, taken over after a crash, stopped.

    absent ──initdb──► stopped ──start──► starting ──► accepting ──stop──► stopped
                          ▲                               │ kill -9 of the owner: it goes on; the next start takes it over
                          └── orphans end or are killed ◄─┘ kill -9 of the postmaster: the next start recovers

One Tenterhook process owns a data folder at a time, by a lock that dies with it. The server outlives an owner that was
killed, so that it never dies in the middle of a write because of us; whoever starts next finds it by a second lock,
which its processes hold, and takes it over if it still answers and has the version of our programs. Otherwise it is
stopped, and started anew.

Who can connect: only the server's uid and root can enter the socket's folder, and they need a password as well. There
is no TCP port. The product's role owns its database and is no superuser. Durations are in seconds.

Known limitation: the log is set aside at a start when it has grown over 10 MiB, not while the server runs. It holds
starts, stops and refused connections only. Should it ever matter, PostgreSQL's logging collector is the remedy.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import asyncpg
from pydantic import SecretStr

from tenterhook.database.embedded import cluster, locks, processes
from tenterhook.database.embedded import layout as layouts
from tenterhook.database.embedded.binaries import postgres_version
from tenterhook.database.embedded.configuration import PORT, as_arguments, protections
from tenterhook.database.embedded.errors import (
    DataFolderInUseError,
    DataFolderUnusableError,
    EmbeddedServerError,
    ServerDidNotStartError,
    ServerDidNotStopError,
)
from tenterhook.database.embedded.layout import OWNER, SUPERUSER, Layout
from tenterhook.database.embedded.programs import Program, run

_START_LIMIT_SECONDS = 300.0
"""Recovery after a crash replays at most ``max_wal_size``; slow disks take minutes for it."""
_ORPHAN_LIMIT_SECONDS = 5.0
"""Processes of a killed postmaster notice its end and leave; what has not by then is killed."""
_TAKE_OVER_LIMIT_SECONDS = 10.0
"""A running server that refuses us for so long, other than by starting or stopping, is restarted."""
_FAST_STOP_LIMIT_SECONDS, _IMMEDIATE_STOP_LIMIT_SECONDS, _KILL_LIMIT_SECONDS = 30.0, 10.0, 10.0
_POLL_SECONDS = 0.02
_CONNECT_LIMIT_SECONDS = 10.0
_NOT_NOW = (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError, asyncpg.TooManyConnectionsError)
"""There is no talking to the server at this moment; OSError covers a missing socket and a time-out."""
_MAX_LOG_BYTES = 10 * 1024 * 1024
_LOG_LINES_SHOWN = 15
_LOW_DISK_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class EmbeddedServer:
    """A running server that this process owns."""

    url: SecretStr
    """For the product: the role that owns the database ``tenterhook``."""
    maintenance_url: SecretStr
    """For backups and tests: the superuser."""
    pid: int
    """The postmaster's process id."""
    data_dir: Path
    """Absolute."""
    owner_lock: int = field(repr=False)
    """The descriptor that holds the ownership of the data folder."""


async def start(data_dir: Path) -> EmbeddedServer:
    """Return the server of this data folder: made if missing, taken over if running, recovered if it crashed.

    Raises:
        DataFolderInUseError: when another process owns the folder.
        DataFolderUnusableError: when the folder cannot be written to, or holds another PostgreSQL's data.
        IsolationRefusedError: as root, where namespaces are refused.
        ServerDidNotStartError: with the last lines of the server's log.
    """
    layout = layouts.prepare(data_dir)
    try:
        uid = layouts.server_uid(layout)
        owner_lock = _own(layout)
        try:
            pid = await _running_server(layout, uid)
        except BaseException:
            os.close(owner_lock)
            raise
    except OSError as error:
        raise DataFolderUnusableError(
            f"The data folder {layout.data_dir} cannot be used: {error.filename or 'a file in it'}: {error.strerror}."
        ) from error
    passwords = layouts.read_passwords(layout)
    return EmbeddedServer(
        url=_url(layout, OWNER, passwords[OWNER], cluster.DATABASE),
        maintenance_url=_url(layout, SUPERUSER, passwords[SUPERUSER], "postgres"),
        pid=pid,
        data_dir=layout.data_dir,
        owner_lock=owner_lock,
    )


async def wait_until_ended(server: EmbeddedServer) -> None:
    """Return when the server's postmaster has ended, for whatever reason; ``stop``, then ``start``, bring it back."""
    ended = asyncio.Event()
    try:
        handle = os.pidfd_open(server.pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    loop.add_reader(handle, ended.set)
    try:
        if processes.is_server(server.pid, Layout(data_dir=server.data_dir).cluster_dir):
            await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


async def stop(server: EmbeddedServer) -> None:
    """Stop the server and give the data folder back; open connections are cut.

    Raises:
        ServerDidNotStopError: when processes of the server are left; the data is safe all the same.
    """
    layout = Layout(data_dir=server.data_dir)
    try:
        await _shut_down(layout)
        layouts.remove_socket_dir(layout)
    finally:
        os.close(server.owner_lock)


def exists(data_dir: Path) -> bool:
    """Tell whether the folder holds a server's data already; nothing is made or started."""
    return Layout(data_dir=data_dir.resolve()).cluster_dir.is_dir()


def url_of_running(data_dir: Path) -> SecretStr | None:
    """Return the product's URL of a server that another process owns; None when none runs.

    For commands that work beside ``serve``. Nothing is started, and nobody's ownership is touched.
    """
    layout = Layout(data_dir=data_dir.resolve())
    if not layout.cluster_dir.is_dir() or processes.postmaster(layout.cluster_dir) is None:
        return None
    return _url(layout, OWNER, layouts.read_passwords(layout)[OWNER], cluster.DATABASE)


def _own(layout: Layout) -> int:
    descriptor = locks.try_lock(layout.owner_lock)
    if descriptor is None:
        holder = locks.read_holder(layout.owner_lock)
        raise DataFolderInUseError(
            f"The data folder {layout.data_dir} is in use by the process {holder}. Stop that process first, or choose "
            "another folder with --data.",
            data_dir=str(layout.data_dir),
            pid=holder,
        )
    locks.write_holder(descriptor)
    return descriptor


def _url(layout: Layout, role: str, password: str, database: str) -> SecretStr:
    host = quote(os.fsencode(layout.socket_dir()), safe="/")
    return SecretStr(f"postgresql://{role}:{password}@/{database}?host={host}")


async def _running_server(layout: Layout, uid: int | None) -> int:
    """Return the postmaster's process id, once the server accepts connections and has our database."""
    if (found := await _take_over(layout)) is not None:
        return found
    alive_lock = locks.try_lock(layout.alive_lock)
    if alive_lock is None:
        raise DataFolderInUseError(
            f"{layout.cluster_dir} was taken by another server at this moment; try again."
        )
    try:
        try:
            await _launch(layout, uid, alive_lock)
        finally:
            os.close(alive_lock)  # the server has inherited it
        return await _wait_until_accepting(layout)
    except ServerDidNotStartError:
        raise  # it has ended, or takes its time to recover and may go on: the next start takes it over
    except BaseException:
        await _shut_down(layout)  # cancelled, or of no use: nobody is going to own it
        raise


async def _take_over(layout: Layout) -> int | None:
    """Return the process id of a server that runs already and can be used; None when none runs any more."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    while locks.is_locked(layout.alive_lock):
        waited = loop.time() - begin
        pid = processes.postmaster(layout.cluster_dir)
        if pid is not None:
            passwords = layouts.read_passwords(layout)
            try:
                version = await _prepare_database(layout, passwords)
            except asyncpg.OperatorInterventionError:
                pass  # it is starting, recovering or stopping: that ends by itself
            except _NOT_NOW:
                if waited > _TAKE_OVER_LIMIT_SECONDS:
                    await _shut_down(layout)
            else:
                if version == await postgres_version():
                    return pid
                await _shut_down(layout)  # the programs have been updated since it was started
        elif waited > _ORPHAN_LIMIT_SECONDS:
            _kill_all(layout)
        if waited > _START_LIMIT_SECONDS:
            raise _did_not_start(
                layout,
                f"is neither usable nor gone after {_START_LIMIT_SECONDS:.0f} seconds (fuser {layout.alive_lock} names "
                "its processes)",
            )
        await asyncio.sleep(_POLL_SECONDS)
    return None


async def _wait_until_accepting(layout: Layout) -> int:
    passwords = layouts.read_passwords(layout)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _START_LIMIT_SECONDS
    while True:
        if not locks.is_locked(layout.alive_lock):
            raise _did_not_start(layout, "ended again")
        pid = processes.postmaster(layout.cluster_dir)
        if pid is not None:
            try:
                await _prepare_database(layout, passwords)
            except (asyncpg.OperatorInterventionError, *_NOT_NOW) as error:
                if loop.time() > deadline:
                    what = f"does not accept connections after {_START_LIMIT_SECONDS:.0f} seconds"
                    raise _did_not_start(layout, what) from error
            else:
                return pid
        elif loop.time() > deadline:
            raise _did_not_start(layout, f"has not begun after {_START_LIMIT_SECONDS:.0f} seconds")
        await asyncio.sleep(_POLL_SECONDS)


async def _launch(layout: Layout, uid: int | None, alive_lock: int) -> None:
    if not cluster.exists(layout):
        await cluster.create(layout, uid, alive_lock)
    layouts.read_passwords(layout)  # without them a started server would be of no use
    _remove_stale_pid_file(layout)
    socket_dir = layouts.make_socket_dir(layout, uid)
    inside = layouts.inside(uid, cluster=layout.cluster_dir, socket=socket_dir)
    if layout.log_file.exists() and layout.log_file.stat().st_size > _MAX_LOG_BYTES:
        layout.log_file.rename(layout.log_file.with_name("postgres.log.1"))
    await run(
        Program(
            name="postgres",
            arguments=("-D", inside.cluster, *as_arguments(protections(inside.socket))),
            uid=uid,
            cluster=layout.cluster_dir,
            socket=socket_dir,
            alive_lock=alive_lock,
            detach=True,
        ),
        layout.log_file,
    )


def _remove_stale_pid_file(layout: Layout) -> None:
    """PostgreSQL refuses to start while ``postmaster.pid`` names a living process, be it a stranger's.

    Where it names a dead one the file is left alone, because PostgreSQL looks in it for shared memory still in use.
    """
    pid = processes.noted_postmaster(layout.cluster_dir)
    if pid is None or not processes.exists(pid):
        return
    if left := processes.all_of(layout.cluster_dir):
        raise DataFolderInUseError(
            f"{layout.cluster_dir} is in use by a PostgreSQL server that Tenterhook did not start (process {left[0]}). Stop "
            "it first.",
            data_dir=str(layout.data_dir),
            pid=str(left[0]),
        )
    (layout.cluster_dir / "postmaster.pid").unlink(missing_ok=True)


async def _prepare_database(layout: Layout, passwords: dict[str, str]) -> str:
    """Return the server's version, the product's role and database being there.

    Raises:
        OSError, asyncpg.InterfaceError, asyncpg.PostgresError: one of ``_NOT_NOW`` when there is no talking to it now.
        DataFolderUnusableError: when it does not know our passwords.
        EmbeddedServerError: when it answers, but cannot do what is needed.
    """
    try:
        connection = await asyncpg.connect(
            host=str(layout.socket_dir()),
            port=PORT,
            user=SUPERUSER,
            password=passwords[SUPERUSER],
            database="postgres",
            timeout=_CONNECT_LIMIT_SECONDS,
        )
        try:
            await cluster.ensure_database(connection, passwords[OWNER])
            version: str = await connection.fetchval("SHOW server_version")
            return version.split(maxsplit=1)[0]
        finally:
            await connection.close()
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise DataFolderUnusableError(
            f"The passwords in {layout.passwords_file} are not those of {layout.cluster_dir}. Restore both from the same "
            "backup of the data folder."
        ) from error
    except (asyncpg.OperatorInterventionError, *_NOT_NOW):
        raise
    except asyncpg.PostgresError as error:
        raise EmbeddedServerError(
            f"The embedded PostgreSQL server in {layout.data_dir} runs, but its database cannot be prepared: {error}"
        ) from error


def _did_not_start(layout: Layout, what: str) -> ServerDidNotStartError:
    lines: list[str] = []
    with contextlib.suppress(FileNotFoundError):
        lines = layout.log_file.read_text(errors="replace").splitlines()[-_LOG_LINES_SHOWN:]
    free = shutil.disk_usage(layout.data_dir).free
    hint = (
        f"\nThe disk of {layout.data_dir} has only {free >> 20} MiB free; make room."
        if free < _LOW_DISK_BYTES
        else ""
    )
    said = "\n  ".join(lines) or "(nothing)"
    return ServerDidNotStartError(
        f"The embedded PostgreSQL server in {layout.data_dir} {what}. Its log, {layout.log_file}, ends with:\n  {said}{hint}"
    )


async def _shut_down(layout: Layout) -> None:
    """End the server: fast (connections cut, checkpoint), then at once (recovery at the next start), then by force."""
    for number, seconds in (
        (signal.SIGINT, _FAST_STOP_LIMIT_SECONDS),
        (signal.SIGQUIT, _IMMEDIATE_STOP_LIMIT_SECONDS),
        (signal.SIGKILL, _KILL_LIMIT_SECONDS),
    ):
        if await _end_by(layout, number, seconds):
            return
    raise ServerDidNotStopError(
        f"Processes of the embedded PostgreSQL server in {layout.data_dir} do not end: "
        f"{', '.join(map(str, processes.all_of(layout.cluster_dir))) or 'unknown'}. Is its disk out of reach?"
    )


async def _end_by(layout: Layout, number: signal.Signals, seconds: float) -> bool:
    """Send the signal once there is somebody to take it; tell whether no process of the server is left in time."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    told = False
    while locks.is_locked(layout.alive_lock):
        waited = loop.time() - begin
        if number is signal.SIGKILL:
            _kill_all(layout)
        elif not told:
            pid = processes.postmaster(layout.cluster_dir)  # none yet, when it has only just been started
            told = pid is not None and processes.send_signal(pid, layout.cluster_dir, number)
        if waited > (seconds if told or number is signal.SIGKILL else _ORPHAN_LIMIT_SECONDS):
            return False
        await asyncio.sleep(_POLL_SECONDS)
    return True


def _kill_all(layout: Layout) -> None:
    for pid in processes.all_of(layout.cluster_dir):
        processes.send_signal(pid, layout.cluster_dir, signal.SIGKILL)
