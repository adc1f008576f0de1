"""Settings: read once from the environment and a file into a frozen value; nobody else looks there.

Each setting is an environment variable ``TENTERHOOK_<NAME>`` or a line ``name = value`` in the TOML file that
``TENTERHOOK_CONFIG_FILE`` names; the environment wins. ``DATABASE_URL`` alone goes without the prefix, because
platforms set it under that name. Names carry their unit; every default is safe; what is dangerous says so in its
name. The descriptions below are the source of ``docs/reference/settings.md`` (``make docs`` writes it, ``make check``
compares).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from tenterhook.egress import GRANTS_SETTING, InvalidGrantError, parse_grants
from tenterhook.errors import ConfigurationError

_POSTGRESQL_PORT = 5432
ENVIRONMENT_PREFIX = "TENTERHOOK_"
CONFIG_FILE_VARIABLE = "TENTERHOOK_CONFIG_FILE"

PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]

MAXIMUM_OF: Mapping[str, str] = MappingProxyType(
    {
        "wall_time_limit_seconds": "wall_time_maximum_seconds",
        "grace_limit_seconds": "grace_maximum_seconds",
        "max_console_bytes": "console_maximum_bytes",
        "max_result_bytes": "result_maximum_bytes",
        "memory_limit_bytes": "memory_maximum_bytes",
        "max_threads_per_process": "threads_maximum",
        "max_open_files": "open_files_maximum",
        "scratch_bytes": "scratch_maximum_bytes",
        "max_connections": "connections_maximum",
        "cpu_percent": "cpu_maximum_percent",
    }
)
"""For each limit that a hook may have of its own, the setting that says how far."""


class Settings(BaseSettings):
    """Everything an operator can set."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        case_sensitive=False,
    )

    # Where things are
    data_dir: Path = Field(
        default=Path(".tenterhook"),
        description="Folder for the embedded database, keys and stored npm modules; set it to keep them elsewhere.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        alias="DATABASE_URL",
        description="PostgreSQL to use instead of the embedded one, as postgresql://user:password@host:port/name.",
    )
    host: str = Field(
        default="127.0.0.1", description="Address the API listens on; 0.0.0.0 for every interface."
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=8585,
        description="TCP port the API listens on; change it when another program has it. 0 picks one.",
    )
    tls_cert: Path | None = Field(default=None, description="Certificate chain (PEM) to serve https with.")
    tls_key: Path | None = Field(default=None, description="Private key (PEM) of the certificate.")
    trusted_proxies: str = Field(
        default="",
        description="Comma-separated addresses of reverse proxies whose X-Forwarded-For is believed; none by default.",
    )
    secrets_key_file: Path | None = Field(
        default=None,
        description="File with the key that encrypts secrets at rest (32 bytes as base64); default: secrets.key in "
        "the data folder, made with mode 0600.",
    )
    extra_ca_file: Path | None = Field(
        default=None, description="CA certificates (PEM) that hooks trust besides the public ones."
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="Logs for people or for machines."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severity that is logged."
    )

    # Directory
    hashing_threads: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Threads that hash passwords; 0 is one per processor."
    )
    hashing_line_length: PositiveInt = Field(
        default=64,
        description="Hashes that may wait for a thread; beyond it sign-ups are answered 503 with Retry-After.",
    )
    access_token_lifetime_seconds: PositiveInt = Field(
        default=86_400, description="Validity of an access token; Auth0's default is a day."
    )
    max_body_bytes: PositiveInt = Field(default=1_048_576, description="Largest request body the API reads.")
    max_script_bytes: PositiveInt = Field(
        default=102_400, description="Largest script of a hook, without its modules."
    )
    database_pool_size: PositiveInt = Field(
        default=16, description="Database connections of one process (the worker's queue takes one more)."
    )

    # Runs
    worker_concurrency: Annotated[int, Field(ge=2)] = Field(
        default=64, description="Runs that one worker has open at a time, settled ones not counted."
    )
    run_lease_seconds: PositiveFloat = Field(
        default=15.0,
        description="How long a worker owns a run without renewing; a dead worker's runs start again after this.",
    )
    rescue_interval_seconds: PositiveFloat = Field(
        default=2.0, description="How often expired leases are looked for."
    )
    reconcile_interval_seconds: PositiveFloat = Field(
        default=60.0, description="How often waiting runs without a queued job are looked for."
    )
    dequeue_timeout_seconds: PositiveFloat = Field(
        default=1.0, description="Longest wait for a notification before the queue is asked anyway."
    )
    drain_timeout_seconds: PositiveFloat = Field(
        default=30.0, description="How long a stopping worker lets open runs finish."
    )

    # What a run may use. Hooks may have limits of their own, up to the maximum that follows each default.
    wall_time_limit_seconds: PositiveFloat = Field(
        default=20.0, description="Time from a hook's start to its cb(); Auth0's limit is the same."
    )
    wall_time_maximum_seconds: PositiveFloat = Field(
        default=300.0, description="Longest such time that a hook may be given for itself."
    )
    grace_limit_seconds: PositiveFloat = Field(
        default=20.0, description="Time for work that goes on after cb(); then the run is settled by force."
    )
    grace_maximum_seconds: PositiveFloat = Field(
        default=600.0, description="Longest such time that a hook may be given for itself."
    )
    max_console_bytes: PositiveInt = Field(
        default=256 * 1024, description="Console output kept of one attempt; the rest is cut with a note."
    )
    console_maximum_bytes: PositiveInt = Field(
        default=1024 * 1024, description="Most console output that may be kept for a hook of its own setting."
    )
    max_result_bytes: PositiveInt = Field(
        default=1024 * 1024, description="Largest answer a hook may give to cb()."
    )
    result_maximum_bytes: PositiveInt = Field(
        default=4 * 1024 * 1024, description="Largest answer that a hook may be allowed for itself."
    )

    # What a process may use
    memory_limit_bytes: PositiveInt = Field(
        default=256 * 1024 * 1024, description="Memory of one tenant's Node process."
    )
    memory_maximum_bytes: PositiveInt = Field(
        default=1024 * 1024 * 1024, description="Most memory that a hook may ask for."
    )
    max_threads_per_process: Annotated[int, Field(ge=24)] = Field(
        default=64,
        description="Threads of one Node process; it may start no other processes. Node itself uses about a dozen.",
    )
    threads_maximum: PositiveInt = Field(default=256, description="Most threads that a hook may ask for.")
    max_open_files: Annotated[int, Field(ge=64)] = Field(
        default=512, description="Files and connections that one Node process may have open at a time."
    )
    open_files_maximum: PositiveInt = Field(
        default=4096, description="Most open files and connections that a hook may ask for."
    )
    scratch_bytes: Annotated[int, Field(ge=65_536)] = Field(
        default=16 * 1024 * 1024,
        description="Size of /tmp in a sandbox: private to its process, gone with it, in memory.",
    )
    scratch_maximum_bytes: PositiveInt = Field(
        default=256 * 1024 * 1024, description="Largest /tmp that a hook may ask for."
    )
    max_connections: PositiveInt = Field(
        default=256, description="Outgoing connections that one Node process may have at a time."
    )
    connections_maximum: PositiveInt = Field(
        default=1024, description="Most outgoing connections at a time that a hook may ask for."
    )
    cpu_percent: Annotated[int, Field(ge=5)] = Field(
        default=100,
        description="Processor time of one Node process, in percent of one processor; in force only where there is a "
        "writable cgroup (`tenterhook doctor` says so).",
    )
    cpu_maximum_percent: PositiveInt = Field(
        default=200, description="Most processor time that a hook may ask for, in percent of one processor."
    )

    # Processes of the sandbox
    max_runs_per_process: PositiveInt = Field(
        default=32, description="Runs at once in one tenant's Node process; more wait for a place."
    )
    replace_process_after_runs: PositiveInt = Field(
        default=100_000, description="Runs after which a Node process gives way to a new one: hooks may leak."
    )
    max_processes: PositiveInt = Field(
        default=64, description="Node processes of one worker, over all tenants."
    )
    max_processes_per_tenant: PositiveInt = Field(
        default=8,
        description="Node processes that one tenant may have in one worker; more runs wait for a place.",
    )
    idle_process_seconds: PositiveFloat = Field(
        default=300.0, description="A tenant's Node process that long without a run is ended."
    )
    warm_processes: Annotated[int, Field(ge=0)] = Field(
        default=2,
        description="Node processes kept started for whichever tenant needs one next; 0 starts each when it is needed. "
        "Without effect in gate mode, and for hooks whose process has limits of its own.",
    )
    one_process_per_hook: bool = Field(
        default=False,
        description="Give each hook a process of its own. Hooks of one tenant otherwise share processes and can reach "
        "into one another; it costs memory for each hook.",
    )
    crash_backoff_first_seconds: PositiveFloat = Field(
        default=1.0,
        description="Wait before a hook whose process has crashed gets another; doubled with each crash.",
    )
    crash_backoff_maximum_seconds: PositiveFloat = Field(
        default=60.0,
        description="Longest such wait; after ten times as long without a crash all are forgiven.",
    )

    # Outgoing connections of hooks
    egress_allow: str = Field(
        default="",
        description="Comma-separated grants beyond public addresses, as ADDRESS:PORT, NETWORK:PORT or NAME:PORT: "
        "127.0.0.1:8099,10.1.2.0/24:443. Without it hooks reach no private address; none reaches the database.",
    )

    # Modules
    module_minimum_age_days: Annotated[int, Field(ge=0)] = Field(
        default=7,
        description="A bare require() takes the newest version at least this old; young ones may be hijacked.",
    )
    module_install_timeout_seconds: PositiveFloat = Field(
        default=120.0, description="Time for installing one set of npm modules."
    )
    max_module_set_bytes: PositiveInt = Field(
        default=250 * 1024 * 1024, description="Largest unpacked set of npm modules."
    )

    # Dangerous
    unsafe_plain_password_to_pre_user_registration: bool = Field(
        default=False,
        description="Hand hooks at pre-user-registration the plain password as user.password, as Auth0 did. Whoever "
        "may edit hooks can then read every new password.",
    )
    unsafe_run_hooks_without_sandbox: bool = Field(
        default=False,
        description="Run hooks even where no sandbox can be made. A hook is then as mighty as this program: it can read "
        "its files, keys and database password and every tenant's data, reach every address and start programs. Each run carries "
        "the mark `unsandboxed`.",
    )

    @property
    def database_endpoints(self) -> tuple[tuple[str, int], ...]:
        """Return hosts and TCP ports of the database that ``database_url`` names; without it there are none.

        A host that is a folder is that of a unix socket, which is no endpoint here.
        """
        return () if self.database_url is None else _endpoints(self.database_url.get_secret_value())

    @field_validator("database_url")
    @classmethod
    def _only_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must start with postgresql://")
        try:
            _endpoints(value.get_secret_value())
        except ValueError:
            raise ValueError("its host and port cannot be read") from None  # the cause quotes the URL
        return value

    @field_validator("egress_allow")
    @classmethod
    def _only_grants(cls, value: str) -> str:
        try:
            parse_grants(value)
        except InvalidGrantError as error:
            raise ValueError(error.message.removeprefix(f"{GRANTS_SETTING}: ")) from error
        return value

    @model_validator(mode="after")
    def _defaults_within_maxima(self) -> Self:
        for default, maximum in MAXIMUM_OF.items():
            if getattr(self, default) > getattr(self, maximum):
                raise ValueError(
                    f"{environment_name(default)} ({getattr(self, default)}) is above "
                    f"{environment_name(maximum)} ({getattr(self, maximum)}); raise that one too"
                )
        if self.crash_backoff_first_seconds > self.crash_backoff_maximum_seconds:
            raise ValueError(
                f"{environment_name('crash_backoff_first_seconds')} is above "
                f"{environment_name('crash_backoff_maximum_seconds')}; raise that one too"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, the environment over the file."""
        del dotenv_settings, file_secret_settings
        file = os.environ.get(CONFIG_FILE_VARIABLE)
        toml = TomlConfigSettingsSource(settings_cls, toml_file=Path(file) if file else None)
        return init_settings, env_settings, toml


def _endpoints(url: str) -> tuple[tuple[str, int], ...]:
    """Read the hosts of a PostgreSQL URL: ``host:port,host:port`` before the path, or ``host`` in the query."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    default_port = query.get("port", [str(_POSTGRESQL_PORT)])[0]
    authority = parts.netloc.rpartition("@")[2]
    found = []
    for text in [
        *authority.split(","),
        *(host for value in query.get("host", []) for host in value.split(",")),
    ]:
        bracketed = re.fullmatch(r"\[(.*)\](?::(.*))?", text)
        host, port = bracketed.groups() if bracketed else text.partition(":")[::2]
        host = unquote(host)
        if host and not host.startswith("/"):
            found.append((host, int(port or default_port)))
    # Nothing said is a socket of this machine for PostgreSQL's clients, else its own port 5432.
    on_socket = authority or "host" in query
    return tuple(found) if found or on_socket else (("127.0.0.1", int(default_port)),)


def environment_name(field_name: str) -> str:
    """Return the environment variable of a setting."""
    alias = Settings.model_fields[field_name].alias
    return alias or f"{ENVIRONMENT_PREFIX}{field_name.upper()}"


def load(**overrides: Any) -> Settings:
    """Read the settings once; arguments that are not None win.

    Raises:
        ConfigurationError: naming each setting that is wrong, what is wrong with it, and unknown names.
    """
    file = os.environ.get(CONFIG_FILE_VARIABLE)
    if file and not Path(file).is_file():
        raise ConfigurationError(f"{CONFIG_FILE_VARIABLE} names {file}, which is not a file.")
    _refuse_unknown_variables()
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        lines = [_told(part["loc"], part["msg"]) for part in error.errors()]
        raise ConfigurationError("The configuration cannot be used:\n  " + "\n  ".join(lines)) from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The file {file} cannot be read as TOML: {error}") from error


def _told(place: tuple[int | str, ...], message: str) -> str:
    """Name the setting that is wrong; a message about several names them itself."""
    message = message.removeprefix("Value error, ")
    if not place:
        return message
    name = str(place[0])
    return f"{environment_name(name) if name in Settings.model_fields else name}: {message}"


# Read elsewhere by design: where the settings file and the command line's profile lie.
_OTHER_VARIABLES = {CONFIG_FILE_VARIABLE, "TENTERHOOK_PROFILE"}


def _refuse_unknown_variables() -> None:
    """Refuse misspelt variables: a misspelt variable would silently be without effect."""
    known = {environment_name(name) for name in Settings.model_fields} | _OTHER_VARIABLES
    unknown = sorted(name for name in os.environ if name.startswith(ENVIRONMENT_PREFIX) and name not in known)
    if unknown:
        raise ConfigurationError(
            "Unknown settings in the environment: " + ", ".join(unknown) + ". See docs/reference/settings.md."
        )


__all__ = ["CONFIG_FILE_VARIABLE", "MAXIMUM_OF", "Settings", "environment_name", "load"]
