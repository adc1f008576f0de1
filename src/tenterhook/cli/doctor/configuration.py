"""What the doctor finds of the settings: whether they can be used, what hooks may reach, what is unsafe."""

from __future__ import annotations

from tenterhook.cli.doctor.finding import Finding, ok, warning
from tenterhook.cli.listening import tls_files
from tenterhook.settings import Settings, environment_name

UNSAFE_PREFIX = "unsafe_"


def settings_findings(settings: Settings) -> list[Finding]:
    """Return what the settings say.

    Raises:
        ConfigurationError: certificate and key cannot be used.
    """
    tls_files(settings.tls_cert, settings.tls_key)
    changed = len(settings.model_fields_set)
    return [
        ok("settings", "settings", f"can be used; {changed} set, the rest have their defaults"),
        _grants(settings),
        *_unsafe(settings),
    ]


def _grants(settings: Settings) -> Finding:
    grants = [grant.strip() for grant in settings.egress_allow.split(",") if grant.strip()]
    if not grants:
        return ok("settings", "egress", "hooks reach public addresses only")
    return ok("settings", "egress", "hooks reach public addresses, and by grant: " + ", ".join(grants))


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
