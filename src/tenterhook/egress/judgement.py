"""Judgement: what the policy says of one connection or one question to DNS, and why.

It is written for three readers. The gate needs ``allowed``, ``destination`` and ``not_on_hooks_list``; the run keeps
``reason``, which is stable; the hook's author reads ``explanation``, which names the setting that would change the
answer. A ``Destination`` exists only for what was allowed: what connects should take one, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tenterhook.egress.addresses import Address

LIST_SETTING: Final = "egress.allow"
"""The hook's own list, as its author knows it."""


class Reason(StrEnum):
    """Why a connection or a question was allowed or refused. Stable: runs keep it."""

    PUBLIC = "public"
    """Allowed: a public address."""
    GRANTED = "granted"
    """Allowed: the operator granted it."""
    OWN_URL = "own_url"
    """Allowed: the tenant's own URL."""
    NAME_OK = "name_ok"
    """Allowed: a name that may be asked for."""

    INVALID_ADDRESS = "invalid_address"
    """Refused: what was given is no IP address."""
    INVALID_PORT = "invalid_port"
    """Refused: no port, such as 0."""
    ZONE = "zone"
    """Refused: an address of one network interface only."""
    NOT_PUBLIC = "not_public"
    """Refused: an address that is not public."""
    METADATA = "metadata"
    """Refused: link-local, or a cloud's metadata service."""
    EMBEDDED = "embedded"
    """Refused: an IPv6 address with another address inside that is not public, or in a form given up."""
    SMTP_PORT = "smtp_port"
    """Refused: port 25."""
    PLATFORM = "platform"
    """Refused: part of this platform, which no setting opens."""
    NOT_LISTED = "not_listed"
    """Refused: permitted by the operator, but not on the hook's own list."""

    INVALID_NAME = "invalid_name"
    """Refused: no name of a host or a service."""
    ZONE_TRANSFER = "zone_transfer"
    """Refused: a question for a whole DNS zone."""
    REVERSE_NAME = "reverse_name"
    """Refused: the name of an address that is not public, or of a part of one."""
    NAME_NOT_LISTED = "name_not_listed"
    """Refused: a name that is not on the hook's own list."""


@dataclass(frozen=True, kw_only=True)
class Destination:
    """An address and a port that passed the policy; only ``Policy.judge`` makes one."""

    address: Address
    """In canonical form: IPv4 also where IPv4-mapped IPv6 was asked for."""
    port: int
    """1 to 65535."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The answer of the policy."""

    allowed: bool
    """Whether it may be done."""
    reason: Reason
    """Why."""
    explanation: str = ""
    """For the hook's author; empty if it is plainly allowed."""
    setting: str | None = None
    """Where it could be allowed: ``TENTERHOOK_EGRESS_ALLOW`` or ``egress.allow``; None: nowhere."""
    entry_to_add: str | None = None
    """What to write there."""
    reported: bool = False
    """Allowed, but the mode ``enforce`` would refuse it."""
    destination: Destination | None = None
    """Where to connect to; only for a connection that is allowed."""

    @property
    def not_on_hooks_list(self) -> bool:
        """Say whether the hook's own list refuses it, not the operator's policy."""
        return self.reason in {Reason.NOT_LISTED, Reason.NAME_NOT_LISTED}
