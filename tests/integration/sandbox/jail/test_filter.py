"""The filters in the kernel: installed in a child, which then tries."""

from __future__ import annotations

import array
import ctypes
import errno
import os
import select
import signal
import socket
import subprocess
import sys

import pytest

from tenterhook.sandbox.gate.notifications import Listener
from tenterhook.sandbox.jail import filter as seccomp
from tenterhook.sandbox.jail import libc
from tenterhook.sandbox.jail.rules import Rule
from tenterhook.sandbox.jail.syscalls import ARCHITECTURES, current_architecture
from tenterhook.sandbox.node_binary import find_node
from tests.integration.sandbox.jail.forked import error_of, in_child

ARCHITECTURE = current_architecture()
TABLE = ARCHITECTURE.table
EPERM, EACCES, ENOSYS = errno.EPERM, errno.EACCES, errno.ENOSYS


def _confine(*, gate_mode: bool = False, without: frozenset[str] = frozenset()) -> None:
    program = seccomp.strict_filter(ARCHITECTURE, own_pid=os.getpid(), gate_mode=gate_mode, without=without)
    seccomp.install(program, listener=False)


def _raw(call: str, *arguments: int | bytes | None) -> int:
    """Return the errno of a raw system call; 0 when it succeeds."""
    ctypes.set_errno(0)
    return 0 if libc.syscall(TABLE[call], *arguments) >= 0 else ctypes.get_errno()


