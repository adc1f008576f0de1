"""Attempts with a socket that the supervisor handed in: it lives in the machine's own network, whatever surrounds it."""

from __future__ import annotations

from typing import Any

from tenterhook.sandbox.jail.protections import Protection
from tests.escapes.attempt import Attempt, Mode, Need, reached

GATE = frozenset(
    {Protection.CONNECT_GATE, Protection.SECCOMP, Protection.LANDLOCK, Protection.NETWORK_NAMESPACE}
)
_POLICY = frozenset({Protection.EGRESS_POLICY})

_HANDED = "const handle = connected(inet(host.granted)); if (handle < 0) throw new Error('not granted: ' + word(handle));"


def _with_handed(name: str, code: str, **more: Any) -> Attempt:
    values: dict[str, Any] = {"removed": GATE, **more}
    return Attempt(name=name, code=f"{_HANDED}\n{code}", **values)


ATTEMPTS = [
    _with_handed(
        "connect a handed-in socket again, to another address",
        """
            const to = inet(host.port), loose = Buffer.alloc(16), results = [];
            results.push(sys('connect', handle, to, 16), sys('shutdown', handle, 2), sys('connect', handle, to, 16));
            results.push(sys('connect', handle, loose, 16), sys('connect', handle, to, 16));
            for (let tries = 0; tries < 20 && word(results.at(-1)) !== '0'; tries += 1) { await later(5); results.push(sys('connect', handle, to, 16)); }
            told(results.at(-1) === 0, results.map(word).slice(0, 8))""",
        escaped=reached,
    ),
    _with_handed(
        "dissolve the connection of a handed-in socket (AF_UNSPEC)",
        "const results = [sys('connect', handle, Buffer.alloc(16), 16), sys('getpeername', handle, Buffer.alloc(128), Buffer.from([128, 0, 0, 0]))]; told(results[0] === 0 && word(results[1]) === 'ENOTCONN', results.map(word))",
    ),
    _with_handed(
        "listen on a handed-in socket",
        "sys('connect', handle, Buffer.alloc(16), 16); const results = [sys('bind', handle, inet(0), 16), sys('listen', handle, 1)]; told(results.some((result) => result === 0), results.map(word))",
    ),
    _with_handed(
        "send elsewhere through a handed-in socket",
        """
            const one = message({ to: inet(host.port) });
            sys('connect', handle, Buffer.alloc(16), 16);
            const results = [sys('sendto', handle, 'x', 1, 0x20000000, inet(host.port), 16), sys('sendmsg', handle, one, 0x20000000)];
            await later(50);
            told(results.some((result) => result > 0), results.map(word))""",
        escaped=reached,
    ),
    *(
        _with_handed(
            f"set {name} on a handed-in socket",
            f"const result = sys('setsockopt', handle, {arguments}); told(result === 0 || (considered(result) && !['ENOPROTOOPT'].includes(word(result))), word(result))",
            removed=frozenset({Protection.SECCOMP}),
        )
        for name, arguments in {
            "SO_LOCK_FILTER": "1, 44, Buffer.from([1, 0, 0, 0]), 4",
            "SO_MARK or SO_BINDTODEVICE": "1, 25, 'lo', 3",
            "SO_PEEK_OFF": "1, 42, Buffer.from([1, 0, 0, 0]), 4",
            "SO_REUSEPORT": "1, 15, Buffer.from([1, 0, 0, 0]), 4",
            "IP_OPTIONS (source routing)": "0, 4, Buffer.from([1, 1, 1, 1]), 4",
            "TCP_ULP (kernel modules)": "6, 31, 'tls', 3",
            "TCP_CONGESTION": "6, 13, 'reno', 4",
            "TCP_MD5SIG": "6, 14, Buffer.alloc(216), 216",
            "IP_MTU_DISCOVER": "0, 10, Buffer.from([0, 0, 0, 0]), 4",
            "SO_ZEROCOPY": "1, 60, Buffer.from([1, 0, 0, 0]), 4",
        }.items()
    ),
    _with_handed(
        "take a handed-in socket into repair mode",
        "const result = sys('setsockopt', handle, 6, 19, Buffer.from([1, 0, 0, 0]), 4); told(result === 0, word(result))",
        removed=frozenset({Protection.SECCOMP, Protection.OWN_UID, Protection.CAPABILITIES}),
        proven=frozenset({Mode.ROOT}),
        why="The kernel wants CAP_NET_ADMIN for it.",
        needs=frozenset({Need.ROOT}),
    ),
    _with_handed(
        "ask the machine's network through a handed-in socket",
        """
            const list = Buffer.alloc(16), found = Buffer.alloc(4096);
            list.writeInt32LE(4096, 0); list.writeBigUInt64LE(native.address(found), 8);
            const result = sys('ioctl', handle, 0x8912, list);
            told(result === 0 && list.readInt32LE(0) > 0, word(result))""",
        removed=frozenset({Protection.SECCOMP}),
    ),
    _with_handed(
        "ask who is at the other end of the channel",
        "const who = Buffer.alloc(12); const result = sys('getsockopt', 3, 1, 17, who, Buffer.from([12, 0, 0, 0])); told(result === 0, [word(result), who.readInt32LE(0)])",
        removed=frozenset({Protection.SECCOMP}),
    ),
    _with_handed(
        "be told of urgent data by a signal to another process",
        "const result = sys('fcntl', handle, 8, process.ppid || 1); told(result === 0, word(result))",
        removed=frozenset(
            {
                Protection.SECCOMP,
                Protection.LANDLOCK,
                Protection.PID_NAMESPACE,
                Protection.OWN_UID,
                Protection.CAPABILITIES,
            }
        ),
    ),
    _with_handed(
        "send urgent data",
        "const result = sys('sendto', handle, 'x', 1, 1, 0, 0); told(result === 1, word(result))",
        removed=frozenset({Protection.SECCOMP}),
    ),
    Attempt(
        name="send a descriptor through the channel",
        code="const result = sys('sendmsg', 3, message({ data: Buffer.alloc(0), control: rights(0) }), 0x4000); told(result >= 0, word(result))",
        removed=frozenset({Protection.SECCOMP}),
    ),
    Attempt(
        name="receive a descriptor through the channel",
        code="""
            const result = sys('recvmsg', 3, message({ data: Buffer.alloc(1), control: Buffer.alloc(64) }), 0x42);
            told(considered(result), word(result))""",
        removed=frozenset({Protection.SECCOMP}),
    ),
    Attempt(
        name="connect the channel to something else",
        code="const results = [sys('connect', 3, local('@' + host.abstract), 2 + 1 + host.abstract.length), sys('connect', 3, Buffer.alloc(16), 16)]; told(results.some((result) => result === 0), results.map(word))",
        removed=GATE,
        proven=frozenset(),
        why="A connected pair cannot be connected again.",
    ),
]
