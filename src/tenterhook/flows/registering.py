"""Registering: the one way in which a user comes to exist.

    validate ─► find connection ─► pre-user-registration hook ─► hash ─► ONE transaction: user + run + log ─► answer

Whoever creates a user comes through ``Registrar``: the sign-up API, the management API, later the hosted form, lazy
migration and imports. So a user exists if and only if the runs of their registration exist. The order has reasons. The
blocking hook comes before the hash, because a refusal should be cheap, and before the transaction, because no
transaction is open while user code runs. The hash comes before the insert, because a duplicate must take as long as a
new user (the clock would tell who has an account) and because hashing inside would hold a database connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from pydantic import SecretStr

from tenterhook.clock import Clock
from tenterhook.database import Database, DatabaseUnavailableError, Transaction
from tenterhook.directory import (
    Client,
    Connection,
    InvalidEmailError,
    NewUser,
    PasswordHasher,
    Tenant,
    User,
    UserExistsError,
    check_password,
    check_user_metadata,
    check_username,
    connections,
    normalize_email,
    users,
)
from tenterhook.errors import InvalidInputError, OverloadedError, TenterhookError
from tenterhook.hooks import (
    POST_USER_REGISTRATION,
    HookInvoker,
    RegistrationDeniedError,
    ask_before_registration,
    enabled_hook_id,
    hook_before_registration,
    post_user_registration_event,
    pre_user_registration_event,
)
from tenterhook.hooks.hook_runs import HOOK_RUN
from tenterhook.ids import HookId, RunId, TenantId, UserId, new_run_id
from tenterhook.runs import NewRun, RunSignal, RunSignals, create_run
from tenterhook.tenant_log import LogEvent, write

log = structlog.get_logger(__name__)

STRATEGY, STRATEGY_TYPE = "auth0", "database"


class SignUpDisabledError(InvalidInputError):
    """Public signup is disabled."""

    code = "public_signup_disabled"


class InvalidSignUpError(InvalidInputError):
    """Invalid sign up."""

    code = "invalid_signup"

    def __init__(self) -> None:
        """Say it in Auth0's words, which have no full stop and which clients compare."""
        super().__init__("Invalid sign up")


class ExistingUserError(InvalidInputError):
    """The user already exists."""

    code = "user_exists"


class UsernameTakenError(InvalidInputError):
    """The username provided is in use already."""

    code = "username_exists"


class PasswordMissingError(InvalidInputError):
    """A password is required."""

    code = "password_missing"


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What somebody brings to become a user."""

    email: str | None = None
    username: str | None = None
    password: SecretStr | None = field(default=None, repr=False)
    phone_number: str | None = None
    email_verified: bool = False
    phone_verified: bool = False
    given_name: str | None = None
    family_name: str | None = None
    name: str | None = None
    nickname: str | None = None
    picture: str | None = None
    blocked: bool = False
    user_metadata: Mapping[str, Any] = field(default_factory=dict)
    app_metadata: Mapping[str, Any] = field(default_factory=dict)
    user_id: UserId | None = None
    """A bare id of the caller's choice (management API only)."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a request came from."""

    ip: str | None = None
    user_agent: str | None = None
    language: str | None = None
    """The user's own Accept-Language; None where there is no request of the user's."""


