"""Where a request came from, as flows and logs want it."""

from __future__ import annotations

from fastapi import Request

from tenterhook.flows import Origin

_LONGEST_LANGUAGE = 256


def origin_of(request: Request) -> Origin:
    """Return address, browser and language of the request; a proxy's word counts only where it is trusted."""
    language = request.headers.get("accept-language")
    return Origin(
        ip=request.client.host if request.client is not None else None,
        user_agent=request.headers.get("user-agent"),
        language=language[:_LONGEST_LANGUAGE] if language else None,
    )
