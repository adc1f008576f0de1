"""What the gate tells: each connection that a process asked for, and the names that it was not told."""

from __future__ import annotations

import dataclasses
import errno
from typing import Protocol

from tenterhook.egress import Judgement


@dataclasses.dataclass(frozen=True, kw_only=True)
class Connection:
    """One connect(2) of the process, judged."""

    sequence: int
    """Number within the process, from 1, in the order of judging."""
    main_thread: bool
    """Whether Node's main thread called; workers and native code's threads are others."""
    address: str
    """The numeric address as the process gave it, or the name of an address family that is not served."""
    port: int
    """0 where there is none."""
    names: tuple[str, ...]
    """Names for which the process was told this address, in alphabetical order."""
    allowed: bool
    """Whether the connection was begun."""
    reported: bool
    """Allowed, but a stricter mode would have refused it."""
    reason: str
    """Why, as a word for programs: a ``tenterhook.egress.Reason``, or one of the gate's own (``Refusal``)."""
    explanation: str
    """Why, as a sentence for the author of the hook; empty if it is plainly allowed."""
    setting: str | None
    """What would allow it, where anything would."""
    entry_to_add: str | None
    """What to write there."""
    errno: int
    """What connect(2) returns: 0, ``EINPROGRESS`` (the outcome follows), or why not."""
    established: bool | None
    """Whether the other side has taken the connection, so that bytes can have left; None: not known (yet)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RefusedName:
    """A question to the DNS that was refused, or whose answer was kept back."""

    name: str
    """The name asked for."""
    record_type: str
    """``A``, ``AAAA``, ``SRV``, …"""
    addresses: tuple[str, ...] = ()
    """Addresses that were kept back: for the operator's log, never for the process, nor for its run."""
    reason: str
    """Why, as a word for programs."""
    explanation: str
    """Why, as a sentence for the author of the hook."""
    setting: str | None
    """What would allow it, where anything would."""
    entry_to_add: str | None
    """What to write there."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Why a connection is not begun."""

    errno: int
    """What connect(2) fails with."""
    reason: str
    """The policy's, or ``address_family``, ``too_many_connections``, ``too_many_waiting``, ``too_many_questions``."""
    explanation: str
    setting: str | None = None
    entry_to_add: str | None = None

    @classmethod
    def of(cls, judgement: Judgement) -> Refusal:
        """Return what a process is told: whether its own list refuses (``EPERM``) or the policy (``EACCES``)."""
        return cls(
            errno=errno.EPERM if judgement.not_on_hooks_list else errno.EACCES,
            reason=judgement.reason.value,
            explanation=judgement.explanation,
            setting=judgement.setting,
            entry_to_add=judgement.entry_to_add,
        )


class Report(Protocol):
    """Who wants to know.

    Called from the gate's threads and from the loop: it must be quick, must not raise, and must cope with threads.
    What it hands on before it returns is handed on before the process knows the answer.
    """

    def connection(self, connection: Connection) -> None:
        """Hear of a connection that is about to be answered; in the gate's thread."""

    def outcome(self, sequence: int, *, established: bool | None) -> None:
        """Hear what became of one whose errno was ``EINPROGRESS``; in the gate's thread.

        None where nobody waited for the end. Why it failed is not told: reading a socket's error takes it away from
        the process, which would then believe that it is connected.
        """

    def refused_name(self, refused: RefusedName) -> None:
        """Hear of a name; on the loop."""

    def unreported(self, refused: int) -> None:
        """Hear that so many more were refused, which a flood kept from being told singly; on either."""
