"""Entries: one line of a list of what may be reached: ``api.example.com:443``, ``10.1.2.0/24:443``, ``[fd00::1]:*``.

The same form is read in three places, which differ in what a missing port means:

- an **operator's grant** (``TENTERHOOK_EGRESS_ALLOW``) opens private networks, so its port is written, or ``:*`` for
  any: nobody opens all ports of a host by forgetting one;
- a line of a **hook's list** defaults to 443: what hooks call is https, and the list only narrows;
- a **tenant's own URL** has the port of its scheme.

A name with ``*.`` before it means every name below that one, at any depth, and not that name itself. IPv6 stands in
brackets, a network's length inside or behind them. An IPv4-mapped address or network is read as the IPv4 that it is.
``str(entry)`` is the canonical text: equal entries have equal text, and it reads back as itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import ClassVar, Final
from urllib.parse import urlsplit

from tenterhook.egress.addresses import Address, Network
from tenterhook.egress.names import host_name
from tenterhook.errors import ConfigurationError, InvalidInputError

GRANTS_SETTING: Final = "TENTERHOOK_EGRESS_ALLOW"
DEFAULT_LIST_PORT: Final = 443

_SCHEME_PORTS: Final = {"http": 80, "https": 443}
_MAX_PORT: Final = 65535
# Longer than the longest name with brackets, length and port; what is longer is not even looked at.
_MAX_TEXT_LENGTH: Final = 300
_BRACKETED: Final = re.compile(
    r"\[(?P<inside>[^\[\]]*)\](?P<length>/[0-9]{1,3})?(?::(?P<port>.*))?", re.DOTALL
)
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_MAPPED: Final = IPv6Network("::ffff:0:0/96")


class InvalidEntryError(InvalidInputError):
    """This is no host and port that a hook could be allowed to reach."""

    code: ClassVar[str] = "invalid_egress_entry"


class InvalidGrantError(ConfigurationError):
    """The egress grants of the configuration cannot be read."""

    code: ClassVar[str] = "invalid_egress_grant"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A host, or a network, and a port of it."""

    host: str | None = None
    """A canonical host name, perhaps with ``*.`` before it; or None."""
    network: Network | None = None
    """Where there is no host name: the addresses."""
    port: int | None
    """None: any port."""

    def __post_init__(self) -> None:
        """Refuse what is neither the one nor the other."""
        if (self.host is None) is (self.network is None):
            raise ValueError("an entry has either a host or a network")

    @classmethod
    def parse(cls, text: str, *, default_port: int | None = None) -> Entry:
        """Read an entry; without a ``default_port`` the port must be there.

        Raises:
            InvalidEntryError: it is none; the message says what to write.
        """
        try:
            return _parse(text.strip(), default_port)
        except ValueError as problem:
            raise InvalidEntryError(f"{_shown(text)}: {problem}.", entry=_shortened(text)) from problem

    @classmethod
    def of_url(cls, url: str) -> Entry:
        """Return the host and port of a URL with http or https.

        Raises:
            InvalidEntryError: it has no host, or another scheme.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or _SCHEME_PORTS[parts.scheme]
            host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        except (KeyError, ValueError) as problem:
            raise InvalidEntryError(f"{_shown(url)}: a URL with http or https is expected.") from problem
        return cls.parse(f"{host or ''}:{port}")

    def matches(self, address: Address, port: int, names: Iterable[str]) -> bool:
        """Say whether this entry is about a connection to a canonical address, which was found under these names."""
        if self.port is not None and self.port != port:
            return False
        return self.holds(address) if self.host is None else any(self.matches_name(name) for name in names)

    def holds(self, address: Address) -> bool:
        """Say whether a canonical address is among this entry's, whatever the port."""
        return self.network is not None and address in self.network

    def matches_name(self, name: str) -> bool:
        """Say whether this entry is about a canonical name, whatever the port."""
        if self.host is None:
            return False
        return name.endswith(self.host[1:]) if self.host.startswith("*.") else name == self.host

    @property
    def is_one_address(self) -> bool:
        """Say whether exactly one address is meant."""
        return self.network is not None and self.network.prefixlen == self.network.max_prefixlen

    def __str__(self) -> str:
        port = "*" if self.port is None else str(self.port)
        if self.network is None:
            return f"{self.host}:{port}"
        text = str(self.network.network_address if self.is_one_address else self.network)
        return f"[{text}]:{port}" if self.network.version == 6 else f"{text}:{port}"


