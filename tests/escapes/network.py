"""Attempts on the network: addresses that nobody was granted, protocols other than TCP, and the gate itself.

Most go to a listener on this machine's loopback, which no hook may reach; it says when somebody came.
"""

from __future__ import annotations

from tenterhook.sandbox.jail.protections import Protection
from tests.escapes.attempt import NAMESPACES, Attempt, Mode, Need, reached

NETWORK = frozenset(
    {Protection.NETWORK_NAMESPACE, Protection.CONNECT_GATE, Protection.SECCOMP, Protection.LANDLOCK}
)
"""No network of its own, connect(2) answered outside, other calls refused, TCP refused by Landlock."""
POLICY = frozenset({Protection.EGRESS_POLICY})

_CONNECT = """
    const socket = require('net').connect({ %s });
    socket.on('connect', () => told(true, 'connected')).on('error', (error) => told(false, error.code));"""

_FORMS = {
    "the loopback address": "host: '127.0.0.1'",
    "another loopback address": "host: '127.1.2.3'",
    "loopback as an IPv4-mapped address": "host: '::ffff:127.0.0.1'",
    "loopback as a hexadecimal IPv4-mapped address": "host: '::ffff:7f00:1'",
    "the IPv6 loopback address": "host: '::1'",
    "the unspecified address": "host: '0.0.0.0'",
    "the IPv6 unspecified address": "host: '::'",
    "loopback by its name": "host: 'localhost'",
    "loopback as one number": "host: '2130706433'",
    "loopback in octal": "host: '0177.0.0.1'",
    "loopback with fewer parts": "host: '127.1'",
}
_UNREACHABLE = {
    "the cloud's metadata service": "169.254.169.254",
    "a private network (10)": "10.0.0.1",
    "a private network (172.16)": "172.16.0.1",
    "a private network (192.168)": "192.168.1.1",
    "the carrier's network": "100.64.0.1",
    "link-local IPv6": "fe80::1",
    "unique local IPv6": "fc00::1",
    "6to4 of loopback": "2002:7f00:1::",
    "NAT64 of loopback": "64:ff9b::7f00:1",
    "Teredo": "2001::1",
    "multicast": "224.0.0.1",
    "broadcast": "255.255.255.255",
}
_SOCKETS = {
    "a UDP socket": "2, 2, 0",
    "an IPv6 UDP socket": "10, 2, 0",
    "a local socket": "1, 1, 0",
    "a netlink socket": "16, 3, 0",
    "an MPTCP socket": "2, 1, 262",
    "a UDP-Lite socket": "2, 2, 136",
}
_MAYBE = {
    "an SCTP socket": "2, 1, 132",
    "an SMC socket": "43, 1, 0",
    "a vsock socket": "40, 1, 0",
    "a socket of the kernel's cryptography": "38, 5, 0",
    "a TIPC socket": "30, 1, 0",
    "an RDS socket": "21, 5, 0",
    "an ATM socket": "8, 2, 0",
    "a Bluetooth socket": "31, 3, 3",
    "a CAN socket": "29, 3, 1",
    "a QIPCRTR socket": "42, 2, 0",
}
_ROOTS = {"a raw socket": "2, 3, 1", "a packet socket": "17, 3, 0", "an XDP socket": "44, 3, 0"}

