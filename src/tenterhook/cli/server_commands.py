"""The serving programs: ``serve`` is everything in one process, ``api`` and ``worker`` are its two halves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tenterhook import settings as settings_module
from tenterhook.cli.crossing import command
from tenterhook.cli.failures import CommandError, ExitCode
from tenterhook.cli.listening import bind, serving, stop_requested, tls_files, url_of
from tenterhook.cli.options import Data, Host, Port, TLSCert, TLSKey
from tenterhook.cli.server_address import record_server_url
from tenterhook.cli.structured_logging import configure_logging
from tenterhook.cli.terminal import say
from tenterhook.settings import Settings

if TYPE_CHECKING:  # with it would come the whole product; see _serve
    from tenterhook.sandbox import SandboxStatus

PANEL = "Run"


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    program.command(rich_help_panel=PANEL)(serve)
    program.command(rich_help_panel=PANEL)(api)
    program.command(rich_help_panel=PANEL)(worker)


@command
async def serve(
    data: Data = None,
    host: Host = None,
    port: Port = None,
    tls_cert: TLSCert = None,
    tls_key: TLSKey = None,
) -> None:
    """Run API and worker in one process, on the embedded database unless DATABASE_URL is set.

    The data folder needs `tenterhook init` once. SIGTERM or Ctrl-C stops it in order: no new requests, open ones
    answered, open runs finished, database stopped.
    """
    settings = _load(data, host, port, tls_cert, tls_key)
    await _serve(settings, worker=True)


@command
async def api(
    data: Data = None,
    host: Host = None,
    port: Port = None,
    tls_cert: TLSCert = None,
    tls_key: TLSKey = None,
) -> None:
    """Run the API alone; workers elsewhere share its DATABASE_URL."""
    settings = _load(data, host, port, tls_cert, tls_key)
    await _serve(settings, worker=False)


@command
async def worker(data: Data = None) -> None:
    """Run a worker alone: it executes hooks and serves nothing.

    SIGTERM or Ctrl-C lets open runs finish for TENTERHOOK_DRAIN_TIMEOUT_SECONDS; the rest is taken over by others.
    """
    from tenterhook.application import open_application  # noqa: PLC0415 - see _serve

    settings = settings_module.load(data_dir=data)
    configure_logging(settings.log_format, settings.log_level)
    async with (
        stop_requested() as stopping,
        open_application(settings, api=False, worker=True) as application,
    ):
        say_sandbox(application.sandbox)
        say("Waiting for runs." if application.sandbox.hooks_run else "Not waiting for runs; see above.")
        await wait_for_first(stopping, application.ended)
    _must_have_been_asked(stopping)


def _load(
    data: Path | None, host: str | None, port: int | None, tls_cert: Path | None, tls_key: Path | None
) -> Settings:
    settings = settings_module.load(data_dir=data, host=host, port=port, tls_cert=tls_cert, tls_key=tls_key)
    configure_logging(settings.log_format, settings.log_level)
    return settings


async def _serve(settings: Settings, *, worker: bool) -> None:
    # The whole product comes with this import; a command that only asks the API answers sooner without it.
    from tenterhook.application import open_application  # noqa: PLC0415 - as said above

    tls = tls_files(settings.tls_cert, settings.tls_key)
    # First of all, because a taken port is the most usual reason why a start fails, and databases start slowly.
    with bind(settings.host, settings.port) as bound:
        url = url_of(bound, tls=tls is not None)
        async with (
            stop_requested() as stopping,
            open_application(settings, api=True, worker=worker) as application,
            serving(
                application.asgi,
                bound,
                tls=tls,
                trusted_proxies=settings.trusted_proxies,
                drain_timeout_seconds=settings.drain_timeout_seconds,
            ) as ended,
        ):
            if settings.database_url is None:
                record_server_url(settings.data_dir, url)
            say_sandbox(application.sandbox)
            say(f"Listening on {url}")
            await wait_for_first(stopping, ended, application.ended)
    _must_have_been_asked(stopping)


def say_sandbox(sandbox: SandboxStatus) -> None:
    """Show what protects hooks here: quietly where all holds, in red where none does."""
    for line in sandbox.lines():
        say(line, style="bold red" if sandbox.tier == 0 else "yellow" if sandbox.missing else None)


def _must_have_been_asked(stopping: asyncio.Event) -> None:
    """Tell a service manager that this end was nobody's wish, so that it starts the program again."""
    if not stopping.is_set():
        raise CommandError("A part of the server ended by itself; its log says why.", ExitCode.SERVER)


async def wait_for_first(*events: asyncio.Event) -> None:
    """Return when one of the events is set."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
