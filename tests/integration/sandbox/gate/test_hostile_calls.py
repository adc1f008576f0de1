"""What a process gets that connects as no program does."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import signal
import socket
import threading

import pytest

from tenterhook.sandbox.gate import handler, notifications
from tenterhook.sandbox.gate.attempts import was_established

from .conftest import policy


async def test_malformed_arguments(gated, listening):
    port = listening().getsockname()[1]
    code = """
    good = inet("127.0.0.1", arguments[0])
    one = socket.socket()
    pipe = os.pipe()
    udp = socket.socket(type=socket.SOCK_DGRAM)
    six = socket.socket(socket.AF_INET6)
    number = one.fileno()
    say({
        "nothing": raw_connect(number, b"", 0),
        "half a family": raw_connect(number, good[:1]),
        "family alone": raw_connect(number, good[:2]),
        "one byte short": raw_connect(number, good[:15]),
        "negative length": raw_connect(number, good, -1),
        "too long": raw_connect(number, good, 129),
        "no memory": raw_pointer(number, 8),
        "kernel memory": raw_pointer(number, 0xffffffffff600000),
        "half in memory": at_the_end_of_a_page(number, good),
        "closed": raw_connect(999, good),
        "negative descriptor": raw_connect(-1, good),
        "not a socket": raw_connect(pipe[0], good),
        "udp": raw_connect(udp.fileno(), good),
        "unix": attempt(socket.socket(socket.AF_UNIX).connect, "/run/some/daemon"),
        "unix address on tcp": raw_connect(number, struct.pack("=H", 1) + b"/run/some/daemon\\0"),
        "abstract": attempt(socket.socket(socket.AF_UNIX).connect, "\\0bus"),
        "unspecified": raw_connect(number, bytes(16)),
        "netlink": raw_connect(number, struct.pack("=H", 16) + bytes(14)),
        "ipv4 on ipv6": raw_connect(six.fileno(), good),
        "ipv6 on ipv4": raw_connect(number, inet6()),
        "ipv6 short": raw_connect(six.fileno(), inet6()[:23]),
        "scope": raw_connect(six.fileno(), inet6()[:24] + struct.pack("=I", 1)),
        "port 0": raw_connect(number, inet("127.0.0.1", 0)),
        "good after all": raw_connect(number, good),
    })
    """
    before = """
    import mmap
    def raw_pointer(number, address):
        result = raw_libc.connect(number, ctypes.c_void_p(address), 16)
        return 0 if result == 0 else errno.errorcode[ctypes.get_errno()]
    pages = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    raw_libc.mprotect(ctypes.c_void_p(start + mmap.PAGESIZE), mmap.PAGESIZE, 0)
    def at_the_end_of_a_page(number, good):
        pages[mmap.PAGESIZE - 8:mmap.PAGESIZE] = good[:8]
        return raw_pointer(number, start + mmap.PAGESIZE - 8)
    def inet6():
        return struct.pack("=H", socket.AF_INET6) + struct.pack(">HI", arguments[0], 0) + bytes(15) + b"\\1"
    """
    process = await gated(code, port, before=before)
    assert await process.lines() == [[{
        "nothing": "EINVAL", "half a family": "EINVAL", "family alone": "EINVAL", "one byte short": "EINVAL",
        "negative length": "EINVAL", "too long": "EINVAL",
        "no memory": "EFAULT", "kernel memory": "EFAULT", "half in memory": "EFAULT",
        "closed": "EBADF", "negative descriptor": "EBADF", "not a socket": "ENOTSOCK", "udp": "EACCES",
        "unix": "EACCES", "unix address on tcp": "EACCES", "abstract": "EACCES",
        "unspecified": "EAFNOSUPPORT", "netlink": "EAFNOSUPPORT",
        "ipv4 on ipv6": "EAFNOSUPPORT", "ipv6 on ipv4": "EAFNOSUPPORT", "ipv6 short": "EINVAL", "scope": "EACCES",
        "port 0": "EACCES", "good after all": 0,
    }]]  # fmt: skip
    told = [connection.address for connection in process.told.connections if not connection.allowed]
    assert told == ["AF_UNIX"] * 3 + ["AF_UNSPEC", "address family 16", "::1", "127.0.0.1"]


async def test_connected_socket_cannot_be_made_fresh(gated, listening):
    code = """
    one = socket.socket()
    one.connect(tuple(arguments[0]))
    say(raw_connect(one.fileno(), bytes(16)), attempt(one.getpeername) == tuple(arguments[0]))
    """
    process = await gated(code, listening().getsockname())
    assert await process.line() == ["EAFNOSUPPORT", True]


RACE = """
sockaddr = ctypes.create_string_buffer(inet("127.0.0.1", arguments[0]), 16)
good, bad = (struct.pack(">H", port) for port in arguments)
stop = False
def flip():
    while not stop:
        sockaddr[2:4] = bad
        sockaddr[2:4] = good
threading.Thread(target=flip, daemon=True).start()
sys.setswitchinterval(1e-6)
ended = time.monotonic() + 20
tries = results = 0
while min(results, tries - results) < 60 and tries < 900 and time.monotonic() < ended:
    with socket.socket() as one:
        tries += 1
        results += raw_libc.connect(one.fileno(), sockaddr, 16) == 0
        if attempt(one.getpeername) == ("127.0.0.1", arguments[1]):
            break
