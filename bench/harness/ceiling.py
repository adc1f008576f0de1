"""The ceiling: a server that only hashes, with the product's hasher and the product's HTTP server.

It reads the body, hashes the password and answers as briefly as the product does. What the product manages of its
sign-ups per second is the share that is left after everything else a registration takes.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import uvloop

from tenterhook.cli.listening import bind, serving, stop_requested, url_of
from tenterhook.directory import PasswordHasher


class HashOnly:
    """An ASGI application."""

    def __init__(self, hasher: PasswordHasher) -> None:
        self._hasher = hasher

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        del scope  # one path, one method
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        asked = json.loads(body)
        await self._hasher.hash(asked["password"])
        answer = json.dumps({"_id": "0" * 24, "email": asked["email"], "email_verified": False}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


async def _main() -> None:
    hasher = PasswordHasher()
    with bind("127.0.0.1", 0) as bound:
        async with (
            stop_requested() as stopping,
            serving(HashOnly(hasher), bound, drain_timeout_seconds=5),
        ):
            print(f"Listening on {url_of(bound, tls=False)}", flush=True)
            await stopping.wait()
    hasher.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main())
