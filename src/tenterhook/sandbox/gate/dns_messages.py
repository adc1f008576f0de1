"""DNS messages: what a process asked, and what it is told. dnspython reads and writes them; here is what we take.

A question that dnspython cannot read gets ``FORMERR`` with its number, as long as it has one. We take one question
in one message (nobody sends more, RFC 9619), of class ``IN``, and no ``ANY`` (RFC 8482) nor other meta types.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from tenterhook.egress import Address

LONGEST_QUESTION = 512
"""Bytes; a question is a name of at most 255 and some options."""
SHORTEST_QUESTION = 12
"""Bytes: the header alone."""
LONGEST_ANSWER = 65535
"""What the length of two bytes can say."""
ANSWER_SECONDS = 30
"""Time to live of addresses that we tell; what lies behind them may have lived shorter or longer."""

_MOST_RECORDS = 4
_HEADER = struct.Struct(">HHHHHH")
_RESPONSE_BITS = 0x8000


class Unanswerable(Exception):  # noqa: N818 - an answer, not an error
    """A message that is answered with a code alone; ``answer`` is that answer."""

    def __init__(self, answer: bytes) -> None:
        super().__init__("this message is answered with a code alone")
        self.answer = answer


def read_question(wire: bytes) -> dns.message.Message:
    """Return a message with exactly one question that may be looked at.

    Raises:
        Unanswerable: it is something else.
    """
    _check_counts(wire)
    try:
        message = dns.message.from_wire(wire, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):  # ValueError: a text inside that is none
        (number, *_) = _HEADER.unpack_from(wire)
        raise Unanswerable(_HEADER.pack(number, _RESPONSE_BITS | dns.rcode.FORMERR, 0, 0, 0, 0)) from None
    if message.flags & dns.flags.QR or not isinstance(message, dns.message.QueryMessage):
        raise Unanswerable(_code_alone(message, dns.rcode.NOTIMP))
    if len(message.question) != 1:
        raise Unanswerable(_code_alone(message, dns.rcode.FORMERR))
    (question,) = message.question
    if question.rdclass != dns.rdataclass.IN:
        raise Unanswerable(answer(message, dns.rcode.REFUSED))
    transfer = question.rdtype in {dns.rdatatype.AXFR, dns.rdatatype.IXFR}
    if dns.rdatatype.is_metatype(question.rdtype) and not transfer:  # transfers are the policy's to refuse
        raise Unanswerable(answer(message, dns.rcode.NOTIMP))
    return message


def _check_counts(wire: bytes) -> None:
    """Look at the header before anything is read: hundreds of compressed names in one message would take a tenth of a second."""
    number, flags, questions, answers, authorities, extras = _HEADER.unpack_from(wire)
    if (
        not flags & _RESPONSE_BITS
        and (flags >> 11) & 0xF == 0
        and (questions != 1 or answers or authorities or extras > 1)
    ):
        raise Unanswerable(_HEADER.pack(number, _RESPONSE_BITS | dns.rcode.FORMERR, 0, 0, 0, 0))
    if max(questions, answers, authorities, extras) > _MOST_RECORDS:
        raise Unanswerable(_HEADER.pack(number, _RESPONSE_BITS | dns.rcode.FORMERR, 0, 0, 0, 0))


def _code_alone(message: dns.message.Message, code: dns.rcode.Rcode) -> bytes:
    return _HEADER.pack(
        message.id, _RESPONSE_BITS | dns.opcode.to_flags(message.opcode()) | int(code), 0, 0, 0, 0
    )


def asked(message: dns.message.Message) -> tuple[str, str]:
    """Return name and type of the question, the name in lower case without the last dot; the root is empty."""
    (question,) = message.question
    name = question.name.to_text(omit_final_dot=True).lower()
    return "" if name == "." else name, dns.rdatatype.to_text(question.rdtype)


def answer(
    message: dns.message.Message,
    code: dns.rcode.Rcode = dns.rcode.NOERROR,
    records: Iterable[dns.rrset.RRset] = (),
) -> bytes:
    """Return the answer to a question, as bytes."""
    response = dns.message.make_response(message, recursion_available=True)
    response.set_rcode(code)
    response.answer.extend(records)
    try:
        return response.to_wire(max_size=LONGEST_ANSWER)
    except dns.exception.TooBig:
        return answer(message, dns.rcode.SERVFAIL)


def address_records(message: dns.message.Message, addresses: Iterable[Address]) -> list[dns.rrset.RRset]:
    """Return the records that say: the name asked for has these addresses."""
    (question,) = message.question
    texts = [str(address) for address in addresses]
    if not texts:
        return []
    return [
        dns.rrset.from_text_list(question.name, ANSWER_SECONDS, dns.rdataclass.IN, question.rdtype, texts)
    ]
