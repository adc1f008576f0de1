"""Nobody waits for somebody else's connection, and nobody has more than their share."""

from __future__ import annotations

import asyncio
import errno
import threading

import pytest

from tenterhook.sandbox.gate import attempts, gate, handler, reporting
from tenterhook.settings import environment_name

from .conftest import policy

WAITING = """
def wait():
    with socket.socket() as one:
        say("done", one.connect_ex(tuple(arguments[0])))
for _ in range(arguments[1]):
    threading.Thread(target=wait, daemon=True).start()
say("started")
sys.stdin.readline()
with socket.socket() as one:
    say("other", one.connect_ex(tuple(arguments[2])))
sys.stdin.readline()
"""


async def test_black_holed_address_delays_nobody(gated, listening, black_hole):
    """Not other threads of the same process, and not other processes."""
    process = await gated(WAITING, black_hole, 3, listening().getsockname())
    assert await process.line() == ["started"]
    await _until(lambda: process.gate._attempts.awaited == 3)
    process.tell()
    assert await process.line() == ["other", 0]
    second = await gated("say(socket.socket().connect_ex(tuple(arguments[0])))", listening().getsockname())
    assert await second.line() == [0]
    assert process.gate._attempts.awaited == 3


async def test_it_would_delay_them_if_the_gate_waited_for_the_network(
    gated, listening, black_hole, monkeypatch
):
    monkeypatch.setattr(handler, "_NEW_SOCKET", handler._NEW_SOCKET & ~handler.socket.SOCK_NONBLOCK)
    process = await gated(WAITING, black_hole, 3, listening().getsockname())
    assert await process.line() == ["started"]
    process.tell()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await process.line()


async def test_blocking_connection_is_given_up_in_time(gated, black_hole, monkeypatch):
    monkeypatch.setattr(attempts, "AWAIT_SECONDS", 0.05)
    process = await gated("say(socket.socket().connect_ex(tuple(arguments[0])))", black_hole)
    assert await process.line() == [errno.ETIMEDOUT]
    assert process.told.connections[0].established is False


async def test_send_timeout_bounds_a_blocking_connection(gated, black_hole):
    code = """
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 0, 50_000))
    say(one.connect_ex(tuple(arguments[0])))
    """
    assert await (await gated(code, black_hole)).line() == [errno.ETIMEDOUT]


async def test_only_so_many_threads_may_wait(gated, listening, black_hole, monkeypatch):
    monkeypatch.setattr(attempts, "MAX_AWAITED", 2)
    process = await gated(WAITING, black_hole, 3, listening().getsockname())
    said = [await process.line(), await process.line()]
    assert sorted(said) == [["done", errno.EMFILE], ["started"]]
    (told,) = process.told.connections
    assert told.reason == "too_many_waiting"


async def test_waiting_thread_that_is_gone_is_forgotten(gated, listening, black_hole, monkeypatch):
    monkeypatch.setattr(attempts, "_CHECK_SECONDS", 0.05)
    process = await gated(WAITING, black_hole, 3, listening().getsockname())
    await process.line()
    await _until(lambda: process.gate._attempts.awaited == 3)
    process.process.kill()
    async with asyncio.timeout(10):
        await process.gate.closed()


async def test_connection_that_nobody_takes_has_no_outcome(gated, black_hole, monkeypatch):
    monkeypatch.setattr(attempts, "WATCH_SECONDS", 0.05)
    code = """
    one = socket.socket()
    one.setblocking(False)
    say(one.connect_ex(tuple(arguments[0])))
    sys.stdin.readline()
    """
    process = await gated(code, black_hole)
    assert await process.line() == [errno.EINPROGRESS]
    await process.told.until(lambda: process.told.outcomes)
    assert process.told.outcomes == {1: None}


async def test_connection_on_its_way_when_the_process_ends_has_sent_nothing(gated, black_hole):
    code = """
    one = socket.socket()
    one.setblocking(False)
    say(one.connect_ex(tuple(arguments[0])))
    """
    process = await gated(code, black_hole)
    await process.lines()
    await process.gate.closed()
    assert process.told.outcomes == {1: False}


