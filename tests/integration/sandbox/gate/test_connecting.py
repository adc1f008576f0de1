"""What a process gets that connects as programs do."""

from __future__ import annotations

import errno
import socket

import pytest

from tenterhook.egress import Rules
from tenterhook.sandbox.gate import caller, handler
from tenterhook.sandbox.gate.socket_options import BUFFER_BYTES, MOST_BUFFER_BYTES

from .conftest import LOOPBACK, policy

ECHO = """
def connect(blocking, address, family=socket.AF_INET, set_options=lambda s: None):
    with socket.socket(family) as one:
        one.setblocking(blocking)
        set_options(one)
        begun = one.connect_ex(tuple(address))
        if begun == errno.EINPROGRESS:
            select.select([], [one], [])
            begun = [errno.errorcode[begun], one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)]
        sent = attempt(one.send, b"hello")
        say(begun, sent)
"""


@pytest.mark.parametrize("blocking", [True, False])
async def test_allowed_connection_reaches_the_listener(gated, listening, blocking):
    listener = listening()
    process = await gated(ECHO + "connect(*arguments)", blocking, listener.getsockname())
    begun, sent = await process.line()
    assert sent == 5
    assert begun in ([0] if blocking else [0, ["EINPROGRESS", 0]])
    accepted, _ = listener.accept()
    with accepted:
        assert accepted.recv(5) == b"hello"
    (told,) = process.told.connections
    assert (told.allowed, told.address, told.port, told.main_thread, told.reason) == (
        True, "127.0.0.1", listener.getsockname()[1], True, "granted",
    )  # fmt: skip
    if told.errno:
        await process.told.until(lambda: process.told.outcomes)
        assert process.told.outcomes == {told.sequence: True}
    else:
        assert told.established is True


@pytest.mark.parametrize("blocking", [True, False])
async def test_refused_address_is_not_reached_and_is_told_before_the_answer(gated, listening, blocking):
    listener = listening()
    process = await gated(
        ECHO + "connect(*arguments)", blocking, listener.getsockname(), policy=policy("127.0.0.2:1")
    )
    assert (await process.line())[0] == errno.EACCES
    (told,) = process.told.connections
    assert (told.allowed, told.errno, told.established, told.setting) == (
        False, errno.EACCES, False, "TENTERHOOK_EGRESS_ALLOW",
    )  # fmt: skip
    assert told.entry_to_add == f"127.0.0.1:{listener.getsockname()[1]}"
    assert "127.0.0.1" in told.explanation
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()


async def test_hooks_own_list_refuses_with_another_errno(gated, listening):
    only = policy(*LOOPBACK, rules=Rules.of("enforce", ["127.0.0.9:1"]))
    process = await gated(ECHO + "connect(*arguments)", True, listening().getsockname(), policy=only)
    assert (await process.line())[0] == errno.EPERM
    assert process.told.connections[0].reason == "not_listed"


async def test_policy_can_be_changed_while_the_process_runs(gated, listening):
    process = await gated(
        ECHO + "for _ in range(2):\n    connect(*arguments)\n    sys.stdin.readline()",
        True,
        listening().getsockname(),
    )
    assert (await process.line())[0] == 0
    process.gate.set_policy(policy("127.0.0.2:1"))
    process.tell()
    assert (await process.line())[0] == errno.EACCES


@pytest.mark.parametrize(("host", "listens"), [("::1", "::1"), ("::ffff:127.0.0.1", "127.0.0.1")])
async def test_ipv6_and_ipv4_within_it(gated, listening, host, listens):
    listener = listening(listens)
    address = (host, listener.getsockname()[1])
    code = ECHO + "connect(True, arguments[0], socket.AF_INET6)"
    process = await gated(code, address)
    assert await process.line() == [0, 5]
    refused = await gated(code, address, policy=policy("127.0.0.2:1"))
    assert (await refused.line())[0] == errno.EACCES


OPTIONS = """
    with socket.socket() as one:
        one.setblocking(arguments[1])
        values = {
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
            (socket.SOL_SOCKET, socket.SO_REUSEADDR): 1,
            (socket.IPPROTO_TCP, socket.TCP_NODELAY): 1,
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): 77,
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): 7,
            (socket.IPPROTO_TCP, socket.TCP_KEEPCNT): 3,
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT): 12345,
            (socket.IPPROTO_IP, socket.IP_TOS): 0x10,
            (socket.SOL_SOCKET, socket.SO_SNDBUF): 50000,
            (socket.SOL_SOCKET, socket.SO_RCVBUF): 60000,
        }
        for (level, option), value in values.items():
            one.setsockopt(level, option, value)
        def state():
            return [
                [one.getsockopt(level, option) for level, option in values],
                os.get_blocking(one.fileno()),
            ]
        before = state()
        one.connect_ex(tuple(arguments[0]))
        select.select([], [one], [])
        say(before, state(), one.getpeername() == tuple(arguments[0]))
"""


@pytest.mark.parametrize("blocking", [True, False])
async def test_options_survive(gated, listening, blocking):
    process = await gated(OPTIONS, listening().getsockname(), blocking)
    before, after, peer = await process.line()
    assert after == before
    assert peer


