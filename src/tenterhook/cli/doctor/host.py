"""What the doctor finds of the machine: data folder, key, disk, open files, clock."""

from __future__ import annotations

import ctypes
import datetime as dt
import os
import resource
import shutil
import stat
from pathlib import Path

from tenterhook.application import OPEN_FILES
from tenterhook.cli.doctor.finding import Finding, ok, problem, warning
from tenterhook.database import DEFAULT_KEY_FILE_NAME, embedded, load_or_create_key
from tenterhook.errors import ConfigurationError
from tenterhook.sandbox.node_releases import release_list
from tenterhook.settings import Settings

LITTLE_DISK_BYTES, HARDLY_ANY_DISK_BYTES = 2 * 1024**3, 256 * 1024**2
"""A module set may take 250 MiB, and PostgreSQL ends when it can write no log of its changes (16 MiB each)."""
FEW_OPEN_FILES, TOO_FEW_OPEN_FILES = 4096, 512
"""A worker holds about six for each Node process and one for each connection of a hook, an API one for each client."""

_TIME_ERROR = 5
_TIMEX_BYTES = 512  # the kernel's struct is 208 bytes; more than it will ever write


def data_folder_finding(settings: Settings) -> Finding:
    """Return whether the data folder is ours alone, and can be written."""
    folder = settings.data_dir.absolute()
    try:
        found = folder.stat()
    except FileNotFoundError:
        return ok("data", "folder", f"{folder} is not there yet; `tenterhook init` makes it")
    except OSError as error:
        return problem("data", "folder", f"{folder} cannot be looked at: {error.strerror}")
    mode = stat.S_IMODE(found.st_mode)
    text = f"{folder}, mode {mode:04o}, of uid {found.st_uid}"
    if not stat.S_ISDIR(found.st_mode):
        return problem("data", "folder", f"{folder} is not a folder", remedy="Name another with --data.")
    if not os.access(folder, os.W_OK | os.X_OK):
        return problem(
            "data",
            "folder",
            f"{text}: this user (uid {os.getuid()}) may not write there",
            remedy="Run the command as the user who runs the server.",
        )
    if mode & 0o022:
        return problem("data", "folder", f"{text}: others may write there", remedy=f"chmod 700 {folder}")
    if settings.database_url is None and not embedded.exists(folder):
        text += "; no database in it yet, `tenterhook init` makes one"
    return ok("data", "folder", text)


def key_finding(settings: Settings) -> Finding:
    """Return whether the key that secrets are sealed with is there and for our eyes only."""
    file = settings.secrets_key_file or settings.data_dir / DEFAULT_KEY_FILE_NAME
    is_ours_to_make = settings.secrets_key_file is None and not embedded.exists(settings.data_dir)
    if is_ours_to_make and not file.exists():
        return ok("data", "secrets key", f"{file} is not there yet; it is made with the database")
    try:
        load_or_create_key(file, create=False)
    except ConfigurationError as error:
        return problem(
            "data",
            "secrets key",
            error.message,
            lost="every stored secret and signing key",
            remedy="Bring the key of this database back from its backup; without it nobody can read them.",
        )
    return ok("data", "secrets key", f"{file} is there and readable by its owner alone")


def disk_finding(settings: Settings) -> Finding:
    """Return how much room there is for data."""
    folder = settings.data_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
        files_free = os.statvfs(folder).f_favail
    except OSError as error:
        return warning("machine", "disk", f"{folder} cannot be asked: {error.strerror}")
    return judged_disk(folder, free, files_free)


def judged_disk(folder: Path, free: int, files_free: int) -> Finding:
    """Judge the room that was found."""
    text = f"{free / 1024**3:.1f} GiB free in {folder}"
    lost = "sign-ups and runs, as soon as the database cannot write"
    if free < HARDLY_ANY_DISK_BYTES:
        return problem("machine", "disk", text, lost=lost, remedy="Make room before starting.")
    if free < LITTLE_DISK_BYTES:
        return warning("machine", "disk", text, lost=lost, remedy="Make room soon.")
    if 0 < files_free < 100_000:
        return warning("machine", "disk", f"{text}, but room for {files_free} files only", lost=lost)
    return ok("machine", "disk", text)


def open_files_finding() -> Finding:
    """Return how many files this process may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A server raises its own limit as far as it may, up to what it wants.
    return judged_open_files(max(soft, OPEN_FILES if hard < 0 else min(hard, OPEN_FILES)), hard)


def judged_open_files(soft: int, hard: int) -> Finding:
    """Judge the limits that were found; -1 is no limit."""
    text = "no limit" if soft == resource.RLIM_INFINITY else f"{soft}"
    if hard not in {soft, resource.RLIM_INFINITY}:
        text += f" (up to {hard})"
    remedy = (
        "Raise it where the server is started: LimitNOFILE= in its unit, --ulimit nofile= of its container."
    )
    lost = "connections of clients, and processes for hooks, beyond it"
    if 0 <= soft < TOO_FEW_OPEN_FILES:
        return problem("machine", "open files", text, lost=lost, remedy=remedy)
    if 0 <= soft < FEW_OPEN_FILES:
        return warning("machine", "open files", text, lost=lost, remedy=remedy)
    return ok("machine", "open files", text)


def clock_finding(now: dt.datetime) -> Finding:
    """Return whether the clock can be right, and whether the kernel says that something keeps it so."""
    return judged_clock(now, is_kept=_clock_is_kept())


def judged_clock(now: dt.datetime, *, is_kept: bool | None) -> Finding:
    """Judge the clock; ``is_kept`` is None where the kernel does not tell."""
    made_on = release_list().asked_on
    text = f"{now.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
    lost = "tokens that others accept, and right times in every record"
    if now.date() < made_on - dt.timedelta(days=1):
        return problem(
            "machine",
            "clock",
            f"{text} is before this release of Tenterhook was made",
            lost=lost,
            remedy="Set the clock.",
        )
    if is_kept is False:
        return warning(
            "machine",
            "clock",
            f"{text}; nothing keeps it right, says the kernel",
            lost=lost,
            remedy="Run a time service (chrony, systemd-timesyncd); in a container or a virtual machine its host's does it.",
        )
    return ok("machine", "clock", text + ("" if is_kept is None else "; kept right by a time service"))


def _clock_is_kept() -> bool | None:
    """Ask the kernel, as ``timedatectl`` does: adjtimex(2) with nothing to change needs no rights."""
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR
