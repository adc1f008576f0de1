"""The name server of one process: what it connects to as ``127.0.0.1:53`` is us.

    process ── TCP over loopback ──► question ─► may the name be asked? ─► resolver ─► may the addresses be told? ─► answer

glibc's ``getaddrinfo`` and c-ares (``dns.resolve*``) work unpatched, as do addons; ``use-vc`` in the jail's
resolv.conf (or in ``RES_OPTIONS``) makes them use TCP. Every answer goes through here, so the name that a hook
asked for, the address it got and the one it connects to are the same: no rebinding.

**Refused names** do not exist, for addresses (glibc would take ``REFUSED`` for a passing trouble, and ask again), and
are ``REFUSED`` for the other types. **Addresses that the process could not connect to on any port are not told**: to
tell them would let a hook read the operator's internal DNS, name by name. If none is left, the name does not exist. Both
are reported with the reason and what would allow it; the process learns nothing from it, and of addresses that were kept
back its run says nothing either: they are for the operator's log (``sandbox.connections``).

Not held back: what records of other types say of internal names (SRV, TXT, CNAME). An operator whose internal zone is
a secret uses the mode ``enforce``, where only listed names are asked for.

Everything from the process is hostile: lengths, numbers at once and times are bounded by the constants below. A
connection that breaks them is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import struct
import threading
from collections.abc import Collection, Sequence

import dns.message
import dns.rcode

from tenterhook.egress import Address, Judgement, Policy
from tenterhook.sandbox.gate import dns_messages
from tenterhook.sandbox.gate.connections import RefusedName, Report
from tenterhook.sandbox.gate.dns_messages import Unanswerable
from tenterhook.sandbox.gate.loopback import tcp_pair
from tenterhook.sandbox.gate.reporting import Reporter
from tenterhook.sandbox.gate.resolver import Missing, Resolver
from tenterhook.sandbox.gate.token_bucket import TokenBucket
from tenterhook.sandbox.gate.told_names import ToldNames

MAX_CONNECTIONS = 32
"""Of one process to its name server. glibc needs one per thread that asks (libuv has four), c-ares a few."""
QUESTIONS_AT_ONCE = 16
"""Of one connection; the next is read when one is answered."""
LOOKUPS_AT_ONCE = 8
"""Questions of one process that are with the resolver; others wait in line."""
QUESTION_BURST, QUESTIONS_PER_SECOND = 200, 200.0
"""Of one process; others are read later."""
ANSWER_SECONDS = 15.0
"""How long an answer may take; then it is ``SERVFAIL``."""
IDLE_SECONDS = 60.0
"""How long a connection may stay open without a question."""
TRANSFER_SECONDS = 10.0
"""How long a question may take to arrive once it has begun, and an answer to be taken."""

_LENGTH = struct.Struct(">H")
_ADDRESS_TYPES = {"A": 4, "AAAA": 6}
_FAR_PORT = 443
"""Stands for the ports of an address that no entry names."""


class NameServer:
    """Answers the questions of one process; on the loop on which it was made."""

    def __init__(
        self,
        *,
        resolver: Resolver,
        policy: Policy,
        report: Report,
        servers: Collection[tuple[Address, int]],
    ) -> None:
        """Serve the process that has ``servers`` in its resolv.conf: whoever connects there, gets us."""
        self.policy = policy
        """May be replaced at any time."""
        self.told = ToldNames()
        """What was answered."""
        self._resolver = resolver
        self._reporter = Reporter(report)
        self._servers = frozenset(servers)
        self._loop = asyncio.get_running_loop()
        self._lookups = asyncio.Semaphore(LOOKUPS_AT_ONCE)
        self._under_way: dict[str, asyncio.Future[Sequence[Address] | Missing]] = {}
        self._rate = TokenBucket(burst=QUESTION_BURST, per_second=QUESTIONS_PER_SECOND)
        self._lock = threading.Lock()
        self._open = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    # --- for the gate's thread

    def serves(self, address: Address, port: int) -> bool:
        """Say whether this is where the process believes its name server to be."""
        return (address, port) in self._servers

    def open_channel(self) -> socket.socket | None:
        """Return a connection to us, for the process; None when it has too many.

        Raises:
            OSError: it could not be made.
        """
        with self._lock:
            if self._closed or self._open >= MAX_CONNECTIONS:
                return None
            self._open += 1
        try:
            inside, ours = tcp_pair()
        except OSError:
            self._left()
            raise
        ours.setblocking(False)
        self._loop.call_soon_threadsafe(self._begin, ours)
        return inside

    def _left(self) -> None:
        with self._lock:
            self._open -= 1

    # --- on the loop

    def _begin(self, ours: socket.socket) -> None:
        if self._closed:
            ours.close()
            self._left()
            return
        task = self._loop.create_task(self._serve(ours))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, ours: socket.socket) -> None:
        """Answer the questions of one connection until it is closed or misbehaves."""
        answers: set[asyncio.Task[None]] = set()
        try:
            reader, writer = await asyncio.open_connection(sock=ours, limit=dns_messages.LONGEST_QUESTION)
            try:
                await self._read_questions(reader, writer, answers)
            finally:
                for task in answers:
                    task.cancel()
                await asyncio.gather(*answers, return_exceptions=True)
                writer.transport.abort()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return  # gone, silent too long, or half a question
        finally:
            self._left()

    async def _read_questions(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: set[asyncio.Task[None]]
    ) -> None:
        at_once = asyncio.Semaphore(QUESTIONS_AT_ONCE)
        while True:
            async with asyncio.timeout(None if answers else IDLE_SECONDS):
                head = await reader.readexactly(_LENGTH.size)
            (length,) = _LENGTH.unpack(head)
            if not dns_messages.SHORTEST_QUESTION <= length <= dns_messages.LONGEST_QUESTION:
                return
            async with asyncio.timeout(TRANSFER_SECONDS):
                wire = await reader.readexactly(length)
            await asyncio.sleep(self._rate.reserve())
            await at_once.acquire()
            task = self._loop.create_task(self._reply(wire, writer))
            answers.add(task)
            task.add_done_callback(answers.discard)
            task.add_done_callback(lambda _: at_once.release())

    async def _reply(self, wire: bytes, writer: asyncio.StreamWriter) -> None:
        answer = await self.answer(wire)
        writer.write(_LENGTH.pack(len(answer)) + answer)
        try:
            async with asyncio.timeout(TRANSFER_SECONDS):
                await writer.drain()
        except (OSError, TimeoutError):
            writer.transport.abort()  # it asks and does not listen

    async def answer(self, wire: bytes) -> bytes:
        """Return the answer to a message."""
        try:
            question = dns_messages.read_question(wire)
        except Unanswerable as unanswerable:
            return unanswerable.answer
        name, record_type = dns_messages.asked(question)
        judgement = self.policy.judge_name(name, record_type)
        if not judgement.allowed:
            self._tell(name, record_type, judgement)
            of_address = record_type in _ADDRESS_TYPES
            return dns_messages.answer(question, dns.rcode.NXDOMAIN if of_address else dns.rcode.REFUSED)
        if judgement.reported:
            self._tell(name, record_type, judgement)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if record_type in _ADDRESS_TYPES:
                    return await self._answer_addresses(question, name, record_type)
                (asked,) = question.question
                async with self._lookups:
                    code, records = await self._resolver.ask(asked.name, asked.rdtype)
                return dns_messages.answer(question, code, records)
        except TimeoutError:
            return dns_messages.answer(question, dns.rcode.SERVFAIL)

    async def _answer_addresses(self, question: dns.message.Message, name: str, record_type: str) -> bytes:
        found = await self._look_up(name)
        if isinstance(found, Missing):
            code = {
                Missing.NO_SUCH_NAME: dns.rcode.NXDOMAIN,
                Missing.NO_ADDRESS: dns.rcode.NOERROR,
                Missing.NO_ANSWER: dns.rcode.SERVFAIL,
            }[found]
            return dns_messages.answer(question, code)
        withheld = {address: judgement for address in found if (judgement := self._withheld(address, name))}
        of_type = [address for address in found if address.version == _ADDRESS_TYPES[record_type]]
        told = [address for address in of_type if address not in withheld]
        kept_back = [address for address in of_type if address in withheld]
        if kept_back:
            self._tell(name, record_type, withheld[kept_back[0]], tuple(map(str, kept_back)))
        if len(withheld) == len(found):  # also of the other type: nothing of it may show
            return dns_messages.answer(question, dns.rcode.NXDOMAIN)
        self.told.tell(name, told)
        return dns_messages.answer(question, records=dns_messages.address_records(question, told))

    async def _look_up(self, name: str) -> Sequence[Address] | Missing:
        """Return all addresses of a name; who asks for A and AAAA at the same time shares one look-up."""
        found = self._under_way.get(name)
        if found is None:
            await (
                self._lookups.acquire()
            )  # given back when the thread is done, not when nobody listens any more
            found = self._under_way.get(name)
            if found is None:
                found = self._under_way[name] = self._resolver.look_up(name)
                found.add_done_callback(functools.partial(self._looked_up, name))
            else:
                self._lookups.release()
        return await asyncio.shield(found)

    def _looked_up(self, name: str, found: asyncio.Future[Sequence[Address] | Missing]) -> None:
        self._lookups.release()
        del self._under_way[name]
        with contextlib.suppress(asyncio.CancelledError):
            found.exception()  # whoever still listens gets it, too

    def _withheld(self, address: Address, name: str) -> Judgement | None:
        """Return why an address is not told; None when a connection to it could be allowed on some port.

        What only the hook's own list lacks is told: the address is no secret, and the refusal of the connection says
        what to add.
        """
        names = self.told.of(address) | {name}
        entries = (*self.policy.grants, *self.policy.own)
        ports = dict.fromkeys((_FAR_PORT, *(entry.port for entry in entries if entry.port is not None)))
        refusal = None
        for port in ports:
            judgement = self.policy.judge(address, port, names)
            if judgement.allowed or judgement.not_on_hooks_list:
                return None
            refusal = refusal or judgement
        return refusal

    def _tell(
        self, name: str, record_type: str, judgement: Judgement, addresses: tuple[str, ...] = ()
    ) -> None:
        self._reporter.name(
            RefusedName(
                name=name,
                record_type=record_type,
                addresses=addresses,
                reason=judgement.reason.value,
                explanation=judgement.explanation,
                setting=judgement.setting,
                entry_to_add=judgement.entry_to_add,
            )
        )

    async def close(self) -> None:
        """Close all connections."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._reporter.flush()
