"""Forbidden: the platform's own database, which wins over every grant and every list.

An operator who grants ``127.0.0.1:*`` to try something out does not mean the server that holds everybody's passwords.
A database on this machine is forbidden at its port on all of loopback and on all of the machine's known addresses, since it often
listens on more than one of them.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any

from tenterhook.egress.addresses import Address, canonical, inner_addresses
from tenterhook.egress.names import queried_name

# Names that mean this machine, not a database in particular: grants for a local test receiver may need them.
_THIS_MACHINE = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})


@dataclass(frozen=True, kw_only=True)
class Forbidden:
    """What no hook reaches, whoever granted it."""

    addresses: frozenset[tuple[Address, int | None]] = frozenset()
    """Canonical addresses with their ports; None: every port."""
    names: frozenset[str] = frozenset()
    """Canonical names that are not looked up for hooks."""

    @classmethod
    def of(cls, addresses: Iterable[tuple[str, int | None]] = (), names: Iterable[str] = ()) -> Forbidden:
        """Build the value; what is no address is taken for a name, what is neither is left out.

        So a database's host can be given as it stands in its URL, beside the addresses that it resolves to.
        """
        pairs = {(canonical(address), address, port) for address, port in addresses}
        texts = {*names, *(text for found, text, _ in pairs if found is None)}
        known = {name for text in texts if (name := queried_name(text)) is not None}
        return cls(
            addresses=frozenset((found, port) for found, _, port in pairs if found is not None),
            names=frozenset(known - _THIS_MACHINE),
        )

    def holds(self, address: Address, port: int, machine: Container[Address] = ()) -> bool:
        """Say whether a canonical address and a port are forbidden, also as the inner address of another.

        ``machine`` are the addresses of this machine's interfaces: one of them is as good as any other.
        """
        return any(
            forbidden_port in {None, port}
            and (candidate == forbidden or (_is_here(candidate, machine) and _is_here(forbidden, machine)))
            for candidate in (address, *inner_addresses(address))
            for forbidden, forbidden_port in self.addresses
        )

    def holds_address(self, address: Address) -> bool:
        """Say whether an address is forbidden at some port."""
        return any(address == forbidden for forbidden, _ in self.addresses)

    @classmethod
    def from_json(cls, value: Any) -> Forbidden:
        """Read what ``to_json`` wrote."""
        return cls.of([(address, port) for address, port in value["addresses"]], value["names"])

    def to_json(self) -> dict[str, Any]:
        """Return the value for another process."""
        pairs = sorted(((str(address), port) for address, port in self.addresses), key=str)
        return {"addresses": [list(pair) for pair in pairs], "names": sorted(self.names)}


def _is_here(address: Address, machine: Container[Address]) -> bool:
    """Say whether a connection to an address ends on this machine; Linux takes 0.0.0.0 for loopback."""
    return address.is_loopback or address.is_unspecified or address in machine
