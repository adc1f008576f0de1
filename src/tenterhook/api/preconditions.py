"""``If-Match``: the state that a change is based on (RFC 9110, 13.1.1).

A route takes the header as ``if_match: IfMatch = None``, and makes its change within ``answering_412``.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator
from typing import Annotated

from fastapi import Header

from tenterhook.api.errors import PreconditionFailedError
from tenterhook.hooks import ANY_STATE, HookChangedError

_TAG = re.compile(r'(W/)?("[^"]*")')

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match", max_length=1000, description="The `ETag` that the change is based on; else 412."
    ),
]


def entity_tags(header: str | None) -> Collection[str] | None:
    """Return the strong tags of an ``If-Match``; None where there is no such header.

    Weak tags never match; so a header of nothing but those fits no state.
    """
    if header is None:
        return None
    if header.strip() == ANY_STATE:
        return {ANY_STATE}
    return {tag for weak, tag in _TAG.findall(header) if not weak}


@contextlib.contextmanager
def answering_412() -> Iterator[None]:
    """Answer with 412 where the change turns out to be based on an older state."""
    try:
        yield
    except HookChangedError as error:
        raise PreconditionFailedError(error.message) from error