ATTEMPTS = [
    *(
        Attempt(
            name=f"connect to {name}",
            code=_CONNECT % f"{address}, port: host.port",
            # No grant is for these; a machine that routes them to itself shows that they matter.
            removed=POLICY | (NETWORK if "unspecified" in name else frozenset()),
            escaped=reached,
        )
        for name, address in _FORMS.items()
    ),
    *(
        Attempt(
            name=f"connect to {name}",
            code=f"""
                const socket = require('net').connect({{ host: '{address}', port: 9 }});
                socket.on('connect', () => told(true, 'connected')).on('error', (error) => told(!['EACCES', 'EPERM'].includes(error.code), error.code));
                setTimeout(() => told(true, 'on its way'), 300);""",
            removed=POLICY,
            proven=frozenset(),
            why="No test may send a packet there. The same answer of the same gate is proven with loopback.",
        )
        for name, address in _UNREACHABLE.items()
    ),
    Attempt(
        name="connect past Node",
        code="const result = connected(inet(host.port)); told(result >= 0, word(result))",
        removed=POLICY,
        escaped=reached,
    ),
    Attempt(
        name="connect past Node and the gate",
        code="const result = connected(inet(host.port)); told(result >= 0, word(result))",
        removed=NETWORK,
        escaped=reached,
    ),
    Attempt(
        name="connect with fetch",
        code="const answer = await fetch(`http://127.0.0.1:${host.port}/`).then((each) => each.status, (error) => error.cause?.code ?? error.message); told(answer === 200, answer)",
        removed=POLICY,
        escaped=reached,
    ),
    Attempt(
        name="connect from another thread",
        code="""
            const { Worker } = require('worker_threads');
            const worker = new Worker(`require('net').connect(${host.port}, '127.0.0.1').on('connect', () => process.exit(0)).on('error', () => process.exit(1))`, { eval: true });
            worker.on('exit', (code) => told(code === 0, code)).on('error', (error) => told(false, error.message));""",
        removed=POLICY,
        escaped=reached,
        memory_mib=512,
    ),
    Attempt(
        name="change the address while the gate looks at it",
        code="const result = native.race(inet(host.granted), inet(host.port), 16, 1500); told(result > 0, result)",
        removed=POLICY,
        escaped=reached,
    ),
    Attempt(
        name="change the address behind the gate",
        code="const result = native.race(inet(host.granted), inet(host.port), 16, 1500); told(result > 0, result)",
        removed=NETWORK,
        escaped=reached,
    ),
    Attempt(
        name="connect with an address that is too short, too long or of another family",
        code="""
            const handle = sys('socket', 2, 1, 0), results = [];
            for (const length of [0, 2, 8, 15, 127, 128, 129, 4096, -1]) results.push(sys('connect', handle, Buffer.concat([inet(host.port), Buffer.alloc(4096)]), length));
            for (const family of [0, 1, 3, 10, 16, 17, 40, 65535]) { const to = inet(host.port); to.writeUInt16LE(family, 0); results.push(sys('connect', handle, to, 16)); }
            results.push(sys('connect', handle, 0, 16), sys('connect', handle, -1n & 0xffffffffffffffffn, 16), sys('connect', 3, inet(host.port), 16), sys('connect', 0, inet(host.port), 16));
            told(results.some((result) => result === 0), results.map(word))""",
        removed=NETWORK,
        escaped=reached,
    ),
    Attempt(
        name="send with a connect inside (MSG_FASTOPEN)",
        code="""
            const handle = sys('socket', 2, 1, 0);
            const result = sys('sendto', handle, 'x', 1, 0x20000000, inet(host.port), 16);
            await later(50);
            told(result > 0, word(result))""",
        removed=NETWORK,
        escaped=reached,
    ),
    Attempt(
        name="send to an address with sendto",
        code="""
            const handle = sys('socket', 2, 2, 0);
            const result = sys('sendto', handle < 0 ? sys('socket', 2, 1, 0) : handle, 'x', 1, 0, inet(host.port), 16);
            await later(50);
            told(result > 0, word(result))""",
        removed=NETWORK,
        escaped=reached,
    ),
    *(
        Attempt(
            name=f"send to an address with {name}",
            code=f"""
                const handle = sys('socket', 2, 2, 0), one = message({{ to: inet(host.port) }});
                const result = sys('{name}', handle < 0 ? sys('socket', 2, 1, 0) : handle, {arguments});
                await later(50);
                told(result > 0, word(result))""",
            removed=NETWORK,
            escaped=reached,
        )
        for name, arguments in {
            "sendmsg": "one, 0",
            "sendmmsg": "Buffer.concat([one, Buffer.alloc(8)]), 1, 0",
        }.items()
    ),
    Attempt(
        name="send a datagram with Node",
        code="""
            const socket = require('dgram').createSocket('udp4');
            socket.on('error', (error) => told(false, error.code));
            socket.send('x', host.port, '127.0.0.1', (error) => { socket.close(); told(!error, error?.code ?? 'sent'); });""",
        removed=NETWORK,
        escaped=reached,
    ),
    Attempt(
        name="connect when the first byte is sent (TCP_FASTOPEN_CONNECT)",
        code="""
            const handle = sys('socket', 2, 1, 0);
            const option = sys('setsockopt', handle, 6, 30, Buffer.from([1, 0, 0, 0]), 4);
            const result = sys('connect', handle, inet(host.port), 16);
            sys('write', handle, 'x', 1);
            await later(50);
            told(option === 0 && result === 0, [option, result].map(word))""",
        removed=NETWORK,
        escaped=reached,
    ),
    Attempt(
        name="listen with Node",
        code="require('net').createServer().listen(0, function () { this.close(); told(true, 'listening'); }).on('error', (error) => told(false, error.code))",
        removed=NETWORK,
    ),
    Attempt(
        name="listen without binding",
        code="const handle = sys('socket', 2, 1, 0), result = sys('listen', handle, 1); told(result === 0, word(result))",
        removed=NETWORK,
    ),
    Attempt(
        name="open a port for the inspector",
        code="const inspector = require('inspector'); inspector.open(0, '127.0.0.1'); const url = inspector.url(); inspector.close(); told(url !== undefined, url)",
        removed=NETWORK,
    ),
    Attempt(
        name="connect to a local socket of the machine",
        code=_CONNECT % "path: host.path",
        removed=NETWORK | {Protection.MOUNT_NAMESPACE},
        escaped=reached,
    ),
    Attempt(
        name="connect to an abstract socket of the machine",
        code="const result = connected(local('@' + host.abstract)); told(result >= 0, word(result))",
        removed=NETWORK,
        escaped=reached,
    ),
    Attempt(
        name="connect to the container engine's socket",
        code="""
            const results = ['/var/run/docker.sock', '/run/docker.sock', '/run/containerd/containerd.sock', '/run/podman/podman.sock', '/run/dbus/system_bus_socket'].map((path) => connected(local(path)));
            told(results.some((result) => result >= 0), results.map(word))""",
        removed=NETWORK | {Protection.MOUNT_NAMESPACE},
        proven=frozenset(),
        why="The machine may have none; a socket of this test's is connected to above.",
    ),
    Attempt(
        name="ask a name that leads to loopback",
        code="""
            require('dns').lookup('localhost.', { all: true }, (error, found) => {
              if (error) return told(false, error.code);
              require('net').connect(host.port, found[0].address).on('connect', () => told(true, 'connected')).on('error', (failed) => told(false, failed.code));
            });""",
        removed=POLICY,
        escaped=reached,
    ),
    *(
        Attempt(
            name=f"open {name}",
            code=f"const result = sys('socket', {arguments}); if (result >= 0) sys('close', result); told(result >= 0, word(result))",
            removed=NETWORK,
        )
        for name, arguments in _SOCKETS.items()
    ),
    *(
        Attempt(
            name=f"open {name}",
            code=f"const result = sys('socket', {arguments}); if (result >= 0) sys('close', result); told(considered(result), word(result))",
            removed=NETWORK,
            proven=frozenset() if "vsock" in name else frozenset(Mode),
            why="Docker's default profile and some kernels refuse it too." if "vsock" in name else "",
        )
        for name, arguments in _MAYBE.items()
    ),
    *(
        Attempt(
            name=f"open {name}",
            code=f"const result = sys('socket', {arguments}); if (result >= 0) sys('close', result); told(result >= 0, word(result))",
            removed=NETWORK | {Protection.OWN_UID, Protection.CAPABILITIES},
            proven=frozenset({Mode.ROOT}),
            why="The kernel wants CAP_NET_RAW for it.",
            needs=frozenset({Need.ROOT}),
        )
        for name, arguments in _ROOTS.items()
    ),
    Attempt(
        name="make a pair of sockets",
        code="call('socketpair', 1, 1, 0, Buffer.alloc(8))",
        removed=NETWORK,
    ),
    Attempt(
        name="see the machine's addresses",
        code="""
            const found = Object.values(require('os').networkInterfaces()).flat().map((each) => each.address);
            told(found.length > 0, found)""",
        removed=NETWORK,
    ),
    Attempt(
        name="see the machine's name",
        code="told(!['hook', 'localhost'].includes(require('os').hostname()), require('os').hostname())",
        removed=frozenset({Protection.UTS_NAMESPACE}),
        held=NAMESPACES,
        proven=NAMESPACES,
        why="Without namespaces it is the container's name.",
    ),
]
