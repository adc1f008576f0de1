"""What the doctor finds of the settings: whether they can be used, what hooks may reach, what is unsafe."""

from __future__ import annotations

from tenterhook import egress
from tenterhook.cli.doctor.finding import Finding, ok, problem, warning
from tenterhook.cli.listening import tls_files
from tenterhook.errors import ConfigurationError
from tenterhook.sandbox.ground import check_ca_file
from tenterhook.settings import Settings, environment_name

UNSAFE_PREFIX = "unsafe_"


def settings_findings(settings: Settings) -> list[Finding]:
    """Return what the settings say.

    Raises:
        ConfigurationError: certificate and key, or the grants, cannot be used.
    """
    tls_files(settings.tls_cert, settings.tls_key)
    changed = len(settings.model_fields_set)
    return [
        ok("settings", "settings", f"can be used; {changed} set, the rest have their defaults"),
        _grants(settings),
        *_ca_file(settings),
        *_unsafe(settings),
    ]


def _grants(settings: Settings) -> Finding:
    grants = [str(grant) for grant in egress.parse_grants(settings.egress_allow)]
    if not grants:
        return ok("settings", "egress", "hooks reach public addresses only")
    return ok("settings", "egress", "hooks reach public addresses, and by grant: " + ", ".join(grants))


def _ca_file(settings: Settings) -> list[Finding]:
    if settings.extra_ca_file is None:
        return []
    try:
        check_ca_file(settings.extra_ca_file)
    except ConfigurationError as error:
        return [
            problem(
                "settings",
                environment_name("extra_ca_file"),
                error.message,
                lost="the server does not start where it runs hooks",
                remedy="Name a PEM file that the server's user may read.",
            )
        ]
    return [ok("settings", environment_name("extra_ca_file"), f"{settings.extra_ca_file} can be read")]


def _unsafe(settings: Settings) -> list[Finding]:
    names = [name for name in type(settings).model_fields if name.startswith(UNSAFE_PREFIX)]
    switched_on = [name for name in names if getattr(settings, name)]
    if not switched_on:
        return [ok("settings", "unsafe settings", "none is on")]
    return [
        warning(
            "settings",
            environment_name(name),
            "IS ON",
            lost=type(settings).model_fields[name].description,
            remedy="Switch it off unless you mean it.",
        )
        for name in switched_on
    ]
