"""Flows: the journeys in which directory, hooks and runs change together, one module each."""

from tenterhook.flows.provisioning import ProvisionedTenant, provision
from tenterhook.flows.registering import (
    Origin,
    PasswordMissingError,
    Registrar,
    Registration,
    SignUpDisabledError,
)

__all__ = [
    "Origin",
    "PasswordMissingError",
    "ProvisionedTenant",
    "Registrar",
    "Registration",
    "SignUpDisabledError",
    "provision",
]
