"""Learning: the list that a hook's past connections would need.

An author turns on ``enforce`` without breaking the hook by letting it run in ``open`` or ``report`` for a while and
taking what it reached. Names are preferred to addresses: those of a service change. Where several names led to one
address (two services behind one CDN), nobody can say which was meant; all of them are proposed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_network

from tenterhook.egress.addresses import canonical
from tenterhook.egress.entries import Entry
from tenterhook.egress.names import NameProblem, host_name
from tenterhook.egress.rules import Rules


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A connection that was allowed in a past run."""

    address: str
    """Where it went."""
    port: int
    """To which port."""
    names: frozenset[str] = field(default_factory=frozenset)
    """The names that the run had asked for and that led there; runs keep the asked one, at least."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A line for a hook's list."""

    entry: Entry
    """What to add."""
    times: int
    """How many of the connections it would cover."""


def propose(connections: Iterable[Seen], rules: Rules | None = None) -> tuple[Proposal, ...]:
    """Return what a list needs for these connections beyond what the rules already name, most used first.

    Feed it with connections that were allowed: what the operator's policy refuses, no list opens.
    """
    known = rules or Rules()
    counted: Counter[Entry] = Counter()
    for seen in connections:
        address = canonical(seen.address)
        hosts = {host for name in seen.names if (host := _host(name)) is not None}
        if address is None or known.lists(address, seen.port, hosts):
            continue
        if hosts:
            counted.update(Entry(host=host, port=seen.port) for host in hosts)
        else:
            counted[Entry(network=ip_network(address), port=seen.port)] += 1
    return tuple(
        Proposal(entry=entry, times=times)
        for entry, times in sorted(counted.items(), key=lambda item: (-item[1], str(item[0])))
    )


def _host(name: str) -> str | None:
    try:
        return host_name(name)
    except NameProblem:
        return None
