"""Messages that programs send, and messages that nobody sends."""

from __future__ import annotations

import contextlib
import struct
from ipaddress import ip_address

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rrset
import dns.update
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenterhook.sandbox.gate import dns_messages
from tenterhook.sandbox.gate.dns_messages import Unanswerable


def question(name: str = "www.example.com.", kind: str = "A", **more) -> dns.message.QueryMessage:
    return dns.message.make_query(name, kind, **{"id": 0x1234, **more})


def code_of(wire: bytes) -> dns.rcode.Rcode:
    with pytest.raises(Unanswerable) as caught:
        dns_messages.read_question(wire)
    number, flags, *_ = struct.unpack_from(">HHHHHH", caught.value.answer)
    assert number == int.from_bytes(wire[:2], "big")
    assert flags & 0x8000
    return dns.rcode.Rcode(flags & 0xF)


def test_question_is_read():
    message = dns_messages.read_question(question("WWW.Example.COM.", "AAAA").to_wire())
    assert dns_messages.asked(message) == ("www.example.com", "AAAA")


def test_the_root_has_an_empty_name():
    assert dns_messages.asked(question(".", "NS")) == ("", "NS")


def test_answer_keeps_question_number_and_letters():
    asked = question("wWw.Example.com.", "A")
    records = dns_messages.address_records(asked, [ip_address("192.0.2.1"), ip_address("192.0.2.2")])
    response = dns.message.from_wire(dns_messages.answer(asked, records=records))
    assert response.id == asked.id
    assert response.question[0].name.to_text() == "wWw.Example.com."
    assert response.flags & dns.flags.RA and response.flags & dns.flags.RD
    assert sorted(each.to_text() for each in response.answer[0]) == ["192.0.2.1", "192.0.2.2"]


def test_extended_question_gets_an_extended_answer():
    asked = question(use_edns=0, payload=4096)
    assert dns.message.from_wire(dns_messages.answer(asked)).edns == 0
    assert dns.message.from_wire(dns_messages.answer(question())).edns == -1


def test_no_addresses_is_an_empty_answer():
    response = dns.message.from_wire(dns_messages.answer(question(), records=[]))
    assert response.rcode() == dns.rcode.NOERROR and not response.answer


def test_answer_that_is_too_long_is_a_failure():
    records = [
        dns.rrset.from_text(
            "www.example.com.", 1, "IN", "TXT", *[f'"{"x" * 250}{number}"' for number in range(400)]
        )
    ]
    response = dns.message.from_wire(dns_messages.answer(question(kind="TXT"), records=records))
    assert response.rcode() == dns.rcode.SERVFAIL


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (bytes(12), dns.rcode.FORMERR),
        (b"\1\2" + b"\xff" * 10, None),
        (b"\1\2\1\0\0\1\0\0\0\0\0\0", dns.rcode.FORMERR),
        (b"\1\2\1\0\0\1\0\0\0\0\0\0" + b"\xc0\x0c\0\1\0\1", dns.rcode.FORMERR),
        (b"\1\2\1\0\0\1\0\0\0\0\0\0" + b"\x3fx", dns.rcode.FORMERR),
        (question("example.com.", "ANY").to_wire(), dns.rcode.NOTIMP),
        (question("version.bind.", "TXT", rdclass="CH").to_wire(), dns.rcode.REFUSED),
        (dns.message.make_response(question()).to_wire(), dns.rcode.NOTIMP),
        (dns.update.UpdateMessage("example.com.", id=0x1234).to_wire(), dns.rcode.NOTIMP),
    ],
)
def test_what_is_not_answered(wire, code):
    found = code_of(wire)
    assert code is None or found == code


def test_two_questions_are_one_too_many():
    twice = question()
    twice.question.append(question("b.example.", "A").question[0])
    assert code_of(twice.to_wire()) == dns.rcode.FORMERR


@given(st.binary(min_size=12, max_size=200))
def test_anything_gets_an_answer_or_is_a_question(wire):
    with contextlib.suppress(Unanswerable):
        message = dns_messages.read_question(wire)
        dns_messages.asked(message)
        assert dns_messages.answer(message, dns.rcode.NXDOMAIN)
