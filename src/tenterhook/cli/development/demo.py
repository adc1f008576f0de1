"""The demo of ``tenterhook start``, from an empty folder to a run on the screen.

bind (a taken port is said at once) ─► local CA ─► init ─► catcher ─► application ─► demo hook, over HTTP ─► banner
                                                                                          └─► runs, until Ctrl-C
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from tenterhook import __version__
from tenterhook.application import open_application
from tenterhook.cli.development.certificates import LocalCertificates, ensure_certificates, trust_bundle
from tenterhook.cli.development.demo_hook import NAME, TRIGGER, DemoHook, ensure_demo_hook, sign_up_line
from tenterhook.cli.development.run_printer import RunPrinter
from tenterhook.cli.development.slack_catcher import SlackCatcher
from tenterhook.cli.development.state import CATCHER_HOST, CatcherState, bind_catcher
from tenterhook.cli.failures import CommandError, ExitCode
from tenterhook.cli.initializing import Initialized, initialize_data
from tenterhook.cli.listening import TLSFiles, bind, serving, stop_requested, url_of
from tenterhook.cli.management_client import ManagementClient, management_client
from tenterhook.cli.profile import PROFILE_FILE_NAME, load_profile
from tenterhook.cli.server_address import record_server_url
from tenterhook.cli.server_commands import say_sandbox, wait_for_first
from tenterhook.cli.terminal import on_one_line, output, remark, remarks, say
from tenterhook.sandbox import SandboxStatus
from tenterhook.settings import Settings


async def run_demo(settings: Settings, *, tls: bool) -> None:
    """Run it until a signal; see the module's docstring for the order."""
    with bind(settings.host, settings.port) as bound:
        url = url_of(bound, tls=tls)
        data_dir = settings.data_dir
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        certificates = ensure_certificates(data_dir / "tls")
        settings = settings.model_copy(
            update={
                "port": bound.getsockname()[1],
                "extra_ca_file": trust_bundle(data_dir / "tls", certificates.ca, settings.extra_ca_file),
            }
        )
        async with stop_requested() as stopping:
            initialized = await _initialize(settings, url)
            catcher, catcher_socket = bind_catcher(data_dir)
            settings = _granting(settings, f"{CATCHER_HOST}:{catcher.port}")
            names = _HookNames(data_dir)
            printer = RunPrinter(output, names.name_of, lambda: dt.datetime.now(dt.UTC))
            # Slack last to stop: a hook that finishes while the worker drains still gets its answer.
            async with (
                printer.printing(),
                serving(
                    SlackCatcher(catcher.path, printer.notice),
                    catcher_socket,
                    tls=TLSFiles(cert=certificates.cert, key=certificates.key),
                    drain_timeout_seconds=1,
                ),
                open_application(settings, api=True, worker=True) as application,
                serving(
                    application.asgi,
                    bound,
                    tls=TLSFiles(cert=certificates.cert, key=certificates.key) if tls else None,
                    trusted_proxies=settings.trusted_proxies,
                    drain_timeout_seconds=settings.drain_timeout_seconds,
                ) as ended,
            ):
                record_server_url(data_dir, url, certificates.ca if tls else None)
                hook = await _demo_hook(data_dir, catcher)
                _print_banner(
                    url,
                    data_dir,
                    initialized,
                    catcher,
                    hook,
                    sandbox=application.sandbox,
                    ca_file=_shown_ca(certificates, tls=tls),
                )
                with application.run_signals.subscribed(printer.notice):
                    await wait_for_first(stopping, ended, application.ended)
                remark("Stopping …")
            if not stopping.is_set():
                raise CommandError("A part of the server ended by itself; its log says why.", ExitCode.SERVER)


def _granting(settings: Settings, destination: str) -> Settings:
    """Let hooks reach the catcher: it is on loopback, which is closed to them otherwise."""
    grants = ", ".join(filter(None, (settings.egress_allow, destination)))
    return settings.model_copy(update={"egress_allow": grants})


def _shown_ca(certificates: LocalCertificates, *, tls: bool) -> Path | None:
    return certificates.ca if tls else None


async def _initialize(settings: Settings, url: str) -> Initialized:
    """Create what is missing; a folder that was initialized before keeps its tenant's address."""
    is_first = not (settings.data_dir / PROFILE_FILE_NAME).is_file()
    with remarks.status("Preparing the database …"):
        initialized = await initialize_data(
            settings,
            tenant_name=None,
            public_url=url if is_first and settings.host in {"127.0.0.1", "::1", "localhost"} else None,
            rotate=False,
        )
        if initialized.profile_file is not None:
            return initialized
        # The folder's profile was lost, and its secret with it: on a laptop a new one is what is wanted.
        return await initialize_data(settings, tenant_name=None, public_url=None, rotate=True)


async def _demo_hook(data_dir: Path, catcher: CatcherState) -> DemoHook:
    with remarks.status("Preparing the demo hook and its npm module …"):
        async with management_client(load_profile(data_dir / PROFILE_FILE_NAME)) as client:
            return await ensure_demo_hook(client, catcher)


class _HookNames:
    """Names of hooks by id, asked of the API when a run of an unknown one starts."""

    def __init__(self, data_dir: Path) -> None:
        self._profile_file = data_dir / PROFILE_FILE_NAME
        self._known: dict[str, str] = {}

    async def name_of(self, hook_id: str) -> str:
        """Return the hook's name, or its id when the server does not tell."""
        if hook_id not in self._known:
            try:
                async with management_client(load_profile(self._profile_file)) as client:
                    self._known[hook_id] = await _name_of(client, hook_id)
            except CommandError:
                return hook_id  # the server is on its way down; the id says it as well
        return self._known[hook_id]


async def _name_of(client: ManagementClient, hook_id: str) -> str:
    return str((await client.get(f"/api/v2/hooks/{hook_id}", fields="name"))["name"])


def _print_banner(
    url: str,
    data_dir: Path,
    initialized: Initialized,
    catcher: CatcherState,
    hook: DemoHook,
    *,
    sandbox: SandboxStatus,
    ca_file: Path | None,
) -> None:
    say(f"Tenterhook {__version__} is running; Ctrl-C stops it.")
    say()
    say(f"  Server       {url}")
    say(f"  Application  client id {initialized.application_client_id}")
    if hook.name is not None:
        say(f"  Demo hook    {on_one_line(hook.name)}, enabled at {TRIGGER}")
    else:
        say(f"  Demo hook    none is enabled at {TRIGGER}; see `tenterhook ls` and `tenterhook enable NAME`")
    say(f"  Slack        a stand-in at {CATCHER_HOST}:{catcher.port}; its messages appear here")
    say(f"  Data         {data_dir}")
    say_sandbox(sandbox)
    if ca_file is not None:
        say(
            f"  Trust        export NODE_EXTRA_CA_CERTS='{ca_file.resolve()}'   (or SSL_CERT_FILE, or --cacert)"
        )
    if hook.problem is not None:
        say()
        say(f"The demo hook {NAME} does not work yet: {on_one_line(hook.problem)}")
        say("Everything else does. The server tries again when a run needs the module.")
    say()
    say("Sign somebody up, in another terminal:")
    say()
    say(
        sign_up_line(
            url,
            client_id=initialized.application_client_id,
            connection=initialized.connection,
            ca_file=ca_file,
        )
    )
    say()
    say("Runs appear here as they happen.")
