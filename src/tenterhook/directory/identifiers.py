"""E-mail addresses, usernames and user metadata: what a registration may carry.

Addresses are judged by their form alone, never by asking the DNS, and reserved names such as ``.test``, ``.local`` and
``example`` pass: development and tests live on them, and a server inside a company may well have users ``@corp.local``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import email_validator

from tenterhook.directory.errors import InvalidEmailError, InvalidMetadataError, InvalidUsernameError

# The library's own switch for it (its README, "Special-use domain names"); nobody else here uses the library.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()

MAX_METADATA_PROPERTIES = 10
MAX_METADATA_KEY_LENGTH = 100
MAX_METADATA_VALUE_LENGTH = 500
_LONGEST_EMAIL = 254
_USERNAME = re.compile(r"[A-Za-z0-9_+\-.!#$'^`~@]+")
_DEFAULT_USERNAME_LENGTH = (1, 15)


def normalize_email(text: str) -> str:
    """Return the address in lower case, as Auth0 stores it, or raise ``InvalidEmailError``."""
    if len(text) > _LONGEST_EMAIL:
        raise InvalidEmailError
    try:
        return email_validator.validate_email(text, check_deliverability=False).normalized.lower()
    except email_validator.EmailNotValidError:
        raise InvalidEmailError from None


def check_username(username: str | None, options: Mapping[str, Any]) -> None:
    """Pass silently when a connection with these options accepts the username, else ``InvalidUsernameError``."""
    if username is None:
        if options.get("requires_username") is True:
            raise InvalidUsernameError("A username is required.")
        return
    least, most = _username_length(options)
    if not least <= len(username) <= most:
        raise InvalidUsernameError(f"The username must have {least} to {most} characters.")
    if not _USERNAME.fullmatch(username):
        raise InvalidUsernameError(
            "The username may only contain letters and digits without accents, and _ + - . ! # $ ' ^ ` ~ @"
        )
    if "@" in username and _is_email(username):
        raise InvalidUsernameError("The username must not be an e-mail address.")


def check_user_metadata(metadata: Mapping[str, Any]) -> None:
    """Pass silently when anybody may set this at sign-up, else raise ``InvalidMetadataError``."""
    if len(metadata) > MAX_METADATA_PROPERTIES:
        raise InvalidMetadataError(f"user_metadata has more than {MAX_METADATA_PROPERTIES} properties.")
    for key, value in metadata.items():
        if not 0 < len(key) <= MAX_METADATA_KEY_LENGTH:
            raise InvalidMetadataError(
                f"A name in user_metadata is empty or longer than {MAX_METADATA_KEY_LENGTH} characters."
            )
        if not isinstance(value, str):
            raise InvalidMetadataError(f"user_metadata property {key} must be a string.")
        if len(value) > MAX_METADATA_VALUE_LENGTH:
            raise InvalidMetadataError(
                f"user_metadata property {key} is longer than {MAX_METADATA_VALUE_LENGTH} characters."
            )


def _username_length(options: Mapping[str, Any]) -> tuple[int, int]:
    validation = options.get("validation")
    chosen = validation.get("username") if isinstance(validation, Mapping) else None
    least, most = _DEFAULT_USERNAME_LENGTH
    if isinstance(chosen, Mapping):
        least = chosen["min"] if isinstance(chosen.get("min"), int) else least
        most = chosen["max"] if isinstance(chosen.get("max"), int) else most
    return least, most


def _is_email(text: str) -> bool:
    try:
        normalize_email(text)
    except InvalidEmailError:
        return False
    return True