class Registrar:
    """Registers users."""

    def __init__(
        self,
        *,
        database: Database,
        hasher: PasswordHasher,
        invoker: HookInvoker,
        signals: RunSignals,
        clock: Clock,
        plain_password_to_hooks: bool,
    ) -> None:
        """Take the parts; ``plain_password_to_hooks`` is the setting of the unsafe name."""
        self._database = database
        self._hasher = hasher
        self._invoker = invoker
        self._signals = signals
        self._clock = clock
        self._plain_password_to_hooks = plain_password_to_hooks

    async def sign_up(
        self,
        *,
        tenant: Tenant,
        client_id: str,
        connection_name: str,
        registration: Registration,
        origin: Origin,
    ) -> User:
        """Register somebody who asks for it through an application.

        Raises:
            UnknownClientError, UnknownConnectionError, SignUpDisabledError: the request goes nowhere.
            InvalidInputError: e-mail address, username, password or metadata cannot be used.
            RegistrationDeniedError: the tenant's hook refused.
            InvalidSignUpError: the user exists, found out after the same work as for a new one;
                ExistingUserError where the connection's options disclose it.
            OverloadedError: no room for another hash or hook; nothing was written.
        """
        async with self._database.reader() as reader:
            target = await connections.sign_up_target(reader, tenant.id, client_id, connection_name)
            blocking_hook = await hook_before_registration(reader, tenant.id)
        who = _Who(
            tenant=tenant,
            connection=target.connection,
            client=target.client,
            origin=origin,
            blocking_hook=blocking_hook,
        )
        try:
            if target.connection.options.get("disable_signup"):
                raise SignUpDisabledError
            if registration.password is None:
                raise PasswordMissingError
            check_user_metadata(registration.user_metadata)
            return await self._register(who, registration)
        except UserExistsError as error:
            await self._log_failure(who, registration, error)
            raise _refusal(error, target.connection.options) from None
        except TenterhookError as error:
            await self._log_failure(who, registration, error)
            raise

    async def create_user(
        self, *, tenant: Tenant, connection_name: str, registration: Registration, origin: Origin
    ) -> User:
        """Register a user on behalf of an administrator: the same hooks, no application, no language.

        Raises:
            UserExistsError: the connection has such a user.
            TenterhookError: as ``sign_up`` does.
        """
        async with self._database.reader() as reader:
            connection = await connections.get_by_name(reader, tenant.id, connection_name)
            blocking_hook = await hook_before_registration(reader, tenant.id)
        who = _Who(
            tenant=tenant,
            connection=connection,
            client=None,
            origin=replace(origin, language=None),
            blocking_hook=blocking_hook,
        )
        try:
            return await self._register(who, registration)
        except TenterhookError as error:
            await self._log_failure(who, registration, error)
            raise

    async def _register(self, who: _Who, registration: Registration) -> User:
        new = _validated(who.connection, registration)
        if who.blocking_hook is not None:
            new = await self._ask(who.blocking_hook, who, registration, new)
        hashed = None
        if registration.password is not None:
            hashed = await self._hasher.hash(registration.password.get_secret_value())
        async with self._database.transaction() as transaction:
            user = await users.insert(transaction, new, hashed)
            run_id = await _create_post_registration_run(transaction, who, user)
            await write(transaction, self._log_event(who, registration, "ss", user=user))
        # Only now is it true; whoever listens may look it up.
        if run_id is not None:
            self._signals.emit(
                RunSignal(
                    kind="registered",
                    run_id=run_id,
                    attempt=0,
                    data={"user_id": user.id, "email": user.email},
                )
            )
        return user

    async def _ask(self, hook_id: HookId, who: _Who, registration: Registration, new: NewUser) -> NewUser:
        """Return the user with what the blocking hook adds, or raise its refusal."""
        event = pre_user_registration_event(
            user=new,
            connection=who.connection,
            tenant=who.tenant,
            language=who.origin.language,
            ip=who.origin.ip,
            password=registration.password if self._plain_password_to_hooks else None,
        )
        added = await ask_before_registration(self._invoker, hook_id, event)
        return replace(
            new,
            user_metadata={**new.user_metadata, **added.user_metadata},
            app_metadata={**new.app_metadata, **added.app_metadata},
        )

    async def _log_failure(self, who: _Who, registration: Registration, error: TenterhookError) -> None:
        """Tell the tenant why somebody could not register; what is ours to solve is not theirs to read."""
        if isinstance(error, OverloadedError | DatabaseUnavailableError):
            return
        reason = error.log_text if isinstance(error, RegistrationDeniedError) else error.message
        async with self._database.transaction() as transaction:
            await write(
                transaction, self._log_event(who, registration, "fs", description=reason, code=error.code)
            )

    def _log_event(
        self,
        who: _Who,
        registration: Registration,
        log_type: str,
        *,
        user: User | None = None,
        description: str = "",
        code: str | None = None,
    ) -> LogEvent:
        details: dict[str, Any] = {"body": _loggable(who, registration)}
        if code is not None:
            details["error"] = {"code": code, "message": description}
        return LogEvent(
            tenant_id=who.tenant.id,
            type=log_type,
            date=self._clock.now(),
            description=description,
            connection=who.connection.name,
            connection_id=who.connection.id,
            client_id=None if who.client is None else who.client.client_id,
            client_name=None if who.client is None else who.client.name,
            ip=who.origin.ip,
            user_agent=who.origin.user_agent,
            user_id=None if user is None else user.id,
            user_name=registration.email or registration.username,
            strategy=STRATEGY,
            strategy_type=STRATEGY_TYPE,
            details=details,
        )


