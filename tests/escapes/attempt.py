"""An attempt to leave the sandbox, and what counts as having left it.

An attempt is a row: the code that a hook would contain, which protections stop it, and how its success is recognised,
from what the hook found out or, where there is something to see, from outside. Every row is executed twice in every
mode: with everything on, where it must fail, and with its protections taken away, where it must succeed. The second
proves that the first says something.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import Any

from tenterhook.sandbox.jail.protections import Protection


class Mode(enum.StrEnum):
    """Under what circumstances the table is executed."""

    ROOT = "root"
    """The full jail, as root: every Node process has a user id of its own."""
    USER = "user"
    """The full jail, as an ordinary user: every Node process has a user namespace of its own."""
    GATE = "gate"
    """An ordinary user in a container that refuses namespaces: Docker's default profile is applied first."""


EVERYWHERE = frozenset(Mode)
NAMESPACES = frozenset({Mode.ROOT, Mode.USER})


class Need(enum.StrEnum):
    """What the machine must have for a row to say something; where it has not, the row is printed as not run."""

    ROOT = "root"
    """Even without our protections the kernel lets only root do it."""
    X32 = "x32"
    """A kernel with the x32 system calls, which few are built with."""
    IA32 = "ia32"
    """A kernel with the 32-bit entry."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Observed:
    """What one execution of an attempt showed."""

    told: bool
    """The hook says that it succeeded; it must have found something out that it could not know otherwise."""
    words: str
    """What the hook met: an error code, or how its process ended."""
    ended: bool
    """Its process was ended, or ended itself."""
    outside: dict[str, Any]
    """What the host saw: ``token``, ``connections``, ``datagrams``, ``process_alive``, ``other_alive``, ``changed``."""


def told(observed: Observed) -> bool:
    """The hook did what it was after; its word for it."""
    return observed.told


def learned(observed: Observed) -> bool:
    """The hook knows the token, which is nowhere but behind the sandbox."""
    return observed.outside["token"] in observed.words


def reached(observed: Observed) -> bool:
    """A connection, or a datagram, arrived at a listener that nobody was granted."""
    return bool(observed.outside["connections"] or observed.outside["datagrams"])


def killed(observed: Observed) -> bool:
    """A process of the host's ended."""
    return not observed.outside["process_alive"]


def changed(observed: Observed) -> bool:
    """A file, or the memory, of the host's is not what it was."""
    return bool(observed.outside["changed"])


def harmed(observed: Observed) -> bool:
    """Something outside is not what it was: a process, another tenant, a file, a listener."""
    alive = observed.outside["process_alive"] and observed.outside["other_alive"]
    return not alive or changed(observed) or reached(observed)


def survived(observed: Observed) -> bool:
    """It did what should have ended its process, which lived on and told of it."""
    return observed.told and not observed.ended


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attempt:
    """One row of the table."""

    name: str
    """What is attempted; the test's name and the page's row."""
    code: str
    """The body of ``async (host, told, …) => …``: it calls ``told(escaped, words)`` once. ``host`` is what ``Host``
    hands over, the rest of the names comes from ``native/index.js``."""
    removed: frozenset[Protection]
    """Everything that stops it. Where several protections do, each alone would."""
    escaped: Callable[[Observed], bool] = told
    held: frozenset[Mode] = EVERYWHERE
    """Where it must fail."""
    proven: frozenset[Mode] = EVERYWHERE
    """Where it must succeed without its protections; elsewhere something that is not ours stops it too (``why``)."""
    why: str = ""
    """Who else stops it in the modes that are not in ``proven``."""
    needs: frozenset[Need] = frozenset()
    other: str = ""
    """Code of another tenant, which runs before and stays; it tells what ``host.other`` shall be."""
    alone: bool = False
    """It ends or spoils its process, which no other attempt may share."""
    wall_seconds: float = 10.0
    memory_mib: int | None = None
    """A pool with another memory limit."""
