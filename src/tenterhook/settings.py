"""Settings: read once from the environment and a file into a frozen value; nobody else looks there.

Each setting is an environment variable ``TENTERHOOK_<NAME>`` or a line ``name = value`` in the TOML file that
``TENTERHOOK_CONFIG_FILE`` names; the environment wins. ``DATABASE_URL`` alone goes without the prefix, because
platforms set it under that name. Names carry their unit; every default is safe; what is dangerous says so in its
name. The descriptions below are the source of ``docs/reference/settings.md`` (``make docs`` writes it, ``make check``
compares).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from tenterhook.errors import ConfigurationError

ENVIRONMENT_PREFIX = "TENTERHOOK_"
CONFIG_FILE_VARIABLE = "TENTERHOOK_CONFIG_FILE"

PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]


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

    # Sandbox
    wall_time_limit_seconds: PositiveFloat = Field(
        default=20.0, description="Time from a hook's start to its cb(); Auth0's limit is the same."
    )
    grace_limit_seconds: PositiveFloat = Field(
        default=20.0, description="Time for work that goes on after cb(); then the run is settled by force."
    )
    memory_limit_bytes: PositiveInt = Field(
        default=256 * 1024 * 1024, description="Memory of one tenant's Node process."
    )
    max_console_bytes: PositiveInt = Field(
        default=256 * 1024, description="Console output kept of one attempt; the rest is cut with a note."
    )
    max_result_bytes: PositiveInt = Field(
        default=1024 * 1024, description="Largest answer a hook may give to cb()."
    )
    max_runs_per_process: PositiveInt = Field(
        default=32, description="Runs at once in one tenant's Node process; more wait for a place."
    )
    max_processes: PositiveInt = Field(
        default=64, description="Node processes of one worker, over all tenants."
    )
    idle_process_seconds: PositiveFloat = Field(
        default=300.0, description="A tenant's Node process that long without a run is ended."
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

    @field_validator("database_url")
    @classmethod
    def _only_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must start with postgresql://")
        return value

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
        lines = [f"{_variable_of(str(part['loc'][0]))}: {part['msg']}" for part in error.errors()]
        raise ConfigurationError("The configuration cannot be used:\n  " + "\n  ".join(lines)) from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The file {file} cannot be read as TOML: {error}") from error


def _variable_of(name: str) -> str:
    return environment_name(name) if name in Settings.model_fields else name


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


__all__ = ["CONFIG_FILE_VARIABLE", "Settings", "environment_name", "load"]
