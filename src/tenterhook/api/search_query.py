"""``q=type:"sapi" AND client_id:abc``: the part of Lucene's language that management clients use.

Terms ``field:value`` joined by AND (or by nothing); a value with blanks stands in double quotes. OR, NOT, ranges and
wildcards are refused, not passed over: an answer to another question would be worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from tenterhook.api.validation import QUERY_ERROR_CODE
from tenterhook.errors import InvalidInputError

_TERM = re.compile(
    r'\s*(?P<name>[A-Za-z_.]+):(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s"()\[\]{}*?]+))(?=\s|$)'
)
_AND = re.compile(r"\s+AND(?=\s)")
_MOST_TERMS = 20


class InvalidQueryError(InvalidInputError):
    """The query cannot be used."""

    code = QUERY_ERROR_CODE


def parse_search_query(text: str, fields: Collection[str]) -> list[tuple[str, str]]:
    """Return the terms of a query as pairs of field and value.

    Raises:
        InvalidQueryError: not in the language above, or a field that is not in ``fields``.
    """
    terms: list[tuple[str, str]] = []
    position = 0
    while text[position:].strip():
        if terms and (joined := _AND.match(text, position)):
            position = joined.end()
        term = _TERM.match(text, position)
        if term is None or len(terms) == _MOST_TERMS:
            raise _refusal('expected field:"value" terms joined by AND', fields)
        if term["name"] not in fields:
            raise _refusal(f"cannot search by {term['name'][:50]}", fields)
        quoted = term["quoted"]
        terms.append((term["name"], term["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)))
        position = term.end()
    return terms


def _refusal(reason: str, fields: Collection[str]) -> InvalidQueryError:
    known = ", ".join(fields)
    return InvalidQueryError(f"Query validation error: '{reason}' on property q (fields: {known}).")
