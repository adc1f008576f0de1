"""The host's own knowledge of names, asked in the host's own way. One for all processes of a supervisor.

Addresses come from ``getaddrinfo`` in threads: only that knows the machine's hosts file, search domains, nsswitch and
whatever is plugged in there. What it cannot ask (SRV, TXT, MX, …) goes to the servers in the host's resolv.conf.

There is no cache across processes: how quickly a name is answered would tell one tenant what another one asks. The
host's own resolver may have one; that is beyond us.

``getaddrinfo`` cannot be interrupted. A name server that does not answer keeps a thread for the host's own timeout,
often 10 to 20 seconds; so each process may keep but few of them (``name_server.LOOKUPS_AT_ONCE``).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import enum
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset

from tenterhook.egress import Address, canonical

THREADS = 64
"""For all processes together; started as they are needed."""
QUESTION_SECONDS = 10.0
"""How long a question that is no address may take, with all servers and repetitions."""
MAX_ADDRESSES = 64
"""Addresses of one name that we look at."""


class Missing(enum.Enum):
    """Why there are no addresses."""

    NO_SUCH_NAME = "no such name"
    """The name does not exist."""
    NO_ADDRESS = "no address"
    """The name exists and has none."""
    NO_ANSWER = "no answer"
    """Nobody could say."""


Lookup = Callable[[str], Sequence[Address] | Missing]


def host_addresses(name: str) -> Sequence[Address] | Missing:
    """Return the addresses of a name as this machine knows them. Blocks."""
    try:
        # As bytes: Python would push a text through its IDNA codec, which refuses labels that DNS knows.
        found = socket.getaddrinfo(name.encode("ascii"), None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_NONAME:
            return Missing.NO_SUCH_NAME
        return Missing.NO_ADDRESS if error.errno == socket.EAI_NODATA else Missing.NO_ANSWER
    except OSError:
        return Missing.NO_ANSWER
    addresses = (canonical(str(sockaddr[0])) for *_, sockaddr in found)
    # An address with a zone cannot be told in a DNS answer.
    return tuple(dict.fromkeys(address for address in addresses if address is not None))


class Resolver:
    """Answers questions about names; used on one loop."""

    def __init__(
        self, *, lookup: Lookup = host_addresses, resolv_conf: Path = Path("/etc/resolv.conf"), port: int = 53
    ) -> None:
        """Ask as this machine asks; a test has a ``lookup``, servers and a port of its own."""
        self._lookup = lookup
        self._resolv_conf = resolv_conf
        self._port = port
        self._threads = concurrent.futures.ThreadPoolExecutor(THREADS, thread_name_prefix="lookup")
        self._others: dns.asyncresolver.Resolver | None = None
        self._read_at = -1

    def look_up(self, name: str) -> asyncio.Future[Sequence[Address] | Missing]:
        """Begin to look up all addresses of a name. That cannot be taken back: cancelling only stops listening."""
        return asyncio.get_running_loop().run_in_executor(self._threads, self._limited, name)

    def _limited(self, name: str) -> Sequence[Address] | Missing:
        found = self._lookup(name)
        return found if isinstance(found, Missing) else found[:MAX_ADDRESSES]

    async def ask(
        self, name: dns.name.Name, record_type: dns.rdatatype.RdataType
    ) -> tuple[dns.rcode.Rcode, Sequence[dns.rrset.RRset]]:
        """Ask for records of any other type; return the answer's code and records."""
        try:
            found = await self._servers().resolve(
                name, record_type, raise_on_no_answer=False, search=False, lifetime=QUESTION_SECONDS
            )
        except dns.resolver.NXDOMAIN:
            return dns.rcode.NXDOMAIN, ()
        except (dns.exception.DNSException, OSError):
            return dns.rcode.SERVFAIL, ()
        return found.response.rcode(), found.response.answer

    def _servers(self) -> dns.asyncresolver.Resolver:
        """Return the resolver, made anew when resolv.conf has changed."""
        changed_at = os.stat(self._resolv_conf).st_mtime_ns  # noqa: PTH116 - of a file that is in the page cache
        if self._others is None or changed_at != self._read_at:
            self._others = dns.asyncresolver.Resolver(filename=str(self._resolv_conf))
            self._others.port = self._port
            self._read_at = changed_at
        return self._others

    def close(self) -> None:
        """Begin nothing new. Threads that wait for a name server end when it answers, or does not."""
        self._threads.shutdown(wait=False, cancel_futures=True)
