"""Where the platform's own database is, for the egress policy to forbid it whatever is granted, and where we are.

The embedded database listens on a unix socket, which no hook reaches; only one that ``DATABASE_URL`` names counts. Its
name is forbidden as such, and the addresses that it has when the sandbox starts. One on this machine is forbidden on all
of this machine's addresses, which the policy is told for that.

Known limitation: addresses that the name or the machine is given later are not known until a restart. Remedy, where it
matters: no grant for the network that the database is in, as by default.
"""

from __future__ import annotations

import re
import socket
from ipaddress import IPv6Address
from pathlib import Path

from tenterhook.egress import Address, Forbidden, canonical
from tenterhook.settings import Settings

_LOCAL_ROUTE = re.compile(r"\|-- ([0-9.]+)\n\s*/32 host LOCAL")


def forbidden_of(settings: Settings) -> Forbidden:
    """Return what is forbidden. Asks the resolver, so not on an event loop."""
    endpoints = settings.database_endpoints
    return Forbidden.of(
        [*endpoints, *((each, port) for host, port in endpoints for each in _resolved(host, port))]
    )


def _resolved(host: str, port: int) -> set[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return set()  # no database is there either; its name stays forbidden
    return {str(each[4][0]).partition("%")[0] for each in found}


def machine_addresses(proc: Path = Path("/proc")) -> frozenset[Address]:
    """Return the canonical addresses of this machine's interfaces, as far as the kernel tells."""
    texts = []
    if (routes := proc / "net/fib_trie").is_file():
        texts += _LOCAL_ROUTE.findall(routes.read_text())
    if (interfaces := proc / "net/if_inet6").is_file():
        lines = interfaces.read_text().splitlines()
        texts += [str(IPv6Address(bytes.fromhex(line.split()[0]))) for line in lines]
    return frozenset(found for text in texts if (found := canonical(text)) is not None)
