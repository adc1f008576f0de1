"""A sockaddr, byte by byte."""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenterhook.sandbox.gate.destinations import Destination, Unserved, parse


def ipv4(host: str, port: int) -> bytes:
    return struct.pack("=H", socket.AF_INET) + struct.pack(">H", port) + socket.inet_aton(host) + bytes(8)


def ipv6(host: str, port: int, scope: int = 0, flow: int = 0) -> bytes:
    packed = socket.inet_pton(socket.AF_INET6, host)
    return (
        struct.pack("=H", socket.AF_INET6)
        + struct.pack(">HI", port, flow)
        + packed
        + struct.pack("=I", scope)
    )


@pytest.mark.parametrize(
    ("raw", "address", "port"),
    [
        (ipv4("93.184.216.34", 443), "93.184.216.34", 443),
        (ipv4("127.0.0.1", 0), "127.0.0.1", 0),
        (ipv4("255.255.255.255", 65535), "255.255.255.255", 65535),
        (ipv4("10.0.0.1", 1) + bytes(112), "10.0.0.1", 1),
        (ipv4("10.0.0.1", 1)[:8] + b"anything", "10.0.0.1", 1),
        (ipv6("2001:db8::1", 443), "2001:db8::1", 443),
        (ipv6("::ffff:10.0.0.1", 80), "::ffff:10.0.0.1", 80),
        (ipv6("::1", 80, flow=0xFFFFFFFF), "::1", 80),
        (ipv6("::1", 80)[:24], "::1", 80),
        (ipv6("::1", 80)[:27], "::1", 80),
    ],
)
def test_addresses(raw, address, port):
    found = parse(raw)
    assert isinstance(found, Destination)
    assert (found.address, found.port) == (ip_address(address), port)
    assert found.family == (socket.AF_INET6 if isinstance(found.address, IPv6Address) else socket.AF_INET)


@pytest.mark.parametrize(
    ("raw", "number", "worth_telling"),
    [
        (b"", errno.EINVAL, False),
        (b"\2", errno.EINVAL, False),
        (ipv4("1.2.3.4", 1)[:15], errno.EINVAL, False),
        (ipv6("::1", 1)[:23], errno.EINVAL, False),
        (ipv6("fe80::1", 1, scope=2), errno.EACCES, True),
        (bytes(16), errno.EAFNOSUPPORT, True),
        (struct.pack("=H", socket.AF_UNIX), errno.EACCES, True),
        (struct.pack("=H", socket.AF_UNIX) + b"\0abstract", errno.EACCES, True),
        (struct.pack("=H", socket.AF_UNIX) + b"/var/run/nscd/socket\0", errno.EACCES, False),
        (struct.pack("=H", socket.AF_UNIX) + b"/var/run/nscd/socket2\0", errno.EACCES, True),
        (struct.pack("=H", 40) + bytes(14), errno.EAFNOSUPPORT, True),
        (struct.pack(">H", socket.AF_INET) + bytes(14), errno.EAFNOSUPPORT, True),
    ],
)
def test_what_is_not_served(raw, number, worth_telling):
    found = parse(raw)
    assert isinstance(found, Unserved)
    assert found.errno == number
    assert (found.explanation is not None) == worth_telling


@given(st.binary(max_size=128))
def test_anything_is_something(raw):
    found = parse(raw)
    assert isinstance(found, Destination) or found.errno in {errno.EINVAL, errno.EACCES, errno.EAFNOSUPPORT}
