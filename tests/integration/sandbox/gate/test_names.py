"""The DNS as Node sees it: getaddrinfo and c-ares, unpatched, with us as their only name server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import textwrap
from ipaddress import ip_address
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from tenterhook.egress import Rules
from tenterhook.sandbox.gate import Resolver
from tenterhook.sandbox.gate.resolver import Missing
from tenterhook.sandbox.node_binary import find_node

from .conftest import SERVERS, policy

ADDRESSES = {
    "web.example.test": ["127.0.0.5", "::1"],
    "old.example.test": ["127.0.0.5"],
    "internal.example.test": ["10.1.2.3", "fd00::7"],
    "mixed.example.test": ["10.1.2.3", "127.0.0.5"],
    "database.example.test": ["127.0.0.5"],
    "single": ["127.0.0.5"],
}
RECORDS = {
    ("_http._tcp.example.test.", "SRV"): ["0 5 80 web.example.test."],
    ("example.test.", "TXT"): ['"hello" "world"'],
    ("example.test.", "MX"): ["10 mail.example.test."],
    ("example.test.", "NS"): ["ns.example.test."],
    ("example.test.", "SOA"): ["ns.example.test. root.example.test. 1 2 3 4 5"],
    ("example.test.", "CAA"): ['0 issue "ca.example"'],
    ("alias.example.test.", "CNAME"): ["web.example.test."],
    ("example.test.", "NAPTR"): ['1 2 "s" "x" "" .'],
    ("large.example.test.", "TXT"): [f'"{"x" * 250}{number:03}"' for number in range(40)],
}
GRANTS = ("127.0.0.5:*", "[::1]:*", "127.0.0.1:*")


def look_up(name):
    if name == "silent.example.test":
        return Missing.NO_ANSWER
    found = ADDRESSES.get(name)
    return Missing.NO_SUCH_NAME if found is None else tuple(map(ip_address, found))


class _Zone(asyncio.DatagramProtocol):
    """The host's name server: UDP; an answer that is too long for that goes over TCP."""

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(answer(data, 1232), addr)


def answer(wire, size):
    question = dns.message.from_wire(wire)
    response = dns.message.make_response(question, recursion_available=True)
    (asked,) = question.question
    found = RECORDS.get((asked.name.to_text(), dns.rdatatype.to_text(asked.rdtype)))
    if found is None:
        response.set_rcode(dns.rcode.NXDOMAIN)
    else:
        response.answer.append(dns.rrset.from_text_list(asked.name, 60, "IN", asked.rdtype, found))
    with contextlib.suppress(dns.exception.TooBig):
        return response.to_wire(max_size=size)
    truncated = dns.message.make_response(question)
    truncated.flags |= dns.flags.TC
    return truncated.to_wire()


async def _serve_tcp(reader, writer):
    length = int.from_bytes(await reader.readexactly(2), "big")
    wire = answer(await reader.readexactly(length), 65535)
    writer.write(len(wire).to_bytes(2, "big") + wire)
    await writer.drain()
    writer.close()


