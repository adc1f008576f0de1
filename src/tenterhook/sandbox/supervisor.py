"""The supervisor: a program between the host and its Node processes. It decides what they may connect to.

    host ── control (packets) ── supervisor ── control ── zygote ── clone ──► Node process
                                     └── one Gate per Node process: connect(2) and names, judged and answered

It is a process of its own, so that connections are judged off the API's event loop, and so that whoever can open sockets for
hooks has no database, no secrets and no keys: it starts with an empty environment and is told only paths, numbers and
addresses. It has no state that matters: when it dies, every Node process dies with it, and the host starts another.

    host ─ spawn {id, plan, policy, max_connections} + channel, stderr · assign {id, token, policy, modules} · end
    host ◄─ spawned {id, pid} + pidfd · failed {id, error} · exited {id, status, oom_kills} · assigned {id, token, error?}
    host ◄─ connection {id, …} · outcome {id, sequence, …} · name {id, …} · unreported {id, refused}
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import os
import resource
import signal
import socket
import time
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tenterhook import egress
from tenterhook.sandbox import zygote
from tenterhook.sandbox.gate import Connection, Gate, NameServer, RefusedName, Resolver
from tenterhook.sandbox.jail import libc, wire
from tenterhook.sandbox.jail.plan import Ground, Mode
from tenterhook.sandbox.jail.protections import Protection

PATIENCE_SECONDS = 5.0
"""How long the zygote may take to end all processes and to remove their cgroups."""
OPEN_FILES = 65_536
"""Descriptors that supervisor and zygote may have, if the system lets them: a process needs up to eight, and its names more."""


@dataclasses.dataclass(kw_only=True)
class _Charge:
    """A Node process that the supervisor looks after."""

    number: int
    policy: egress.Policy
    max_connections: int
    pid: int | None = None
    listener: int | None = None
    """The gate's descriptor, when it came before the pid."""
    gate: Gate | None = None
    names: NameServer | None = None


