"""The catalogue: the five extensibility points, each a typed constant.

| trigger id             | the caller waits | called by this version |
| ---------------------- | ---------------- | ---------------------- |
| pre-user-registration  | yes              | yes                    |
| post-user-registration | no               | yes                    |
| post-change-password   | no               | Runner only            |
| credentials-exchange   | yes              | Runner only            |
| send-phone-message     | yes              | Runner only            |

The names and paths are Auth0's (SPEC 2); the sentences are ours. ``tools/extensibility_points.py`` writes
``docs/reference/extensibility-points.md`` from here.
"""

from __future__ import annotations

from tenterhook.errors import NotFoundError
from tenterhook.hooks import runner_bodies
from tenterhook.hooks.extensibility_point import (
    ExtensibilityPoint,
    Parameter,
    Presence,
    Requirement,
    TriggerId,
)


class UnknownTriggerError(NotFoundError):
    """There is no such extensibility point."""

    code = "unknown_trigger"


def _parameters(*rows: tuple[str, str, str]) -> tuple[Parameter, ...]:
    return tuple(Parameter(path=path, type=kind, meaning=meaning) for path, kind, meaning in rows)


_WEBTASK = Parameter(
    path="context.webtask",
    type="object",
    meaning="where the hook runs: id, attempt, secrets, data, storage and more",
    presence=Presence.ADDED,
)
_CONNECTION = _parameters(
    ("context.connection", "object", "the connection (user database) that the user belongs to"),
    ("context.connection.id", "string", "its id, for example con_0123456789abcdef"),
    ("context.connection.name", "string", "its name"),
    ("context.connection.tenant", "string", "the name of the tenant it belongs to"),
)
_PERSON = (
    *_parameters(
        ("user.tenant", "string", "the name of the tenant"),
        ("user.username", "string", "the user name, or null where the connection has none"),
    ),
    Parameter(
        path="user.password",
        type="string",
        meaning="the chosen password; absent unless the operator permits it by an unsafe setting",
        presence=Presence.PERMITTED,
    ),
    *_parameters(
        ("user.email", "string", "the e-mail address, or null"),
        ("user.emailVerified", "boolean", "whether the e-mail address was proven to be theirs"),
        ("user.phoneNumber", "string", "the phone number, or null"),
        ("user.phoneNumberVerified", "boolean", "whether the phone number was proven to be theirs"),
        ("user.user_metadata", "object", "what is kept about the user and theirs to change"),
        ("user.app_metadata", "object", "what applications keep about the user"),
    ),
)
_REQUEST_LANGUAGE = (
    "context.requestLanguage",
    "string",
    "the Accept-Language of the request, or null where there was none",
)
_REGISTRATION_REQUIREMENTS = (
    Requirement(path="user", type="object"),
    Requirement(path="context", type="object"),
    Requirement(path="context.connection", type="object"),
)
_REGISTRATION_ERROR_CLASSES = ("PreUserRegistrationError",)
"""Also defined at the points after registration, as the original's wrapper does (SPEC 9.2)."""

PRE_USER_REGISTRATION = ExtensibilityPoint(
    trigger_id=TriggerId("pre-user-registration"),
    name="Pre-User Registration",
    when="Before a new user of a database connection is stored.",
    blocking=True,
    fires=True,
    arguments=("user", "context"),
    parameters=(
        *_parameters(("user", "object", "the user who wants to register; nothing is stored yet")),
        *_PERSON,
        *_parameters(
            ("context", "object", "the circumstances of the registration"),
            _REQUEST_LANGUAGE,
            (
                "context.renderLanguage",
                "string",
                "the language of the sign-up page, or null where no page was shown",
            ),
            ("context.request", "object", "the request that asks for the registration"),
            ("context.request.ip", "string", "the address it came from, or null"),
            ("context.request.language", "string", "the same as requestLanguage"),
        ),
        *_CONNECTION,
        _WEBTASK,
    ),
    answer="`user.user_metadata` and `user.app_metadata` of the answer are added to the new user, member by member; "
    "a name that starts with `$` or has a `.` in it is left out. Everything else is ignored.",
    refusal="Any error, a missing cb() too, refuses the registration; the texts of a PreUserRegistrationError "
    "reach the person, those of other errors only the tenant log.",
    error_classes=_REGISTRATION_ERROR_CLASSES,
    callback_arguments="error, response",
    starter_body="""\
  var response = {};

  // To give the new user metadata, say which:
  // response.user = {
  //   user_metadata: { theme: 'dark' },
  //   app_metadata: { plan: 'trial' }
  // };

  // To refuse, give a text for the tenant log and one for the person:
  // return cb(new PreUserRegistrationError('domain not invited', 'Please ask us for an invitation.'));

  // The registration waits for this call.
  cb(null, response);""",
    requirements=_REGISTRATION_REQUIREMENTS,
    runner_body=runner_bodies.PRE_USER_REGISTRATION,
)