@dataclass(frozen=True, kw_only=True)
class _Who:
    """Whose registration it is."""

    tenant: Tenant
    connection: Connection
    client: Client | None
    origin: Origin
    blocking_hook: HookId | None


def _refusal(error: UserExistsError, options: Mapping[str, Any]) -> InvalidInputError:
    """Say no more than the connection allows: by default nobody learns who has an account."""
    if options.get("disclose_existing_users") is not True:
        return InvalidSignUpError()
    if error.field == "username":
        return UsernameTakenError()
    return ExistingUserError()


def _validated(connection: Connection, registration: Registration) -> NewUser:
    """Return the user to be, or raise an ``InvalidInputError`` that says what is wrong."""
    email = None if registration.email is None else normalize_email(registration.email)
    check_username(registration.username, connection.options)
    if email is None and registration.username is None and registration.phone_number is None:
        raise InvalidEmailError("An e-mail address is required.")
    if registration.password is not None:
        check_password(registration.password.get_secret_value(), connection.options)
    return NewUser(
        connection_id=connection.id,
        id=registration.user_id,
        email=email,
        email_verified=registration.email_verified,
        username=registration.username,
        phone_number=registration.phone_number,
        phone_verified=registration.phone_verified,
        given_name=registration.given_name,
        family_name=registration.family_name,
        name=registration.name,
        nickname=registration.nickname,
        picture=registration.picture,
        blocked=registration.blocked,
        user_metadata=registration.user_metadata,
        app_metadata=registration.app_metadata,
    )


async def _create_post_registration_run(transaction: Transaction, who: _Who, user: User) -> RunId | None:
    """Create the run of the tenant's enabled hook, in the user's own transaction; None when none is enabled."""
    hook_id: HookId | None = await enabled_hook_id(
        transaction, TenantId(user.tenant_id), POST_USER_REGISTRATION.trigger_id
    )
    if hook_id is None:
        return None
    run_id = new_run_id()
    await create_run(
        transaction,
        NewRun(
            id=run_id,
            tenant_id=who.tenant.id,
            kind=HOOK_RUN,
            subject_id=hook_id,
            user_id=user.id,
            event=post_user_registration_event(
                user=user, connection=who.connection, tenant=who.tenant, language=who.origin.language
            ),
        ),
    )
    return run_id


def _loggable(who: _Who, registration: Registration) -> dict[str, Any]:
    """Return the request's body as Auth0 logs it: the password as stars, whatever it was."""
    body: dict[str, Any] = {
        "email": registration.email,
        "username": registration.username,
        "connection": who.connection.name,
        "tenant": who.tenant.name,
        "password": None if registration.password is None else "*****",
        "client_id": None if who.client is None else who.client.client_id,
        "user_metadata": dict(registration.user_metadata) or None,
    }
    return {name: value for name, value in body.items() if value is not None}
