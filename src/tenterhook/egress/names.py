"""Names: one host name has one form: lower-case ASCII, without the dot at its end.

Two readers, because two kinds of people write names. ``host_name`` reads what somebody typed into a list and explains
what is wrong with it; ``queried_name`` reads what a hook's process put into a DNS question and expects anything.

Letters outside ASCII become the ``xn--`` form that Node's own ``URL`` and ``dns`` give them (UTS 46 without its
transitional forms: ``straße.de`` is ``xn--strae-oqa.de``). Python's ``idna`` codec follows the standard of 2003 and
would make ``strasse.de`` of it: another host, perhaps another owner. What the standards read differently, or what
only looks like a dot or a digit, is refused with the advice to write the ``xn--`` form.
"""

from __future__ import annotations

import re
import unicodedata

MAX_NAME_LENGTH = 253
MAX_LABEL_LENGTH = 63

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")
# What resolvers and WHATWG's URL take for a number, so for the end of an IPv4 address: 10, 0x7f, 0x.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class NameProblem(ValueError):  # noqa: N818 - never leaves this package: the reader of a list turns it into an error
    """Why a text is no host name, to follow the text and a colon."""


def host_name(text: str) -> str:
    """Return the one form of a host name that somebody typed.

    Raises:
        NameProblem: it is none.
    """
    name = ".".join(_ascii_label(label) for label in text.removesuffix(".").split("."))
    if len(name) > MAX_NAME_LENGTH:
        raise NameProblem(f"a host name has at most {MAX_NAME_LENGTH} characters")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        raise NameProblem("an IPv4 address is four decimal numbers without leading zeros, such as 10.1.2.3")
    return name


def _ascii_label(text: str) -> str:
    if not text:
        raise NameProblem("between two dots, and before the first, there must be something")
    label = text.lower() if text.isascii() else _encoded(text)
    if len(label) > MAX_LABEL_LENGTH:
        raise NameProblem(f"between two dots there are at most {MAX_LABEL_LENGTH} characters")
    if not _LABEL.fullmatch(label):
        raise NameProblem("a host name is made of letters, digits and hyphens, with dots between")
    return label


def _encoded(text: str) -> str:
    """Return a label's ``xn--`` form.

    Lower case is taken letter by letter: Python's ``lower`` of a whole word knows the Greek final sigma, UTS 46 does
    not.
    """
    label = unicodedata.normalize("NFC", "".join(letter.lower() for letter in text))
    certain = (
        not label.isascii()  # the Kelvin sign is a k in disguise
        and not label.startswith("xn--")
        and unicodedata.is_normalized("NFKC", label)
        and all(letter.lower() in {letter, letter.casefold()} for letter in text)
        and all(letter == "-" or unicodedata.category(letter)[0] in "LMN" for letter in label)
        and unicodedata.category(label[0])[0] != "M"
    )
    if not certain:
        raise NameProblem("write this name in its ASCII form (xn--…), as it can be read in more than one way")
    return f"xn--{label.encode('punycode').decode('ascii')}"


def queried_name(text: str) -> str | None:
    """Return the one form of a name in a DNS question; None: it is no name of a host or a service."""
    if not text.isascii():  # asked before lower(), which makes a k of the Kelvin sign
        return None
    name = text.removesuffix(".").lower()
    if len(name) > MAX_NAME_LENGTH:
        return None
    labels = name.split(".")
    if any(len(label) > MAX_LABEL_LENGTH or not _LABEL.fullmatch(label) for label in labels):
        return None
    return name


def without_service(name: str) -> str:
    """Return the host of a service's name: ``example.com`` for ``_mongodb._tcp.example.com`` (RFC 2782)."""
    while name.startswith("_") and "." in name:
        name = name.partition(".")[2]
    return name


def reverse_address(name: str) -> str | None:
    """Return the address of a canonical reverse name (``1.2.0.192.in-addr.arpa``); None: not of one whole address."""
    labels = name.split(".")[:-2]
    if name.endswith(".in-addr.arpa") and len(labels) == 4:
        return ".".join(reversed(labels))
    if name.endswith(".ip6.arpa") and len(labels) == 32 and all(len(label) == 1 for label in labels):
        digits = "".join(reversed(labels))
        return ":".join(digits[start : start + 4] for start in range(0, 32, 4))
    return None