stop = True
say(tries, results)
"""


def _count(listener: socket.socket) -> int:
    listener.setblocking(False)
    count = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


async def test_two_threads_racing_the_sockaddr_gain_nothing(gated, listening):
    allowed, forbidden = listening(backlog=1000), listening(backlog=1000)
    ports = allowed.getsockname()[1], forbidden.getsockname()[1]
    process = await gated(RACE, *ports, policy=policy(f"127.0.0.1:{ports[0]}"))
    tries, reached = (await process.lines())[0]
    assert _count(forbidden) == 0
    assert _count(allowed) == reached > 0
    # Both were asked for, so the race was on; each was judged as it was connected.
    assert {told.allowed for told in process.told.connections} == {True, False}
    assert tries > reached


async def test_the_race_is_won_where_the_kernel_reads_the_sockaddr_again(gated, listening, monkeypatch):
    """With CONTINUE in place of a connection of ours, as other sandboxes answer."""

    def let_through(self, call, theirs, judged):
        continued = notifications._RESPONSE.pack(call.notification.id, 0, 0, 1)
        fcntl.ioctl(self._listener.fileno(), notifications.SEND, continued)

    monkeypatch.setattr(handler.ConnectHandler, "_connect_to_network", let_through)
    allowed, forbidden = listening(backlog=1000), listening(backlog=1000)
    ports = allowed.getsockname()[1], forbidden.getsockname()[1]
    process = await gated(RACE, *ports, policy=policy(f"127.0.0.1:{ports[0]}"))
    await process.lines()
    assert _count(forbidden) > 0


async def test_two_threads_racing_the_descriptor_hurt_only_themselves(gated, listening):
    """One connects descriptor 50 while the other opens and closes files as 50."""
    code = """
    stop = False
    def replace():
        while not stop:
            with socket.socket() as other:
                os.dup2(other.fileno(), 50)
            null = os.open("/dev/null", os.O_RDONLY)
            os.dup2(null, 50)
            os.close(null)
    thread = threading.Thread(target=replace)
    thread.start()
    results = {}
    for _ in range(300):
        result = str(raw_connect(50, inet("127.0.0.1", arguments[0])))
        results[result] = results.get(result, 0) + 1
    stop = True
    thread.join()
    say(results)
    """
    process = await gated(code, listening(backlog=1000).getsockname()[1])
    (results,) = await process.line()
    assert set(results) <= {"0", "EBADF", "ENOTSOCK", "EISCONN", "EBUSY"}


async def test_child_process_under_the_same_filter_is_not_served(gated, listening):
    code = """
    child = os.fork()
    one = socket.socket()
    if child == 0:
        say("child", raw_connect(one.fileno(), inet("127.0.0.1", arguments[0])))
        os._exit(0)
    os.waitpid(child, 0)
    say("parent", raw_connect(one.fileno(), inet("127.0.0.1", arguments[0])))
    """
    process = await gated(code, listening().getsockname()[1])
    assert await process.lines() == [["child", "EPERM"], ["parent", 0]]


async def test_process_killed_between_question_and_answer(gated, listening, monkeypatch):
    """The gate has the question in hand when the process is killed; it ends, and harms nobody."""
    reached, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    original = handler.ConnectHandler._hand_in

    def slow(self, call, ours):
        loop.call_soon_threadsafe(reached.set)
        assert go_on.wait(30)
        original(self, call, ours)

    monkeypatch.setattr(handler.ConnectHandler, "_hand_in", slow)
    process = await gated("socket.create_connection(tuple(arguments[0]))", listening().getsockname())
    async with asyncio.timeout(30):
        await reached.wait()
        os.kill(process.process.pid, signal.SIGKILL)
        await process.process.wait()
        go_on.set()
        await process.gate.closed()


async def test_thread_called_away_by_a_signal_comes_again(gated, listening):
    """Signals in a storm: each connect still ends, in a connection or as interrupted."""
    code = """
    import signal
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    results = {}
    for _ in range(200):
        with socket.socket() as one:
            result = str(raw_connect(one.fileno(), inet("127.0.0.1", arguments[0])))
            results[result] = results.get(result, 0) + 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    say(results)
    """
    process = await gated(code, listening(backlog=1000).getsockname()[1])
    results = (await process.line())[0]
    assert set(results) <= {"0", "EINTR", "EISCONN"}
    assert results["0"] > 0


def test_established_is_known_of_a_connection_that_is_over():
    with socket.socket() as listener, socket.socket() as one:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert not was_established(one)
        one.connect(listener.getsockname())
        accepted, _ = listener.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        accepted.close()  # a reset
        with pytest.raises(ConnectionResetError):
            one.recv(1)
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 7
        assert was_established(one)
    with socket.socket() as closed, socket.socket() as one:
        closed.bind(("127.0.0.1", 0))
        assert one.connect_ex(closed.getsockname()) == errno.ECONNREFUSED
        assert not was_established(one)