@pytest.fixture
async def resolver(tmp_path: Path):
    """A resolver that asks a name server of the test's."""
    async with contextlib.AsyncExitStack() as stack:
        # TCP first: many of its ports are taken for a while by connections that are over, of UDP's hardly any.
        server = await asyncio.start_server(_serve_tcp, "127.0.0.1", 0)
        stack.push_async_callback(server.wait_closed)
        stack.callback(server.close)
        port = server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(_Zone, local_addr=("127.0.0.1", port))
        stack.callback(transport.close)
        (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        made = Resolver(lookup=look_up, resolv_conf=tmp_path / "resolv.conf", port=port)
        stack.callback(made.close)
        yield made


@pytest.fixture
def node(gated, resolver, tmp_path):
    """Run JavaScript in Node, with a resolv.conf of its own or (gate mode) the machine's."""
    (tmp_path / "inside.conf").write_text("nameserver 127.0.0.1\noptions use-vc\n")

    async def start(javascript, *, gate_mode=False, **more):
        before = f"""
        if not {gate_mode}:
            libc.unshare(0x20000 | (0x10000000 if os.geteuid() else 0))
            libc.mount("none", "/", None, libc.MS_REC | libc.MS_PRIVATE)
            libc.mount({str(tmp_path / "inside.conf")!r}, "/etc/resolv.conf", None, libc.MS_BIND)
        """
        options = {"RES_OPTIONS": "use-vc"} if gate_mode else {}
        program = textwrap.dedent("""
            const dns = require('dns'), http = require('http'), net = require('net');
            const say = (...values) => process.stdout.write(JSON.stringify(values) + '\\n');
            const attempt = async promise => { try { return await promise } catch (error) { return error.code } };
            (async () => { %s })();
        """)
        argv = [str(find_node().path), "-e", program % javascript]
        code = f"os.execve({argv[0]!r}, json.loads({json.dumps(json.dumps(argv))}), {options!r})"
        more.setdefault("policy", policy(*GRANTS))
        more.setdefault("servers", _servers_of_the_machine() if gate_mode else SERVERS)
        return await gated(code, before=before, resolver=resolver, **more)

    return start


def _servers_of_the_machine():
    lines = Path("/etc/resolv.conf").read_text().splitlines()
    named = [line.split()[1] for line in lines if line.startswith("nameserver")]
    return {(ip_address(address), 53) for address in [*named, "127.0.0.1"]}


EVERYTHING = """
    const p = dns.promises;
    say('lookup', await attempt(p.lookup('web.example.test', {all: true, order: 'ipv4first'})));
    say('lookup4', await attempt(p.lookup('web.example.test', 4)));
    say('lookup6', await attempt(p.lookup('web.example.test', 6)));
    say('only4', await attempt(p.lookup('old.example.test', {all: true})));
    say('only4 as 6', await attempt(p.lookup('old.example.test', 6)));
    say('resolve4', await attempt(p.resolve4('web.example.test')));
    say('resolve6', await attempt(p.resolve6('web.example.test')));
    say('only4 resolve6', await attempt(p.resolve6('old.example.test')));
    say('ttl', await attempt(p.resolve4('web.example.test', {ttl: true})));
    say('srv', await attempt(p.resolveSrv('_http._tcp.example.test')));
    say('txt', await attempt(p.resolveTxt('example.test')));
    say('mx', await attempt(p.resolveMx('example.test')));
    say('ns', await attempt(p.resolveNs('example.test')));
    say('soa', (await attempt(p.resolveSoa('example.test'))).serial);
    say('caa', await attempt(p.resolveCaa('example.test')));
    say('cname', await attempt(p.resolveCname('alias.example.test')));
    say('naptr', (await attempt(p.resolveNaptr('example.test'))).length);
    say('large', (await attempt(p.resolveTxt('large.example.test'))).length);
    say('missing', await attempt(p.lookup('nobody.example.test')));
    say('missing4', await attempt(p.resolve4('nobody.example.test')));
    say('missing txt', await attempt(p.resolveTxt('nobody.example.test')));
    say('any', await attempt(p.resolveAny('web.example.test')));
    say('own resolver', await attempt(new p.Resolver().resolve4('web.example.test')));
    say('single label', await attempt(p.resolve4('single')));
    say('callback', await new Promise(done => dns.lookup('web.example.test', 4, (error, found) => done(found))));
    say('many', (await Promise.all(Array.from({length: 50}, () => attempt(p.lookup('web.example.test', 4))))).length);
    say('many of c-ares', (await Promise.all(Array.from({length: 50}, () => attempt(p.resolve4('web.example.test'))))).flat().length);
"""
ANSWERS = {
    "lookup": [{"address": "127.0.0.5", "family": 4}, {"address": "::1", "family": 6}],
    "lookup4": {"address": "127.0.0.5", "family": 4},
    "lookup6": {"address": "::1", "family": 6},
    "only4": [{"address": "127.0.0.5", "family": 4}],
    "only4 as 6": "ENOTFOUND",
    "resolve4": ["127.0.0.5"],
    "resolve6": ["::1"],
    "only4 resolve6": "ENODATA",
    "ttl": [{"address": "127.0.0.5", "ttl": 30}],
    "srv": [{"name": "web.example.test", "port": 80, "priority": 0, "weight": 5}],
    "txt": [["hello", "world"]],
    "mx": [{"exchange": "mail.example.test", "priority": 10}],
    "ns": ["ns.example.test"],
    "soa": 1,
    "caa": [{"critical": 0, "issue": "ca.example"}],
    "cname": ["web.example.test"],
    "naptr": 1,
    "large": 40,
    "missing": "ENOTFOUND",
    "missing4": "ENOTFOUND",
    "missing txt": "ENOTFOUND",
    "any": "ENOTIMP",
    "own resolver": ["127.0.0.5"],
    "single label": ["127.0.0.5"],
    "callback": "127.0.0.5",
    "many": 50,
    "many of c-ares": 50,
}


@pytest.mark.parametrize("gate_mode", [False, True])
async def test_node_resolves_names(node, gate_mode):
    process = await node(EVERYTHING, gate_mode=gate_mode)
    said = dict(await process.lines())
    for answers in (said.get("srv"), said.get("mx"), said.get("caa")):
        for each in answers if isinstance(answers, list) else ():
            each.pop("type", None)
    assert said == ANSWERS
    assert [told for told in process.told.connections if told.allowed] == []


async def _answer_http(reader, writer):
    with contextlib.suppress(asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def test_fetch_by_name(node):
    server = await asyncio.start_server(_answer_http, "127.0.0.5", 0)
    port = server.sockets[0].getsockname()[1]
    process = await node(f"""
        say(await attempt(fetch('http://old.example.test:{port}/').then(answer => answer.text())));
        say(await new Promise(done => http.get('http://web.example.test:{port}/', answer => done(answer.statusCode))));
        const one = net.connect({port}, 'old.example.test');
        say(await new Promise(done => one.on('connect', () => done(one.remoteAddress)).on('error', done)));
        one.destroy();
    """)
    assert await process.lines() == [["ok"], [200], ["127.0.0.5"]]
    server.close()
    await server.wait_closed()
    told = {(told.address, told.names) for told in process.told.connections if told.allowed}
    assert ("127.0.0.5", ("old.example.test",)) in told


async def test_names_that_lead_inside_do_not_exist_and_are_reported(node):
    process = await node("""
        say(await attempt(dns.promises.lookup('internal.example.test')));
        say(await attempt(dns.promises.resolve6('internal.example.test')));
        say(await attempt(dns.promises.resolve4('mixed.example.test')));
    """)
    assert await process.lines() == [["ENOTFOUND"], ["ENOTFOUND"], [["127.0.0.5"]]]
    told = {(told.name, told.record_type): told for told in process.told.names}
    assert told["internal.example.test", "A"].addresses == ("10.1.2.3",)
    assert told["internal.example.test", "AAAA"].addresses == ("fd00::7",)
    assert told["mixed.example.test", "A"].addresses == ("10.1.2.3",)
    assert told["internal.example.test", "A"].setting == "TENTERHOOK_EGRESS_ALLOW"


async def test_granted_internal_names_are_told(node):
    process = await node(
        "say(await attempt(dns.promises.resolve4('internal.example.test')));",
        policy=policy(*GRANTS, "10.0.0.0/8:8080"),
    )
    assert await process.lines() == [[["10.1.2.3"]]]
    by_name = await node(
        "say(await attempt(dns.promises.resolve4('internal.example.test')));",
        policy=policy("internal.example.test:8080"),
    )
    assert await by_name.lines() == [[["10.1.2.3"]]]


async def test_names_off_the_hooks_list_are_refused(node):
    only = policy(*GRANTS, rules=Rules.of("enforce", ["web.example.test"]))
    process = await node(
        """
        say(await attempt(dns.promises.lookup('old.example.test')));
        say(await attempt(dns.promises.resolveTxt('secrets.evil.test')));
        say(await attempt(dns.promises.resolve4('web.example.test')));
    """,
        policy=only,
    )
    assert await process.lines() == [["ENOTFOUND"], ["EREFUSED"], [["127.0.0.5"]]]
    assert {told.reason for told in process.told.names} == {"name_not_listed"}


async def test_silent_name_server_is_a_passing_trouble(node):
    process = await node("say(await attempt(dns.promises.lookup('silent.example.test')));")
    assert await process.lines() == [["EAI_AGAIN"]]


async def test_addresses_of_the_machine_itself_come_from_the_machine():
    """Through the real getaddrinfo: the hosts file knows localhost."""
    resolver = Resolver()
    assert ip_address("127.0.0.1") in await resolver.look_up("localhost")
    resolver.close()