MANY = """
kept, results = [], []
for _ in range(arguments[1]):
    one = socket.socket()
    results.append(one.connect_ex(tuple(arguments[0])))
    if arguments[2]:
        kept.append(one)
    else:
        one.close()
say(results)
"""


async def test_connections_of_a_process_are_limited(gated, listening):
    listener = listening(backlog=100)
    process = await gated(MANY, listener.getsockname(), 12, True, max_connections=10)
    assert await process.line() == [[0] * 10 + [errno.EMFILE] * 2]
    refused = process.told.connections[-1]
    assert (refused.reason, refused.setting) == ("too_many_connections", environment_name("max_connections"))
    assert refused.setting in refused.explanation


async def test_closed_connections_do_not_count(gated, listening):
    process = await gated(MANY, listening(backlog=100).getsockname(), 35, False, max_connections=10)
    assert await process.line() == [[0] * 35]


async def test_other_sockets_do_not_count(gated, listening):
    before = "others = [socket.socket() for _ in range(20)]"
    process = await gated(MANY, listening().getsockname(), 5, True, max_connections=5, before=before)
    assert await process.line() == [[0] * 5]


async def test_flood_of_refused_connections_is_counted(gated, listening):
    process = await gated(MANY, listening().getsockname(), 450, False, policy=policy("127.0.0.2:1"))
    assert (await process.lines())[0][0] == [errno.EACCES] * 450
    await process.gate.closed()
    told = len(process.told.connections)
    assert reporting.REFUSED_BURST <= told < 400
    assert told + process.told.more == 450


FLOOD = """
say("started")
def flood():
    while True:
        with socket.socket() as one:
            one.connect_ex(tuple(arguments[0]))
for _ in range(4):
    threading.Thread(target=flood, daemon=True).start()
sys.stdin.readline()
"""


async def test_flood_is_served_at_a_bounded_rate(gated, listening, monkeypatch):
    """The flooding process gets what the rate gives; another one gets its connections meanwhile."""
    monkeypatch.setattr(gate, "CONNECTS_BURST", 20)
    monkeypatch.setattr(gate, "CONNECTS_PER_SECOND", 0.001)
    flooding = await gated(FLOOD, listening().getsockname(), policy=policy("127.0.0.2:1"))
    await flooding.line()
    await flooding.told.until(lambda: len(flooding.told.connections) >= 20)
    quiet = await gated(MANY, listening(backlog=100).getsockname(), 15, False)
    assert await quiet.line() == [[0] * 15]
    assert len(flooding.told.connections) == 20


async def test_flood_is_not_bounded_without_the_rate(gated, listening, monkeypatch):
    monkeypatch.setattr(gate, "CONNECTS_BURST", 10**9)
    monkeypatch.setattr(gate, "CONNECTS_PER_SECOND", 0.001)
    flooding = await gated(FLOOD, listening().getsockname(), policy=policy("127.0.0.2:1"))
    await flooding.line()
    await flooding.told.until(lambda: len(flooding.told.connections) >= 100)


async def _until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def test_process_that_does_not_take_its_socket_holds_up_only_itself(gated, listening, monkeypatch):
    """Handing over waits until the process's thread runs; one that is throttled lets that take as long as it likes."""
    go_on = threading.Event()
    stuck = asyncio.Event()
    loop = asyncio.get_running_loop()
    original = handler.ConnectHandler._hand_in

    def slow(self, call, ours):
        if self._process.pid == slow_pid:
            loop.call_soon_threadsafe(stuck.set)
            assert go_on.wait(30)
        original(self, call, ours)

    code = "sys.stdin.readline()\nsay(socket.socket().connect_ex(tuple(arguments[0])))"
    slow_one = await gated(code, listening().getsockname())
    slow_pid = slow_one.process.pid
    monkeypatch.setattr(handler.ConnectHandler, "_hand_in", slow)
    slow_one.tell()
    async with asyncio.timeout(30):
        await stuck.wait()
    quick = await gated(code, listening().getsockname())
    quick.tell()
    assert await quick.line() == [0]
    go_on.set()
    assert await slow_one.line() == [0]