POST_USER_REGISTRATION = ExtensibilityPoint(
    trigger_id=TriggerId("post-user-registration"),
    name="Post-User Registration",
    when="After a new user of a database connection was stored, on every way by which users come into being.",
    blocking=False,
    fires=True,
    arguments=("user", "context"),
    parameters=(
        *_parameters(
            ("user", "object", "the user who has registered"),
            ("user.id", "string", "the user's id, without the prefix auth0|"),
        ),
        *(parameter for parameter in _PERSON if parameter.presence is Presence.ALWAYS),
        *_parameters(
            ("context", "object", "the circumstances of the registration"),
            _REQUEST_LANGUAGE,
        ),
        *_CONNECTION,
        _WEBTASK,
    ),
    answer="The answer is kept in the run and has no effect.",
    refusal="An error fails the run; the user stays registered and has had their answer.",
    error_classes=_REGISTRATION_ERROR_CLASSES,
    callback_arguments="error, response",
    starter_body="""\
  // The user is stored and has been answered: nothing here delays or undoes the registration.
  // What you start may go on after cb(); the run ends when all of it has ended.
  cb();""",
    requirements=_REGISTRATION_REQUIREMENTS,
    runner_body=runner_bodies.POST_USER_REGISTRATION,
)

POST_CHANGE_PASSWORD = ExtensibilityPoint(
    trigger_id=TriggerId("post-change-password"),
    name="Post-Change Password",
    when="After the password of a user of a database connection was changed, by the user or by an administrator.",
    blocking=False,
    fires=False,
    arguments=("user", "context"),
    parameters=(
        *_parameters(
            ("user", "object", "the user whose password was changed"),
            ("user.id", "string", "the user's id, without the prefix auth0|"),
            ("user.username", "string", "the user name, or null where the connection has none"),
            ("user.email", "string", "the e-mail address, or null"),
            ("user.last_password_reset", "string", "when the password was changed (ISO 8601, UTC)"),
            ("context", "object", "the circumstances of the change"),
        ),
        *_CONNECTION,
        _WEBTASK,
    ),
    answer="The answer is kept in the run and has no effect.",
    refusal="An error fails the run; the new password stays.",
    error_classes=_REGISTRATION_ERROR_CLASSES,
    callback_arguments="error, response",
    starter_body="""\
  // The new password is stored: nothing here delays or undoes the change.
  cb();""",
    requirements=_REGISTRATION_REQUIREMENTS,
    runner_body=runner_bodies.POST_CHANGE_PASSWORD,
)

CREDENTIALS_EXCHANGE = ExtensibilityPoint(
    trigger_id=TriggerId("credentials-exchange"),
    name="Client Credentials Exchange",
    when="Before an access token is issued for the client credentials grant.",
    blocking=True,
    fires=False,
    arguments=("client", "scope", "audience", "context"),
    parameters=(
        *_parameters(
            ("client", "object", "the application that asks for the token"),
            ("client.name", "string", "its name"),
            ("client.id", "string", "its client id"),
            ("client.tenant", "string", "the name of the tenant"),
            ("client.metadata", "object", "what is kept about the application"),
            ("scope", "array", "the granted scopes as strings, or null"),
            ("audience", "string", "the API that the token is for"),
            ("context", "object", "the circumstances of the exchange"),
        ),
        _WEBTASK,
    ),
    answer="`scope` of the answer becomes the token's; members named by an http or https URL become claims. "
    "Everything else is ignored.",
    refusal="An InvalidScopeError or InvalidRequestError is answered 400, any other error 500, with its message.",
    error_classes=("InvalidScopeError", "InvalidRequestError", "ServerError"),
    callback_arguments="error, accessTokenClaims",
    starter_body="""\
  var access_token = {};
  access_token.scope = scope; // without this line the token loses its scopes

  // To add a claim or a scope:
  // access_token['https://example.com/plan'] = 'gold';
  // access_token.scope.push('read:reports');

  // To refuse the token:
  // return cb(new InvalidScopeError('This scope is not for you.'));   // 400 invalid_scope
  // return cb(new InvalidRequestError('Something is missing.'));      // 400 invalid_request
  // return cb(new ServerError('We cannot answer now.'));              // 500 server_error

  // The token waits for this call.
  cb(null, access_token);""",
    requirements=(
        Requirement(path="client", type="object"),
        Requirement(path="scope", type="array", optional=True),
        Requirement(path="audience", type="string"),
        Requirement(path="context", type="object", optional=True),
    ),
    runner_body=runner_bodies.CREDENTIALS_EXCHANGE,
)