def parse_grants(text: str) -> tuple[Entry, ...]:
    """Read ``TENTERHOOK_EGRESS_ALLOW``: entries with commas or white space between; each has a port, or ``:*``.

    Raises:
        InvalidGrantError: one of them cannot be read.
    """
    try:
        return distinct(Entry.parse(item) for item in re.split(r"[,\s]+", text) if item)
    except InvalidEntryError as error:
        raise InvalidGrantError(f"{GRANTS_SETTING}: {error.message}", **error.details) from error


def distinct(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return entries in the order of their text, each once."""
    return tuple(sorted(set(entries), key=str))


def entry_text(host: str | Address, port: int) -> str:
    """Return the text of an entry for a canonical name or address."""
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def _parse(text: str, default_port: int | None) -> Entry:
    if not text:
        raise ValueError("a host and a port are expected, such as api.example.com:443")
    if len(text) > _MAX_TEXT_LENGTH:
        raise ValueError("this is too long for a host and a port")
    if "://" in text:
        raise ValueError("write the host and the port alone, without scheme and path")
    if found := _BRACKETED.fullmatch(text):
        network = _ipv6_network(found["inside"] + (found["length"] or ""))
        return Entry(network=network, port=_port(found["port"], default_port, text))
    if text.count(":") > 1 or text.startswith("["):
        raise ValueError("write an IPv6 address in brackets, such as [2001:db8::1]:443")
    host, colon, port_text = text.partition(":")
    port = _port(port_text if colon else None, default_port, text)
    if re.fullmatch(r"[0-9][0-9.]*(?:/.*)?", host):
        return Entry(network=_ipv4_network(host), port=port)
    if re.search(r"[/@?#\\]", host):
        raise ValueError("write the host and the port alone, without path or user")
    if host == "*":
        raise ValueError("a list of everything is no list; in the mode “open” none is needed")
    below = "*." if host.startswith("*.") else ""
    if "*" in host.removeprefix(below):
        raise ValueError("the star stands only for whole labels at the front, as in *.example.com")
    return Entry(host=below + host_name(host.removeprefix(below)), port=port)


def _port(text: str | None, default: int | None, whole: str) -> int | None:
    if text is None:
        if default is None:
            raise ValueError(f"the port is missing; write {whole}:443, or {whole}:* for any port")
        return default
    if text == "*":
        return None
    if not _PORT.fullmatch(text) or int(text) > _MAX_PORT:
        raise ValueError(f"a port is a number from 1 to {_MAX_PORT}, or * for any")
    return int(text)


def _ipv4_network(text: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except ValueError:
        pass
    try:
        wider = IPv4Network(text, strict=False)
    except ValueError as problem:
        raise ValueError(
            "an IPv4 address is four decimal numbers without leading zeros, such as 10.1.2.3; "
            "a network has its length behind it, such as 10.1.2.0/24"
        ) from problem
    raise ValueError(f"this address lies inside its network; write {wider} for the network")


def _ipv6_network(text: str) -> Network:
    if "%" in text:
        raise ValueError("an address with a zone (%…) is of one interface only and cannot be listed")
    try:
        network = ip_network(text)
    except ValueError:
        network = None
    if isinstance(network, IPv6Network):
        if network.subnet_of(_MAPPED):
            mapped = int(network.network_address) & 0xFFFF_FFFF
            return IPv4Network((mapped, network.prefixlen - 96))
        return network
    try:
        wider = IPv6Network(text, strict=False)
    except ValueError as problem:
        raise ValueError(
            "in brackets stands an IPv6 address or network, such as [2001:db8::1]:443 or [fd00::/8]:443"
        ) from problem
    raise ValueError(f"this address lies inside its network; write [{wider}] for the network")


def _shortened(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}…"


def _shown(text: str) -> str:
    """Return a text fit for a message: what cannot be printed is escaped, a long one cut."""
    return repr(_shortened(text))
