"""Which names a process was told which addresses for. The policy judges a connection by them.

Only names that the process asked *us* for count, with the addresses of our final answer. They are kept longer than
the answer lives: programs keep addresses as they like. What is forgotten is asked again, or refused: safe both ways.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from tenterhook.egress import Address, canonical

KEPT_SECONDS = 3600.0
"""How long a name counts for an address after it was last told."""
MAX_ADDRESSES = 2048
"""Addresses kept per process; the one told longest ago goes first."""
MAX_NAMES = 32
"""Names kept per address: one machine may serve many hosts."""


class ToldNames:
    """Addresses with their names; written on the loop, read in the gate's thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._by_address: OrderedDict[Address, OrderedDict[str, float]] = OrderedDict()

    def tell(self, name: str, addresses: Iterable[Address]) -> None:
        """Remember that a name was answered with these addresses, in canonical form."""
        until = self._clock() + KEPT_SECONDS
        with self._lock:
            for address in addresses:
                names = self._by_address.setdefault(address, OrderedDict())
                self._by_address.move_to_end(address)
                names[name] = until
                names.move_to_end(name)
                if len(names) > MAX_NAMES:
                    names.popitem(last=False)
            while len(self._by_address) > MAX_ADDRESSES:
                self._by_address.popitem(last=False)

    def of(self, address: Address) -> frozenset[str]:
        """Return the names that count for an address, in whatever form that is."""
        found = canonical(address)
        if found is None:
            return frozenset()
        now = self._clock()
        with self._lock:
            names = self._by_address.get(found)
            return frozenset(name for name, until in names.items() if until > now) if names else frozenset()