SEND_PHONE_MESSAGE = ExtensibilityPoint(
    trigger_id=TriggerId("send-phone-message"),
    name="Send Phone Message",
    when="When a message with a one-time code is to be sent to a phone.",
    blocking=True,
    fires=False,
    arguments=("recipient", "text", "context"),
    parameters=(
        *_parameters(
            ("recipient", "string", "the phone number to send to"),
            ("text", "string", "the message, with the code in it"),
            ("context", "object", "the circumstances of the message"),
            ("context.message_type", "string", "'sms' or 'voice'"),
            ("context.action", "string", "'enrollment' or 'second-factor-authentication'"),
            ("context.language", "string", "the language of the sign-in"),
            ("context.code", "string", "the one-time code alone"),
            ("context.ip", "string", "the address that the sign-in comes from"),
            ("context.user_agent", "string", "the program that signs in"),
            ("context.client", "object", "the application that is signed in to, or null"),
            ("context.client.client_id", "string", "its client id"),
            ("context.client.name", "string", "its name"),
            ("context.client.client_metadata", "object", "what is kept about the application"),
            ("context.user", "object", "the user who signs in"),
            ("context.user.user_id", "string", "the user's id"),
            ("context.user.name", "string", "the user's full name"),
            ("context.user.email", "string", "the user's e-mail address"),
            ("context.user.app_metadata", "object", "what applications keep about the user"),
            ("context.user.user_metadata", "object", "what is kept about the user and theirs to change"),
        ),
        _WEBTASK,
    ),
    answer="The answer is kept and has no effect.",
    refusal="An error ends the sign-in; a SendPhoneMessageError's second text is shown to the person.",
    error_classes=("SendPhoneMessageError",),
    callback_arguments="error, response",
    starter_body="""\
  // Hand the message to your provider here, then call cb().
  cb();""",
    requirements=(
        Requirement(path="recipient", type="string"),
        Requirement(path="text", type="string"),
        Requirement(path="context", type="object"),
        Requirement(path="context.message_type", type="string", choices=("sms", "voice")),
        Requirement(
            path="context.action", type="string", choices=("enrollment", "second-factor-authentication")
        ),
        Requirement(path="context.language", type="string"),
        Requirement(path="context.code", type="string"),
        Requirement(path="context.ip", type="string"),
        Requirement(path="context.user_agent", type="string"),
        Requirement(path="context.user", type="object"),
        Requirement(path="context.client", type="object", optional=True),
        Requirement(path="context.client.client_id", type="string"),
        Requirement(path="context.client.name", type="string"),
        Requirement(path="context.client.client_metadata", type="object", optional=True),
    ),
    runner_body=runner_bodies.SEND_PHONE_MESSAGE,
)

POINTS: tuple[ExtensibilityPoint, ...] = (
    CREDENTIALS_EXCHANGE,
    PRE_USER_REGISTRATION,
    POST_USER_REGISTRATION,
    POST_CHANGE_PASSWORD,
    SEND_PHONE_MESSAGE,
)
"""Every point, in the order of the dashboard."""

TRIGGER_IDS: tuple[TriggerId, ...] = tuple(point.trigger_id for point in POINTS)

_BY_TRIGGER_ID = {point.trigger_id: point for point in POINTS}


def point_of(trigger_id: str) -> ExtensibilityPoint:
    """Return the point of a trigger id.

    Raises:
        UnknownTriggerError: there is none.
    """
    point = _BY_TRIGGER_ID.get(TriggerId(trigger_id))
    if point is None:
        raise UnknownTriggerError(f"There is no extensibility point '{trigger_id}'.")
    return point
