"""Policy: may a hook's process connect there, and may it ask DNS for that name? Pure functions, no I/O.

A connection is allowed when it passes, in this order,

1. the **form**: an IP address without a zone, a port from 1 to 65535;
2. the **operator's policy**: a public address and any port but 25, or a grant that opens it (``ranges.Opening``);
3. the **platform**: not its own database, whatever was granted;
4. the **hook's list**, in the mode ``enforce``. In ``report`` what it lacks is marked, in ``open`` it is not read.

A grant widens what is permitted for all tenants; it puts nothing on a hook's list. The one exception is the tenant's
own URL (``own``), from which hooks fetch tokens: it needs neither grant nor list, in every mode.

**Names** are those that *our* DNS service was asked for by this very process and answered with this address. A CNAME
inside an answer does not count: whoever owns ``evil.example`` can write ``CNAME granted.internal`` into its answer.
A grant by name opens what the name resolves to, so the operator trusts whoever answers for it; it never opens
link-local and metadata addresses.

**This machine's own addresses** (``machine``) count as not public even where they are: what listens there may rely on
a firewall that a connection from inside never meets.

What is refused by 2 and also part of the platform is said to be refused by 2, so that trying ports one by one does not
find the database. Nothing here raises: whatever a process sends gets a judgement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any, Final

from tenterhook.egress.addresses import Address, canonical, has_zone, inner_addresses
from tenterhook.egress.entries import DEFAULT_LIST_PORT, GRANTS_SETTING, Entry, entry_text
from tenterhook.egress.forbidden import Forbidden
from tenterhook.egress.judgement import LIST_SETTING, Destination, Judgement, Reason
from tenterhook.egress.names import queried_name, reverse_address, without_service
from tenterhook.egress.ranges import Opening, opening_of, range_of
from tenterhook.egress.rules import Mode, Rules

_SMTP_PORT: Final = 25
_MAX_PORT: Final = 65535
_REVERSE_ZONES: Final = (".in-addr.arpa", ".ip6.arpa")
_ZONE_TRANSFERS: Final = frozenset({"AXFR", "IXFR"})


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What the processes of one confinement may reach."""

    grants: tuple[Entry, ...] = ()
    """The operator's, ``parse_grants``."""
    own: tuple[Entry, ...] = ()
    """The tenant's own URL, ``Entry.of_url``."""
    rules: Rules = field(default_factory=Rules)
    """The hook's."""
    forbidden: Forbidden = field(default_factory=Forbidden)
    """The platform's own database."""
    machine: frozenset[Address] = frozenset()
    """The canonical addresses of this machine's own interfaces, as far as they are known."""

    def judge(self, address: str | Address, port: int, names: Iterable[str] = frozenset()) -> Judgement:
        """Judge a connection to an address as read from a sockaddr, found under these names (see above)."""
        found = canonical(address)
        if found is None:
            return _unreadable(address)
        if not 1 <= port <= _MAX_PORT:
            return _refused(
                Reason.INVALID_PORT, f"{port} is no TCP port; a port is a number from 1 to {_MAX_PORT}."
            )
        known = {name for text in names if (name := queried_name(text)) is not None}
        permitted = self._permit(found, port, known)
        if (
            not permitted.allowed
            or permitted.reason is Reason.OWN_URL
            or self.rules.mode is Mode.OPEN
            or self.rules.lists(found, port, known)
        ):
            return permitted
        return self._not_listed(permitted, Reason.NOT_LISTED, entry_text(min(known, default=found), port))

    def _permit(self, address: Address, port: int, names: Iterable[str]) -> Judgement:
        """Judge as far as the hook's list plays no part."""
        opening = opening_of(address)
        leads_here = not self.machine.isdisjoint((address, *inner_addresses(address)))
        if leads_here and opening is Opening.PUBLIC:
            opening = Opening.GRANT
        if _opened(self.own, address, port, names, opening):
            reason = Reason.OWN_URL
        elif _opened(self.grants, address, port, names, opening):
            reason = Reason.GRANTED
        elif opening is not Opening.PUBLIC:
            return _closed(address, port, opening, leads_here=leads_here)
        elif port == _SMTP_PORT:
            return _smtp(address)
        else:
            reason = Reason.PUBLIC
        if self.forbidden.holds(address, port, self.machine):
            return _of_the_platform(entry_text(address, port))
        return Judgement(allowed=True, reason=reason, destination=Destination(address=address, port=port))

    def judge_name(self, name: str, record_type: str = "A") -> Judgement:
        """Judge a question to DNS. In the mode ``enforce`` only listed names are asked for: DNS is no way out."""
        asked = queried_name(name)
        if asked is None:
            return _refused(Reason.INVALID_NAME, "This is no name of a host or a service.")
        if record_type.upper() in _ZONE_TRANSFERS:
            return _refused(Reason.ZONE_TRANSFER, "Whole DNS zones are not asked for; ask for single names.")
        if f".{asked}".endswith(_REVERSE_ZONES):
            return self._judge_reverse(asked)
        return self._judge_host(without_service(asked))

    def _judge_host(self, host: str) -> Judgement:
        """Judge a question about a host. The own URL comes first: it may be served where the database is."""
        allowed = Judgement(allowed=True, reason=Reason.NAME_OK)
        if any(entry.matches_name(host) for entry in self.own):
            return allowed
        if host in self.forbidden.names:
            return _of_the_platform(host)
        if self.rules.mode is Mode.OPEN or self.rules.lists_name(host):
            return allowed
        return self._not_listed(allowed, Reason.NAME_NOT_LISTED, entry_text(host, DEFAULT_LIST_PORT))

    def _judge_reverse(self, asked: str) -> Judgement:
        """Judge a question for the name of an address: names of the operator's own hosts are nobody's business."""
        address = reverse_address(asked)
        found = None if address is None else canonical(address)
        if found is None:
            return _refused(Reason.REVERSE_NAME, f"{asked} is not the reverse name of one whole address.")
        visible = opening_of(found) is Opening.PUBLIC or any(
            _opened((entry,), found, entry.port or 1, (), opening_of(found))
            for entry in (*self.grants, *self.own)
        )
        if not visible or self.forbidden.holds_address(found):
            return _refused(
                Reason.REVERSE_NAME, f"{asked}: the names of addresses that are not public are not told."
            )
        allowed = Judgement(allowed=True, reason=Reason.NAME_OK)
        if self.rules.mode is Mode.OPEN or self.rules.lists_address(found):
            return allowed
        return self._not_listed(allowed, Reason.NAME_NOT_LISTED, entry_text(found, DEFAULT_LIST_PORT))

    def _not_listed(self, allowed: Judgement, reason: Reason, entry: str) -> Judgement:
        """Return the answer for what the policy permits and the hook's list lacks."""
        subject = entry.removesuffix(":443") if reason is Reason.NAME_NOT_LISTED else entry
        advice = f"Add {entry} to the hook's {LIST_SETTING}."
        if self.rules.mode is Mode.REPORT:
            return replace(
                allowed,
                reported=True,
                explanation=f"{subject} is not on the hook's list; the mode “enforce” would refuse it. {advice}",
                setting=LIST_SETTING,
                entry_to_add=entry,
            )
        return _refused(
            reason,
            f"{subject} is not on the hook's list, and its mode is “enforce”. {advice}",
            LIST_SETTING,
            entry,
        )

    @classmethod
    def from_json(cls, value: Any) -> Policy:
        """Read what ``to_json`` wrote, in the process that judges."""
        return cls(
            grants=tuple(Entry.parse(text) for text in value["grants"]),
            own=tuple(Entry.parse(text) for text in value["own"]),
            rules=Rules.from_json(value["rules"]),
            forbidden=Forbidden.from_json(value["forbidden"]),
            machine=frozenset(ip_address(text) for text in value["machine"]),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the policy for the process that judges."""
        return {
            "grants": [str(entry) for entry in self.grants],
            "own": [str(entry) for entry in self.own],
            "rules": self.rules.to_json(),
            "forbidden": self.forbidden.to_json(),
            "machine": sorted(map(str, self.machine)),
        }


def _opened(
    entries: Iterable[Entry], address: Address, port: int, names: Iterable[str], opening: Opening
) -> bool:
    """Say whether one of the entries opens an address of this kind."""
    if opening is Opening.NEVER:
        return False
    return any(
        entry.matches(address, port, names) and (opening is not Opening.EXACT or entry.is_one_address)
        for entry in entries
    )


def _refused(
    reason: Reason, explanation: str, setting: str | None = None, entry_to_add: str | None = None
) -> Judgement:
    return Judgement(
        allowed=False, reason=reason, explanation=explanation, setting=setting, entry_to_add=entry_to_add
    )


def _grantable(reason: Reason, explanation: str, address: Address, port: int) -> Judgement:
    """Refuse what the operator could grant: by its address, as a hook chooses the names it comes with."""
    entry = entry_text(address, port)
    return _refused(
        reason,
        f"{explanation} The operator can allow it with {GRANTS_SETTING}={entry}.",
        GRANTS_SETTING,
        entry,
    )


def _of_the_platform(what: str) -> Judgement:
    return _refused(
        Reason.PLATFORM, f"{what} is part of the platform that runs this hook; no setting opens it."
    )


def _unreadable(address: str | Address) -> Judgement:
    if has_zone(address):
        return _refused(
            Reason.ZONE, f"{str(address)[:80]} is an address of one network interface; hooks have none."
        )
    return _refused(Reason.INVALID_ADDRESS, f"{str(address)[:80]!r} is no IP address.")


def _closed(address: Address, port: int, opening: Opening, *, leads_here: bool) -> Judgement:
    """Refuse an address that is not public."""
    row = range_of(address)
    inner = sorted(
        map(range_of, inner_addresses(address)), key=lambda carried: carried.opening is Opening.PUBLIC
    )
    is_what = f"is {row.name} ({row.network}, {row.source})"
    if leads_here:
        is_what = "leads to this machine itself"
    elif inner and row.opening is Opening.PUBLIC:
        is_what = f"carries an IPv4 address that is {inner[0].name} ({inner[0].network})"
    elif inner:
        is_what += f", and the address inside is {inner[0].name} ({inner[0].network})"
    elif opening is Opening.EXACT:
        is_what += ", which may hand out the machine's own credentials"
    reason = Reason.EMBEDDED if inner else Reason.METADATA if opening is Opening.EXACT else Reason.NOT_PUBLIC
    said = f"{address} {is_what}; hooks reach public addresses only."
    if opening is Opening.NEVER:
        return _refused(reason, f"{said} No setting opens it.")
    return _grantable(reason, said, address, port)


def _smtp(address: Address) -> Judgement:
    return _grantable(
        Reason.SMTP_PORT,
        f"{entry_text(address, _SMTP_PORT)}: port 25 is for mail between servers; use your mail provider's port "
        "587 or 465, or its HTTP API.",
        address,
        _SMTP_PORT,
    )
