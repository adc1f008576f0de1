"""The name server against a process that means it harm."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from ipaddress import ip_address

import dns.message
import dns.rcode
import pytest

from tenterhook.egress import Policy
from tenterhook.sandbox.gate import NameServer, Resolver, loopback, name_server, reporting, resolver
from tenterhook.sandbox.gate.loopback import tcp_pair

from .conftest import SERVERS, Told, policy


class Lookups:
    """A ``getaddrinfo`` that waits until it is let go."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go_on = threading.Event()

    def __call__(self, name: str):
        self.asked.append(name)
        assert self.go_on.wait(30)
        return (ip_address("127.0.0.5"),)


@pytest.fixture
def lookups():
    made = Lookups()
    made.go_on.set()
    yield made
    made.go_on.set()


@pytest.fixture
async def server(lookups):
    made = Resolver(lookup=lookups)
    names = NameServer(resolver=made, policy=policy("127.0.0.0/8:*"), report=Told(), servers=SERVERS)
    yield names
    await names.close()
    made.close()


async def connect(server: NameServer):
    channel = server.open_channel()
    assert channel is not None
    return await asyncio.open_connection(sock=channel)


def framed(name: str, kind: str = "A", number: int | None = None) -> bytes:
    wire = dns.message.make_query(name, kind, id=number).to_wire()
    return struct.pack(">H", len(wire)) + wire


async def answer(reader) -> dns.message.Message:
    async with asyncio.timeout(30):
        (length,) = struct.unpack(">H", await reader.readexactly(2))
        return dns.message.from_wire(await reader.readexactly(length))


async def ended(reader) -> bool:
    async with asyncio.timeout(30):
        try:
            return await reader.read(1) == b""
        except ConnectionResetError:
            return True


async def test_questions_on_one_connection_are_told_apart_by_number(server):
    reader, writer = await connect(server)
    for number in range(100):
        writer.write(framed(f"n{number}.example.", number=number))
    answers = [await answer(reader) for _ in range(100)]
    assert {each.id for each in answers} == set(range(100))
    assert all(each.question[0].name.to_text() == f"n{each.id}.example." for each in answers)
    writer.close()


@pytest.mark.parametrize("length", [0, 11, 4097, 65535])
async def test_impossible_length_ends_the_connection(server, length):
    reader, writer = await connect(server)
    writer.write(struct.pack(">H", length) + bytes(length))
    assert await ended(reader)
    writer.close()


async def test_nonsense_is_answered_as_such(server):
    reader, writer = await connect(server)
    writer.write(struct.pack(">H", 20) + b"\1\2\1\0\0\1" + b"\xff" * 14)
    assert (await answer(reader)).rcode() == dns.rcode.FORMERR
    writer.write(framed("still.example."))
    assert (await answer(reader)).rcode() == dns.rcode.NOERROR
    writer.close()


async def test_half_a_question_ends_the_connection_in_time(server, monkeypatch):
    monkeypatch.setattr(name_server, "TRANSFER_SECONDS", 0.05)
    reader, writer = await connect(server)
    writer.write(framed("half.example.")[:-3])
    assert await ended(reader)
    writer.close()


async def test_silence_ends_the_connection_in_time(server, monkeypatch):
    monkeypatch.setattr(name_server, "IDLE_SECONDS", 0.05)
    reader, writer = await connect(server)
    assert await ended(reader)
    writer.close()


async def test_connections_are_limited_and_given_back(server):
    held = [server.open_channel() for _ in range(name_server.MAX_CONNECTIONS)]
    assert None not in held
    assert server.open_channel() is None
    for channel in held:
        channel.close()
    async with asyncio.timeout(30):
        while (again := server.open_channel()) is None:
            await asyncio.sleep(0.005)
    again.close()


async def test_resolver_is_asked_so_much_at_once_and_no_more(server, lookups):
    lookups.go_on.clear()
    connections = [await connect(server) for _ in range(2)]
    for _, writer in connections:
        for number in range(name_server.QUESTIONS_AT_ONCE + 5):
            writer.write(framed(f"n{number}.{id(writer)}.example."))
    async with asyncio.timeout(30):
        while len(lookups.asked) < name_server.LOOKUPS_AT_ONCE:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)  # time for one too many
    assert len(lookups.asked) == name_server.LOOKUPS_AT_ONCE
    lookups.go_on.set()
    for reader, writer in connections:
        for _ in range(name_server.QUESTIONS_AT_ONCE + 5):
            assert (await answer(reader)).rcode() == dns.rcode.NOERROR
        writer.close()


