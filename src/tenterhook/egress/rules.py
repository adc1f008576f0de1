"""Rules: what one hook's author wants its code to reach. They only ever narrow what the operator permits.

    open      all that the operator's policy permits; the list plays no part
    report    the same, and every connection that ``enforce`` would refuse is marked in its run
    enforce   only what the list names, and of that only what the policy permits

Two hooks may share a process only if what they may reach is the same: equal rules are equal values, which stand in what
a process is known by (``Confinement``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final

from tenterhook.egress.addresses import Address
from tenterhook.egress.entries import DEFAULT_LIST_PORT, Entry, InvalidEntryError, distinct
from tenterhook.errors import InvalidInputError

MAX_ENTRIES: Final = 100
"""Each new connection is compared with every entry, and people read the list."""


class Mode(StrEnum):
    """How a hook's own list is used."""

    OPEN = "open"
    """The list plays no part."""
    REPORT = "report"
    """Nothing is refused because of the list; what would be is marked in the run."""
    ENFORCE = "enforce"
    """What is not on the list is refused: connections, and names in DNS."""


class InvalidEgressRulesError(InvalidInputError):
    """A hook's egress rules cannot be used."""

    code: ClassVar[str] = "invalid_egress_rules"


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The mode and the list of one hook. ``Rules.of`` and ``from_json`` read them; equal rules are equal values."""

    mode: Mode = Mode.OPEN
    """How the list is used."""
    allow: tuple[Entry, ...] = ()
    """The list, in the order of its text, each entry once."""

    def __post_init__(self) -> None:
        """Put the list in order, so that equal lists are equal values."""
        object.__setattr__(self, "allow", distinct(self.allow))

    @classmethod
    def of(cls, mode: str, allow: Iterable[str] = ()) -> Rules:
        """Read a mode and the lines of a list; a line without a port means 443.

        Raises:
            InvalidEgressRulesError: the mode is unknown, a line cannot be read, or there are too many.
        """
        try:
            known = Mode(mode)
        except ValueError as problem:
            raise InvalidEgressRulesError(
                f"egress.mode is one of {', '.join(Mode)}.", path="egress.mode"
            ) from problem
        try:
            entries = distinct(Entry.parse(line, default_port=DEFAULT_LIST_PORT) for line in allow)
        except InvalidEntryError as error:
            raise InvalidEgressRulesError(f"egress.allow: {error.message}", path="egress.allow") from error
        if len(entries) > MAX_ENTRIES:
            raise InvalidEgressRulesError(
                f"egress.allow has {len(entries)} entries; at most {MAX_ENTRIES} are possible. "
                "One line *.example.com covers all names below example.com.",
                path="egress.allow",
            )
        return cls(mode=known, allow=entries)

    @classmethod
    def from_json(cls, value: Any) -> Rules:
        """Read ``{"mode": "enforce", "allow": ["api.example.com:443"]}``; both parts may be missing.

        Raises:
            InvalidEgressRulesError: the value has another form.
        """
        if not isinstance(value, Mapping) or not set(value) <= {"mode", "allow"}:
            raise InvalidEgressRulesError("egress is an object with “mode” and “allow”.", path="egress")
        mode, allow = value.get("mode", Mode.OPEN), value.get("allow", [])
        if not isinstance(allow, list) or not all(isinstance(line, str) for line in allow):
            raise InvalidEgressRulesError(
                "egress.allow is a list of texts such as “api.example.com:443”.", path="egress.allow"
            )
        if len(allow) > 2 * MAX_ENTRIES:  # not worth reading, however many of them are equal
            raise InvalidEgressRulesError(
                f"egress.allow has more than {MAX_ENTRIES} entries.", path="egress.allow"
            )
        return cls.of(mode if isinstance(mode, str) else "", allow)

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` reads, in canonical form."""
        return {"mode": self.mode.value, "allow": [str(entry) for entry in self.allow]}

    def lists(self, address: Address, port: int, names: Iterable[str]) -> bool:
        """Say whether the list names a connection."""
        return any(entry.matches(address, port, names) for entry in self.allow)

    def lists_name(self, name: str) -> bool:
        """Say whether the list names a host, at whatever port."""
        return any(entry.matches_name(name) for entry in self.allow)

    def lists_address(self, address: Address) -> bool:
        """Say whether the list names an address as such, at whatever port."""
        return any(entry.holds(address) for entry in self.allow)