@pytest.mark.parametrize(
    ("expected", "call", "arguments"),
    [
        (EACCES, "socket", (socket.AF_UNIX, socket.SOCK_STREAM, 0)),
        (EACCES, "socket", (socket.AF_INET, socket.SOCK_DGRAM, 0)),
        (EACCES, "socket", (socket.AF_INET, socket.SOCK_STREAM, 262)),
        (EACCES, "socket", (socket.AF_INET, socket.SOCK_STREAM, 132)),
        (EACCES, "socket", (socket.AF_NETLINK, socket.SOCK_RAW, 0)),
        (EACCES, "socketpair", (socket.AF_UNIX, socket.SOCK_STREAM, 0, b"12345678")),
        (EPERM, "ptrace", (0, 0, 0, 0)),
        (EPERM, "process_vm_readv", (1, 0, 0, 0, 0, 0)),
        (EPERM, "unshare", (0x10000000,)),
        (EPERM, "mount", (b"none", b"/", None, 0, None)),
        (ENOSYS, "io_uring_setup", (8, bytes(120))),
        (ENOSYS, "clone3", (bytes(88), 0)),
        (EPERM, "memfd_create", (b"x", 0)),
        (EPERM, "seccomp", (1, 0, None)),
        (EPERM, "landlock_create_ruleset", (None, 0, 1)),
        (EPERM, "kill", (1, 0)),
        (EPERM, "kill", (-1, 0)),
        (EPERM, "kill", (0, 0)),
        (EPERM, "tkill", (1, 0)),
        (EPERM, "prctl", (1, 0, 0, 0, 0)),
        (EPERM, "prctl", (4, 0, 0, 0, 0)),
        (EPERM, "prlimit64", (0, 7, bytes(16), None)),
        (EPERM, "personality", (0xFFFFFFFF,)),
        (EPERM, "bpf", (0, None, 0)),
        (EPERM, "userfaultfd", (0,)),
        (EPERM, "keyctl", (0, 0, 0)),
        (EPERM, "setsid", ()),
        (EPERM, "execveat", (-1, b"/bin/true", None, None, 0)),
        (EPERM, "pidfd_open", (1, 0)),
        (EPERM, "inotify_init1", (0,)),
        (EPERM, "shmget", (0, 4096, 0)),
        (EPERM, "truncate", (b"/nowhere", 0)),
        (EPERM, "chown", (b"/nowhere", 0, 0)),
        (ENOSYS, "openat2", (-100, b"/", bytes(24), 24)),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_kernel_refuses(expected, call, arguments):
    if call not in TABLE:
        pytest.fail(f"{call} is not in this processor's table; ask for another one")

    def body():
        _confine()
        return _raw(call, *arguments)

    def body_without():
        _confine(without=frozenset({seccomp.rule_of(call, gate_mode=False)}))
        return _raw(call, *arguments)

    assert in_child(body) == expected
    if (
        expected != EPERM or os.geteuid() == 0
    ):  # to an ordinary user the kernel itself says EPERM now and then
        # Whatever the kernel says to such arguments (signal 0 is sent to nobody), it is no longer the filter that answers.
        assert in_child(body_without) != expected


def test_threads_may_be_started_and_processes_not():
    def body():
        import threading

        _confine()
        seen = []
        thread = threading.Thread(target=lambda: seen.append(1))
        thread.start()
        thread.join()
        return [seen, error_of(os.fork), error_of(lambda: os.posix_spawn("/bin/true", ["true"], {}))]

    assert in_child(body) == [[1], EPERM, EPERM]


def test_own_signals_arrive_and_a_childs_do_not():
    def body():
        _confine()
        got = []
        signal.signal(signal.SIGUSR1, lambda *_: got.append(1))
        os.kill(os.getpid(), signal.SIGUSR1)
        return [got, error_of(lambda: os.kill(os.getppid(), 0))]

    assert in_child(body) == [[1], EPERM]


def test_tcp_can_be_spoken_but_not_served():
    server = socket.create_server(("127.0.0.1", 0))

    def body():
        _confine()
        with socket.create_connection(server.getsockname()) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.send(b"hello")
            refused = [
                error_of(lambda: client.sendto(b"x", server.getsockname())),
                error_of(lambda: client.send(b"x", socket.MSG_FASTOPEN)),
                error_of(lambda: client.send(b"x", socket.MSG_OOB)),
                error_of(lambda: client.sendmsg([b"x"])),
                error_of(lambda: client.recvmsg(10)),
                error_of(lambda: client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")),
                error_of(lambda: client.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\0" * 4)),
                error_of(lambda: client.setsockopt(socket.IPPROTO_TCP, 31, b"tls\0")),
                error_of(lambda: client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)),
            ]
        with socket.socket() as other:
            refused += [error_of(lambda: other.bind(("127.0.0.1", 0))), error_of(other.listen)]
        return refused

    with server:
        assert in_child(body) == [EPERM] * 9 + [EACCES] * 2
        accepted, _ = server.accept()
        with accepted:
            assert accepted.recv(10) == b"hello"


def test_gate_mode_leaves_the_metadata_of_others_alone(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")

    def body(*, gate_mode):
        _confine(gate_mode=gate_mode)
        with open(file, "rb") as opened:
            return [
                error_of(lambda: os.chmod(file, 0o600)),
                error_of(lambda: os.chmod(opened.fileno(), 0o600)),
                error_of(lambda: os.utime(file, (1, 1))),
            ]

    assert in_child(lambda: body(gate_mode=True)) == [EPERM] * 3
    assert in_child(lambda: body(gate_mode=False)) == [0] * 3


def test_connect_waits_for_the_listener_and_gets_the_socket_handed_in():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def body():
        listener = seccomp.install(seccomp.listener_filter(ARCHITECTURE), listener=True)
        theirs.sendmsg([b"l"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))])
        os.close(listener)
        _confine()  # the second filter does not take the first one's question away
        with socket.socket() as client:
            client.connect(("192.0.2.1", 1))
            return client.recv(100).decode()

    with ours, theirs:
        import threading

        answer = []
        child = threading.Thread(target=lambda: answer.append(in_child(body)))
        child.start()
        _, descriptors, _, _ = socket.recv_fds(ours, 10, 1)
        listener = Listener(descriptors[0])
        assert select.select([listener], [], [], 20)[0]
        notification = listener.receive()
        assert notification is not None
        assert notification.number == TABLE["connect"]
        inside, outside = socket.socketpair()
        with inside, outside:
            outside.send(b"handed in")
            listener.put_descriptor(notification, inside.fileno(), at=notification.arguments[0])
            listener.answer(notification, 0)
            child.join()
        listener.close()
    assert answer == ["handed in"]


def test_a_second_listener_is_refused():
    def body():
        seccomp.install(seccomp.listener_filter(ARCHITECTURE), listener=True)
        return error_of(lambda: seccomp.install(seccomp.listener_filter(ARCHITECTURE), listener=True))

    assert in_child(body) == errno.EBUSY


if ARCHITECTURE.name == "x86_64":

    def test_x32_calls_end_the_process():
        def body(without):
            _confine(without=without)
            return _number(0x40000000 | TABLE["getpid"])

        def _number(number):
            ctypes.set_errno(0)
            libc.syscall(number)
            return ctypes.get_errno()

        assert in_child(lambda: body(frozenset())) == {"killed by": -signal.SIGSYS}
        # Without the rule the kernel itself answers: with the pid, or ENOSYS where it was built without x32.
        assert in_child(lambda: body(frozenset({Rule.X32}))) in {0, ENOSYS}


@pytest.mark.parametrize("foreign", [each for each in ARCHITECTURES if each != ARCHITECTURE.name])
@pytest.mark.parametrize("strict", [True, False])
def test_the_other_processors_filter_loads_and_ends_what_is_foreign_to_it(foreign, strict):
    """The kernel checks each instruction when it loads them; then this processor is the foreign one."""

    def body():
        other = ARCHITECTURES[foreign]
        program = (
            seccomp.strict_filter(other, own_pid=os.getpid(), gate_mode=False)
            if strict
            else seccomp.listener_filter(other)
        )
        os.write(writing, b"about to load")
        seccomp.install(program, listener=False)

    reading, writing = os.pipe()
    assert in_child(body) == {"killed by": -signal.SIGSYS}
    assert os.read(reading, 100) == b"about to load"
    os.close(reading)
    os.close(writing)


_WORK = r"""
const fs = require('fs'), crypto = require('crypto'), zlib = require('zlib'), os = require('os');
const { Worker } = require('worker_threads');
const folder = fs.mkdtempSync(process.env.SCRATCH + '/n');
fs.writeFileSync(folder + '/a', 'x'); fs.copyFileSync(folder + '/a', folder + '/b'); fs.renameSync(folder + '/b', folder + '/c');
fs.chmodSync(folder + '/a', 0o600); fs.rmSync(folder, { recursive: true });
crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' }); zlib.gunzipSync(zlib.gzipSync('x'));
const wasm = Buffer.from('0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b', 'hex');
(async () => {
  const { instance } = await WebAssembly.instantiate(wasm);
  await crypto.subtle.digest('SHA-256', Buffer.from('x'));
  await fs.promises.readdir('/');
  const said = await new Promise((resolve, reject) => {
    const worker = new Worker("require('worker_threads').parentPort.postMessage(7)", { eval: true });
    worker.on('message', resolve); worker.on('error', reject);
  });
  const answer = await (await fetch(process.env.SERVER)).text();
  const { address } = await require('dns').promises.lookup('localhost');
  const spawned = require('child_process').spawnSync('/bin/true').error.code;
  console.log(JSON.stringify([instance.exports.add(2, 3), said, answer, address.length > 2, spawned, os.cpus().length >= 0]));
})();
"""


def test_node_works_under_the_strict_filter(tmp_path):
    """Files, threads, WebAssembly, cryptography, HTTP and names; and nothing on stderr."""
    node = find_node()
    server = socket.create_server(("127.0.0.1", 0))
    program = (
        "import os, sys\n"
        "from tenterhook.sandbox.jail import filter as seccomp, libc\n"
        "from tenterhook.sandbox.jail.syscalls import ARCHITECTURES, current_architecture\n"
        "libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)\n"
        "code = seccomp.strict_filter(current_architecture(), own_pid=os.getpid(), gate_mode=False)\n"
        "seccomp.install(code, listener=False)\n"
        "os.execve(sys.argv[1], [sys.argv[1], '-e', sys.argv[2]], dict(os.environ))\n"
    )
    port = server.getsockname()[1]
    with (
        server,
        subprocess.Popen(
            [sys.executable, "-c", program, str(node.path), _WORK],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"SCRATCH": str(tmp_path), "SERVER": f"http://127.0.0.1:{port}/"},
        ) as process,
    ):
        server.settimeout(60)
        accepted, _ = server.accept()
        with accepted:
            accepted.recv(65536)
            accepted.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        out, errors = process.communicate(timeout=60)
    assert errors == b""
    assert out.strip() == b'[5,7,"ok",true,"EACCES",true]'