async def test_a_and_aaaa_share_one_look_up(server, lookups):
    lookups.go_on.clear()
    reader, writer = await connect(server)
    writer.write(framed("both.example.", "A") + framed("both.example.", "AAAA"))
    async with asyncio.timeout(30):
        while not lookups.asked:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    lookups.go_on.set()
    counts = [len((await answer(reader)).answer) for _ in range(2)]
    assert sorted(counts) == [0, 1]
    assert lookups.asked == ["both.example"]
    writer.close()


async def test_slow_host_is_a_failure_in_time_and_keeps_its_place(server, lookups, monkeypatch):
    monkeypatch.setattr(name_server, "ANSWER_SECONDS", 0.05)
    lookups.go_on.clear()
    reader, writer = await connect(server)
    writer.write(framed("slow.example."))
    assert (await answer(reader)).rcode() == dns.rcode.SERVFAIL
    assert server._lookups._value == name_server.LOOKUPS_AT_ONCE - 1  # the thread is still at it
    lookups.go_on.set()
    async with asyncio.timeout(30):
        while server._lookups._value < name_server.LOOKUPS_AT_ONCE:
            await asyncio.sleep(0.005)
    writer.close()


async def test_flood_of_questions_is_slowed(lookups, monkeypatch):
    monkeypatch.setattr(name_server, "QUESTION_BURST", 10)
    monkeypatch.setattr(name_server, "QUESTIONS_PER_SECOND", 0.001)
    made = Resolver(lookup=lookups)
    server = NameServer(resolver=made, policy=policy("127.0.0.0/8:*"), report=Told(), servers=SERVERS)
    reader, writer = await connect(server)
    for number in range(30):
        writer.write(framed(f"n{number}.example."))
    for _ in range(10):
        await answer(reader)
    await asyncio.sleep(0.05)
    assert len(lookups.asked) == 10
    writer.close()
    await server.close()
    made.close()


async def test_flood_of_refused_names_is_counted(lookups):
    told = Told()
    made = Resolver(lookup=lookups)
    server = NameServer(resolver=made, policy=Policy(), report=told, servers=SERVERS)
    for number in range(reporting.REFUSED_BURST + 100):
        await server.answer(framed(f"n{number}.example.")[2:])  # 127.0.0.5, not granted
    await server.close()
    made.close()
    assert len(told.names) + told.more == reporting.REFUSED_BURST + 100
    assert told.more > 50


async def test_asking_without_listening_ends_the_connection(server, monkeypatch):
    """Answers pile up in the kernel's buffers, then in ours; then it is over."""
    monkeypatch.setattr(name_server, "TRANSFER_SECONDS", 0.2)
    monkeypatch.setattr(name_server, "QUESTION_BURST", 10**6)
    server._rate = name_server.TokenBucket(burst=10**6, per_second=1e6)
    channel = server.open_channel()
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    channel.setblocking(False)
    loop = asyncio.get_running_loop()
    wire = framed("flood.example.") * 200
    async with asyncio.timeout(60):
        with pytest.raises(ConnectionError):
            while True:
                await loop.sock_sendall(channel, wire)
    channel.close()


async def test_no_such_transfers(server):
    reader, writer = await connect(server)
    writer.write(framed("example.com.", "AXFR"))
    assert (await answer(reader)).rcode() == dns.rcode.REFUSED
    writer.close()


async def test_numbers_in_disguise_are_only_addresses_that_the_policy_judges():
    """getaddrinfo takes 2130706433 and 0x7f.1 for addresses; such names do not open what is closed."""
    made = Resolver()
    told = Told()
    server = NameServer(resolver=made, policy=Policy(), report=told, servers=SERVERS)
    for name in ("2130706433.", "0x7f.1.", "127.1.", "localhost."):
        response = dns.message.from_wire(await server.answer(framed(name)[2:]))
        assert response.rcode() == dns.rcode.NXDOMAIN
        assert not response.answer
    assert server.told.of(ip_address("127.0.0.1")) == frozenset()
    await server.close()
    made.close()


class _Crowd(socket.socket):
    """A listener that a stranger reaches first."""

    def listen(self, backlog=0):
        super().listen(backlog)
        self.stranger = socket.create_connection(self.getsockname())

    def close(self):
        if hasattr(self, "stranger"):
            self.stranger.close()
        super().close()


def test_pair_is_of_our_own_two_ends(monkeypatch):
    monkeypatch.setattr(loopback.socket, "socket", _Crowd)
    inside, ours = tcp_pair()
    with inside, ours:
        assert ours.getpeername() == inside.getsockname()
        inside.sendall(b"x")
        assert ours.recv(1) == b"x"


def test_long_lists_of_addresses_are_cut():
    made = Resolver(lookup=lambda name: tuple(ip_address(number) for number in range(1000)))
    assert len(made._limited("many.example")) == resolver.MAX_ADDRESSES
    made.close()