async def test_options_survive_because_they_are_carried_over(gated, listening, monkeypatch):
    monkeypatch.setattr(handler, "carry_over", lambda theirs, ours: None)
    process = await gated(OPTIONS, listening().getsockname(), True)
    before, after, _ = await process.line()
    assert after != before


async def test_buffers_are_bounded_whatever_the_process_wants(gated, listening):
    code = """
    with socket.socket() as one, socket.socket() as other:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        one.connect(tuple(arguments[0]))
        other.connect(tuple(arguments[0]))
        say(*(each.getsockopt(socket.SOL_SOCKET, option) for each in (one, other)
              for option in (socket.SO_SNDBUF, socket.SO_RCVBUF)))
    """
    sizes = await (await gated(code, listening().getsockname())).line()
    assert sizes[0] <= 2 * MOST_BUFFER_BYTES  # the kernel doubles what is set, and tells the double
    assert set(sizes[1:]) == {2 * BUFFER_BYTES}


@pytest.mark.parametrize("blocking", [True, False])
async def test_nobody_listens(gated, blocking):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        process = await gated(ECHO + "connect(*arguments)", blocking, closed.getsockname())
        begun, _ = await process.line()
    (told,) = process.told.connections
    if begun == ["EINPROGRESS", errno.ECONNREFUSED]:  # the process still finds the error of its socket
        await process.told.until(lambda: process.told.outcomes)
        assert process.told.outcomes == {told.sequence: False}
    else:
        assert begun == errno.ECONNREFUSED
        assert told.established is False
    assert told.allowed


async def test_what_the_kernel_says_of_sockets_that_are_not_fresh(gated, listening, black_hole):
    code = """
    address = tuple(arguments[0])
    connected, begun = socket.socket(), socket.socket()
    connected.connect(address)
    begun.setblocking(False)
    say(connected.connect_ex(address), begun.connect_ex(tuple(arguments[1])), begun.connect_ex(address))
    """
    process = await gated(code, listening().getsockname(), black_hole)
    assert await process.line() == [errno.EISCONN, errno.EINPROGRESS, errno.EALREADY]


async def test_failed_connection_can_be_tried_elsewhere_and_is_judged_again(gated, listening):
    code = """
    one = socket.socket()
    say([one.connect_ex(tuple(address)) for address in arguments])
    """
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        refused = listening("127.0.0.3").getsockname()
        open_one = listening("127.0.0.1").getsockname()
        process = await gated(code, closed.getsockname(), refused, open_one, policy=policy("127.0.0.1:*"))
        assert await process.line() == [[errno.ECONNREFUSED, errno.EACCES, 0]]
    assert [told.established for told in process.told.connections] == [False, False, True]


async def test_connection_taken_and_dropped_at_once_counts_as_established(gated, listening):
    listener = listening()
    code = """
    one = socket.socket()
    say(one.connect_ex(tuple(arguments[0])))
    sys.stdin.readline()
    """
    process = await gated(code, listener.getsockname())
    await process.line()
    assert process.told.connections[0].established is True


async def test_gate_goes_to_sleep_and_wakes(gated, listening, monkeypatch):
    from tenterhook.sandbox.gate import gate

    monkeypatch.setattr(gate, "IDLE_SECONDS", 0.01)
    process = await gated(
        ECHO + "for _ in range(3):\n    connect(*arguments)\n    sys.stdin.readline()",
        True,
        listening().getsockname(),
    )
    for _ in range(3):
        assert await process.line() == [0, 5]
        await _asleep(process)
        process.tell()


async def _asleep(process):
    import asyncio

    async with asyncio.timeout(10):
        while process.gate._thread is not None:
            await asyncio.sleep(0.005)


async def test_gate_closes_itself_when_the_process_has_ended(gated, listening):
    process = await gated(ECHO + "connect(*arguments)", True, listening().getsockname())
    await process.lines()
    await process.gate.closed()


async def test_closed_gate_lets_nothing_through(gated, listening):
    process = await gated(ECHO + "sys.stdin.readline()\nconnect(*arguments)", True, listening().getsockname())
    process.gate.close()
    await process.gate.closed()
    process.tell()
    assert (await process.line())[0] == errno.ENOSYS


@pytest.mark.parametrize("blocking", [True, False])
async def test_where_the_kernel_does_not_show_the_socket(gated, listening, monkeypatch, blocking):
    """Without pidfd_getfd the options are the kernel's own; the rest is as ever."""
    monkeypatch.setattr(caller.Caller, "socket", lambda self, number: None)
    process = await gated(OPTIONS, listening().getsockname(), blocking)
    before, after, peer = await process.line()
    assert after[2:] == before[2:]
    assert after[0] != before[0]
    assert peer


async def test_where_proc_does_not_show_the_descriptors(gated, listening, monkeypatch):
    """Connections cannot be counted then, nor the number of those that were closed."""

    def refuse(self):
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(caller.Caller, "sockets", refuse)
    code = "say([socket.socket().connect_ex(tuple(arguments[0])) for _ in range(4)])"
    process = await gated(code, listening().getsockname(), max_connections=3)
    assert await process.line() == [[0, 0, 0, errno.EMFILE]]
