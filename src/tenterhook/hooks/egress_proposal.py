"""Egress proposals: the allow-list that a hook's past runs would need, and what of its present list they did not.

An author lets a hook run in the mode ``open`` or ``report``, takes the proposal, and turns ``enforce`` on. What the
operator's policy refused is not proposed, for no list would open it. Trials in the Runner are not recorded, so they
do not count.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Sequence

from tenterhook.egress import Entry, InvalidEgressRulesError, Reason, Rules, Seen, canonical, propose
from tenterhook.runs import PastConnection


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProposedEntry:
    """A line for the list, and why."""

    entry: str
    times: int
    """Connections that it would have covered."""
    last_at: dt.datetime
    """When the last attempt with such a connection started."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EgressProposal:
    """What the past runs say about the list."""

    proposed: tuple[ProposedEntry, ...]
    """Reached, and not on the list; most frequent first."""
    refused: tuple[ProposedEntry, ...]
    """Tried, permitted by the operator, and refused because the list lacks it."""
    unused: tuple[str, ...]
    """On the list, and not reached."""


def propose_list(connections: Sequence[PastConnection], rules: Rules) -> EgressProposal:
    """Draw up what a list needs. Connections to the tenant's own URL need no entry."""
    # A name that was only marked has its connection beside it, with the right port.
    reached = [
        each
        for each in connections
        if each.allowed and each.address is not None and each.reason != Reason.OWN_URL
    ]
    refused = [each for each in connections if each.reason in {Reason.NOT_LISTED, Reason.NAME_NOT_LISTED}]
    entries = _entries(reached, rules)
    return EgressProposal(
        proposed=entries,
        refused=tuple(
            each for each in _entries(refused, rules) if each.entry not in {one.entry for one in entries}
        ),
        unused=tuple(
            str(entry) for entry in rules.allow if not any(_covers(entry, each) for each in reached)
        ),
    )


def _entries(connections: Iterable[PastConnection], rules: Rules) -> tuple[ProposedEntry, ...]:
    connections = list(connections)
    found = {
        each.entry
        for each in propose(
            (
                Seen(address=each.address, port=each.port, names=frozenset(each.names))
                for each in connections
                if each.address is not None and each.port is not None
            ),
            rules,
        )
    }
    found |= _refused_names(connections, rules)
    proposed = []
    for entry in found:
        covered = [each for each in connections if _covers(entry, each)]
        proposed.append(
            ProposedEntry(
                entry=str(entry),
                times=sum(each.times for each in covered),
                last_at=max(each.last_at for each in covered),
            )
        )
    return tuple(sorted(proposed, key=lambda each: (-each.times, each.entry)))


def _refused_names(connections: Iterable[PastConnection], rules: Rules) -> set[Entry]:
    """Return entries for names that were not even looked up; their port is a guess, as in a list."""
    names = {name for each in connections if each.address is None for name in each.names}
    entries = {entry for name in names for entry in _readable(name)}
    return {entry for entry in entries if entry.host is not None and not rules.lists_name(entry.host)}


def _readable(name: str) -> tuple[Entry, ...]:
    try:
        return Rules.of("open", [name]).allow
    except InvalidEgressRulesError:
        return ()


def _covers(entry: Entry, connection: PastConnection) -> bool:
    if connection.address is None or connection.port is None:
        return any(entry.matches_name(name) for name in connection.names)
    address = canonical(connection.address)
    return address is not None and entry.matches(address, connection.port, connection.names)
