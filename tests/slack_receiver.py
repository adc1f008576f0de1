"""A receiver that speaks Slack's incoming-webhook protocol on loopback, over http or https, and remembers all."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import urllib.parse
from pathlib import Path
from typing import Any, Self


class SlackReceiver:
    """Answers ``ok`` to every message; ``messages`` holds them in the order they came."""

    def __init__(self, *, certificate: Path | None = None, key: Path | None = None) -> None:
        self.messages: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._tls = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate, key)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.port = 0

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/services/T000/B000/XXXX"

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(30)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def wait_for(self, number: int, seconds: float) -> None:
        """Wait until so many different messages have come."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.different()) >= number, seconds)
        assert came, f"{len(self.different())} of {number} messages came"

    def different(self) -> set[str]:
        return {str(message.get("text")) for message in self.messages}

    async def _open(self) -> None:
        self._connections: set[asyncio.StreamWriter] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls, backlog=1000)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        for writer in list(self._connections):
            writer.transport.abort()
        await self._server.wait_closed()
        while self._connections:
            await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
                body = await _read_body(reader, headers)
                self._take(head[0], headers, body)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the sender is gone: killed, or done
        finally:
            writer.close()
            self._connections.discard(writer)

    def _take(self, request: str, headers: dict[str, str], body: bytes) -> None:
        assert request.startswith("POST /services/T000/B000/XXXX"), request
        text = body.decode()
        if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            text = dict(urllib.parse.parse_qsl(text)).get("payload", text)
        with self._changed:
            self.messages.append(json.loads(text))
            self._changed.notify_all()


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body
