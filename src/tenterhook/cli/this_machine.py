"""Whether a host name can only mean the machine it is used on."""

from __future__ import annotations

import ipaddress


def is_this_machine(host: str) -> bool:
    """Return True for ``localhost``, names below it, and loopback addresses."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
