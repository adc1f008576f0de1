"""Listening: one socket, one HTTP server on it, and an orderly end.

    bind (before anything slow: a taken port is said at once) ─► listen ─► serve ─► stop accepting ─► answer what is open

The socket is bound early but listens late: until the application can answer, a connection is refused, which clients
and load balancers understand, instead of left hanging.

uvicorn's own signal handling is off: stopping has an order that reaches beyond the web server, and it is the caller's
(``stop_requested``). A first SIGTERM or SIGINT asks for that order; a second one has its ordinary effect.
"""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from tenterhook.cli.failures import CommandError, ExitCode, PortTakenError
from tenterhook.errors import ConfigurationError

_BACKLOG = 2048
_WILDCARDS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised here, not bound


@dataclass(frozen=True, kw_only=True)
class TLSFiles:
    """What a server needs to speak https."""

    cert: Path
    """Certificate chain, PEM."""
    key: Path
    """Private key, PEM."""


def tls_files(cert: Path | None, key: Path | None) -> TLSFiles | None:
    """Return both files when both are given and usable, None when neither is given.

    Raises:
        ConfigurationError: one is missing, or they cannot be used together.
    """
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise ConfigurationError("https needs both: a certificate (--tls-cert) and its key (--tls-key).")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"The certificate {cert} and the key {key} cannot be used: {error}."
        ) from error
    return TLSFiles(cert=cert, key=key)


def bind(host: str, port: int) -> socket.socket:
    """Return a bound socket that does not listen yet; port 0 takes a free one.

    Raises:
        PortTakenError: another program has the port.
        CommandError: the address is not one of this machine's, or the port needs other rights.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise CommandError(f"The address {host!r} cannot be listened on: {error.strerror}.") from error
    bound = socket.socket(family, kind, protocol)
    try:
        # So that a restart does not wait for the last connections of the previous process to be forgotten.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise _cannot_bind(host, port, error) from error
    return bound


def _cannot_bind(host: str, port: int, error: OSError) -> CommandError:
    if error.errno == errno.EADDRINUSE:
        return PortTakenError(host, port)
    if error.errno == errno.EACCES:
        return CommandError(
            f"Port {port} needs more rights than this user has. Choose one from 1024 up with --port or "
            "TENTERHOOK_PORT.",
            ExitCode.CANNOT_START,
        )
    return CommandError(
        f"{host}:{port} cannot be listened on: {error.strerror}. See TENTERHOOK_HOST and TENTERHOOK_PORT.",
        ExitCode.CANNOT_START,
    )


def url_of(bound: socket.socket, *, tls: bool) -> str:
    """Return the URL at which this machine reaches a bound socket."""
    host, port = bound.getsockname()[:2]
    host = _WILDCARDS.get(host, host)
    authority = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{authority}:{port}"


class HTTPServer(uvicorn.Server):
    """uvicorn without its signal handlers, and with an event for the moment it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answering = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever runs this server."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets=sockets)
        self.answering.set()


@asynccontextmanager
async def serving(
    application: Any,
    bound: socket.socket,
    *,
    tls: TLSFiles | None = None,
    trusted_proxies: str = "",
    drain_timeout_seconds: float,
) -> AsyncIterator[asyncio.Event]:
    """Serve an ASGI application on a bound socket inside the block; leaving it answers what is open first.

    Yields an event that is set when the server has ended by itself.

    Raises:
        PortTakenError: another program began to listen between ``bind`` and now.
    """
    try:
        bound.listen(_BACKLOG)
    except OSError as error:
        host, port = bound.getsockname()[:2]
        raise _cannot_bind(host, port, error) from error
    server = HTTPServer(
        uvicorn.Config(
            application,
            loop="none",  # we are in one already
            http="httptools",
            ws="none",
            lifespan="off",  # the application is opened and closed around the server, not by it
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(trusted_proxies),
            forwarded_allow_ips=trusted_proxies,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=max(1, round(drain_timeout_seconds)),
            ssl_certfile=str(tls.cert) if tls else None,
            ssl_keyfile=str(tls.key) if tls else None,
        )
    )
    ended = asyncio.Event()
    running = asyncio.create_task(server.serve(sockets=[bound]), name="http-server")
    running.add_done_callback(lambda _done: ended.set())
    answering = asyncio.create_task(server.answering.wait(), name="http-server-answering")
    await asyncio.wait({running, answering}, return_when=asyncio.FIRST_COMPLETED)
    answering.cancel()
    try:
        yield ended
    finally:
        server.should_exit = True
        await running


@asynccontextmanager
async def stop_requested() -> AsyncIterator[asyncio.Event]:
    """Yield an event that SIGTERM or SIGINT sets; the second signal is not caught any more."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT)

    def stop() -> None:
        stopping.set()
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, stop)
    try:
        yield stopping
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
