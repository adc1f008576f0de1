"""Directory: tenants, connections, clients, users, passwords and keys: who exists, and who may ask."""

from tenterhook.directory import clients, connections, tenants, users
from tenterhook.directory.access_tokens import AccessToken, AccessTokens
from tenterhook.directory.clients import Client
from tenterhook.directory.connections import Connection, SignUpTarget
from tenterhook.directory.errors import (
    AccessDeniedError,
    ConnectionExistsError,
    DirectoryWriteError,
    HashingLineFullError,
    InvalidEmailError,
    InvalidMetadataError,
    InvalidTokenError,
    InvalidUsernameError,
    PasswordTooLongError,
    PasswordTooWeakError,
    TenantExistsError,
    UnknownClientError,
    UnknownConnectionError,
    UnknownTenantError,
    UnknownUserError,
    UserExistsError,
)
from tenterhook.directory.identifiers import check_user_metadata, check_username, normalize_email
from tenterhook.directory.password_policy import MAX_PASSWORD_BYTES, POLICIES, check_password
from tenterhook.directory.passwords import PasswordHasher
from tenterhook.directory.tenants import Tenant, Tenants
from tenterhook.directory.users import NewUser, User, UserInConnection

__all__ = [
    "MAX_PASSWORD_BYTES",
    "POLICIES",
    "AccessDeniedError",
    "AccessToken",
    "AccessTokens",
    "Client",
    "Connection",
    "ConnectionExistsError",
    "DirectoryWriteError",
    "HashingLineFullError",
    "InvalidEmailError",
    "InvalidMetadataError",
    "InvalidTokenError",
    "InvalidUsernameError",
    "NewUser",
    "PasswordHasher",
    "PasswordTooLongError",
    "PasswordTooWeakError",
    "SignUpTarget",
    "Tenant",
    "TenantExistsError",
    "Tenants",
    "UnknownClientError",
    "UnknownConnectionError",
    "UnknownTenantError",
    "UnknownUserError",
    "User",
    "UserExistsError",
    "UserInConnection",
    "check_password",
    "check_user_metadata",
    "check_username",
    "clients",
    "connections",
    "normalize_email",
    "tenants",
    "users",
]
