"""What can go wrong with hooks.

    HookNotFoundError               absent, or another tenant's
    HookVersionNotFoundError        the hook has no such version
    HookNameTakenError              another hook of the tenant has the name
    HookChangedError                ``If-Match`` names an older state of the hook
    InvalidHookError                one property cannot be used; ``property_name`` says which
    HookSecretExistsError           a secret of that name exists already
    HookSecretNotFoundError         there is no secret of that name
    HookStorageTooLargeError        the document for ``context.webtask.storage`` is over its limit
    RegistrationDeniedError         a hook before registration refused the user

Codes of the first are Auth0's where one was recorded (SPEC 4.3), so they are part of the interface.
"""

from __future__ import annotations

from typing import ClassVar

from tenterhook.errors import ConflictError, InvalidInputError, NotFoundError, TenterhookError


class HookNotFoundError(NotFoundError):
    """The hook does not exist."""

    code: ClassVar[str] = "HookDoesNotExist"

    def __init__(self) -> None:
        """Speak as Auth0 does."""
        super().__init__("Error: Hook does not exist")


class HookVersionNotFoundError(NotFoundError):
    """The hook has no such version."""

    code: ClassVar[str] = "hook_version_not_found"


class HookNameTakenError(ConflictError):
    """A hook with this name exists already."""

    code: ClassVar[str] = "hook_name_taken"


class HookChangedError(TenterhookError):
    """The hook was changed since you read it; read it again and repeat your change."""

    code: ClassVar[str] = "hook_changed"


class InvalidHookError(InvalidInputError):
    """A property of the hook cannot be used."""

    code: ClassVar[str] = "invalid_body"

    def __init__(self, reason: str, *, property_name: str) -> None:
        """Take the reason, in the words of Auth0's validation messages, and the property."""
        super().__init__(
            f"Payload validation error: '{reason}' on property {property_name}.", property=property_name
        )
        self.reason = reason
        self.property_name = property_name


class HookSecretExistsError(ConflictError):
    """A secret with this name exists already; change it with PATCH."""

    code: ClassVar[str] = "hook_secret_exists"


class HookSecretNotFoundError(NotFoundError):
    """The hook has no secret with this name; add it with POST."""

    code: ClassVar[str] = "hook_secret_not_found"


class HookStorageTooLargeError(InvalidInputError):
    """The document for context.webtask.storage is too large."""

    code: ClassVar[str] = "storage_too_large"


class RegistrationDeniedError(InvalidInputError):
    """The registration was refused."""

    code: ClassVar[str] = "extensibility_error"

    def __init__(self, message: str, friendly_message: str, *, log_text: str | None = None) -> None:
        """Take what the application is told, what its user is told, and what the tenant log keeps."""
        super().__init__(
            message,
            # The shape that was seen at sign-up (SPEC 2.2); the API adds ``statusCode``.
            auth0={
                "name": "InternalExtensibilityError",
                "code": self.code,
                "message": message,
                "friendly_message": friendly_message,
                "description": message,
                "fromSandbox": True,
            },
        )
        self.friendly_message = friendly_message
        self.log_text = log_text if log_text is not None else message