class _Reporter:
    """Tells the host what one process tried; called on any thread, because a packet is sent whole."""

    def __init__(self, host: socket.socket, number: int) -> None:
        self._host = host
        self._number = number

    def connection(self, connection: Connection) -> None:
        self._send("connection", dataclasses.asdict(connection))

    def outcome(self, sequence: int, *, established: bool | None) -> None:
        self._send("outcome", {"sequence": sequence, "established": established})

    def refused_name(self, refused: RefusedName) -> None:
        self._send("name", dataclasses.asdict(refused))

    def unreported(self, refused: int) -> None:
        self._send("unreported", {"refused": refused})

    def _send(self, event: str, fields: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the host has gone; so do we
            wire.send(self._host, {"event": event, "id": self._number, **fields})


class Supervisor:
    """Serves one host on one event loop."""

    def __init__(
        self, ground: Ground, host: socket.socket, zygote_end: socket.socket, listeners: socket.socket
    ) -> None:
        """Take the sockets; ``serve`` begins."""
        self._ground = ground
        self._host = host
        self._zygote = zygote_end
        self._listeners = listeners
        self._charges: dict[int, _Charge] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._name_servers = frozenset((address, 53) for address in _name_servers(ground))

    async def serve(self) -> None:
        """Answer until the host or the zygote is gone."""
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        self._resolver = Resolver()
        for end, handler in (
            (self._host, self._on_host),
            (self._zygote, self._on_zygote),
            (self._listeners, self._on_listener),
        ):
            loop.add_reader(end, self._guarded, handler)
        await self._over
        for charge in list(self._charges.values()):
            self._dismiss(charge)
        await asyncio.gather(*self._closing)
        self._resolver.close()

    def _guarded(self, handler: Callable[[], None]) -> None:
        """Handle a message; a supervisor that fails at that ends, and all processes with it, before it misjudges."""
        try:
            handler()
        except Exception:  # noqa: BLE001 - whatever it was, it is said, and the host starts another supervisor
            traceback.print_exc()
            self._end()

    def _end(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    # -- The host

    def _on_host(self) -> None:
        message, descriptors = wire.receive(self._host)
        if message is None:
            self._end()
            return
        try:
            match message["do"]:
                case "spawn":
                    self._spawn(message, descriptors)
                case "assign":
                    self._assign(message)
                case "end":
                    self._end()
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _spawn(self, message: dict[str, Any], descriptors: list[int]) -> None:
        number = message["id"]
        self._charges[number] = _Charge(
            number=number,
            policy=self._policy(message["policy"]),
            max_connections=message["max_connections"],
        )
        wire.send(self._zygote, {"do": "spawn", "id": number, "plan": message["plan"]}, descriptors)

    def _assign(self, message: dict[str, Any]) -> None:
        charge = self._charges.get(message["id"])
        if charge is None:  # it ended meanwhile, which the host will see
            return
        if message["policy"] is not None:
            charge.policy = self._policy(message["policy"])
            if charge.gate is not None:
                charge.gate.set_policy(charge.policy)
        if not message["modules"]:  # nothing to mount: it need not wait for what else the zygote is doing
            wire.send(self._host, {"event": "assigned", "id": charge.number, "token": message["token"]})
            return
        wire.send(
            self._zygote,
            {
                "do": "mount",
                "id": charge.number,
                "token": message["token"],
                "modules": message["modules"],
            },
        )

    def _policy(self, value: dict[str, Any]) -> egress.Policy:
        if not self._ground.holds(Protection.EGRESS_POLICY):
            return egress.Policy(grants=egress.parse_grants("0.0.0.0/0:*, [::]/0:*"))
        return egress.Policy.from_json(value)

    # -- The zygote

    def _on_zygote(self) -> None:
        message, descriptors = wire.receive(self._zygote)
        if message is None:
            self._end()
            return
        try:
            charge = self._charges.get(message["id"])
            match message["event"]:
                case "spawned" if charge is not None:
                    charge.pid = message["pid"]
                    self._open_gate(charge)
                case "failed" | "exited" if charge is not None:
                    del self._charges[charge.number]
                    self._dismiss(charge)
            if message["event"] == "mounted":
                message["event"] = "assigned"
            wire.send(self._host, message, descriptors)
        except BrokenPipeError:
            self._end()
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    # -- Gates

    def _on_listener(self) -> None:
        packet, descriptors = wire.receive_packet(self._listeners)
        if not packet:
            return
        charge = self._charges.get(int(packet))
        if charge is None or charge.listener is not None or charge.gate is not None or len(descriptors) != 1:
            for descriptor in descriptors:
                os.close(descriptor)
            return
        charge.listener = descriptors[0]
        self._open_gate(charge)

    def _open_gate(self, charge: _Charge) -> None:
        """Begin to answer a process, as soon as both its pid and its descriptor are here, in either order."""
        if charge.pid is None or charge.listener is None:
            return
        reporter = _Reporter(self._host, charge.number)
        names = charge.names = NameServer(
            resolver=self._resolver, policy=charge.policy, report=reporter, servers=self._name_servers
        )
        listener, charge.listener = charge.listener, None
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            charge.gate = Gate(
                listener,
                charge.pid,
                policy=charge.policy,
                names=names,
                report=reporter,
                max_connections=charge.max_connections,
            )
            charge.gate.open()
            self._look_after(self._tell_if_broken(charge.gate, charge.number))

    async def _tell_if_broken(self, gate: Gate, number: int) -> None:
        """Say when a gate has failed: its process connects nowhere any more, and nobody else would notice."""
        try:
            await gate.closed()
        except Exception as error:  # noqa: BLE001 - whatever broke it
            traceback.print_exc()
            with contextlib.suppress(OSError):
                wire.send(
                    self._host, {"event": "broken", "id": number, "error": f"{type(error).__name__}: {error}"}
                )

    def _dismiss(self, charge: _Charge) -> None:
        if charge.listener is not None:
            os.close(charge.listener)
        self._look_after(_close(charge))

    def _look_after(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _close(charge: _Charge) -> None:
    if charge.gate is not None:
        charge.gate.close()
        with contextlib.suppress(Exception):  # told by ``_tell_if_broken``
            await asyncio.wait_for(charge.gate.closed(), PATIENCE_SECONDS)
    if charge.names is not None:
        await charge.names.close()


def _name_servers(ground: Ground) -> set[egress.Address]:
    """Return whom a process believes to be its name server: connections there are answered by us.

    A jail's own resolv.conf names 127.0.0.1, which is also what libraries take that find none; in gate mode the host's
    is read.
    """
    found: set[egress.Address] = {ipaddress.ip_address("127.0.0.1")}
    if ground.mode is Mode.GATE:
        with contextlib.suppress(OSError):
            for line in Path("/etc/resolv.conf").read_text(encoding="utf-8", errors="replace").splitlines():
                words = line.split()
                if len(words) > 1 and words[0] == "nameserver":
                    with contextlib.suppress(ValueError):
                        found.add(ipaddress.ip_address(words[1]))
    return found


def main(control: int) -> None:
    """Be the supervisor of the host that left its end of the control socket as this descriptor."""
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it ends with its host, which drains first
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    host = socket.socket(fileno=control)
    os.set_inheritable(control, False)
    message, _descriptors = wire.receive(host)
    if message is None:
        return
    ground = Ground.from_json(message)
    ours, zygotes = wire.pair()
    listeners, listeners_end = wire.pair()
    zygote_pid = os.fork()
    if zygote_pid == 0:
        for end in (host, ours, listeners):
            end.close()
        zygote.run(ground, zygotes, listeners_end)
    zygotes.close()
    listeners_end.close()
    asyncio.run(Supervisor(ground, host, ours, listeners).serve())
    # Our end would be its end at once, before it has removed the control groups. It ends when its socket does.
    ours.close()
    _wait_for(zygote_pid)


def _wait_for(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and os.waitpid(pid, os.WNOHANG) == (0, 0):
        time.sleep(0.005)
