"""Hooks: the tenants' code at Auth0's extensibility points; what exists, how it is kept, how it is called.

catalogue, events, starter, bodies      what the points are
definitions, secrets, settings, editing what tenants have made of them
loading, invoking, storage              executing it
pre_user_registration                   the one point whose answer is waited for today
"""

from tenterhook.hooks.bodies import InvalidBodyError, check_body
from tenterhook.hooks.catalogue import (
    CREDENTIALS_EXCHANGE,
    POINTS,
    POST_CHANGE_PASSWORD,
    POST_USER_REGISTRATION,
    PRE_USER_REGISTRATION,
    SEND_PHONE_MESSAGE,
    TRIGGER_IDS,
    UnknownTriggerError,
    point_of,
)
from tenterhook.hooks.definitions import count_hooks, get_hook, get_version, list_hooks, list_versions
from tenterhook.hooks.editing import ANY_STATE, HookEditor
from tenterhook.hooks.egress_proposal import EgressProposal, ProposedEntry, propose_list
from tenterhook.hooks.errors import (
    HookChangedError,
    HookNameTakenError,
    HookNotFoundError,
    HookSecretExistsError,
    HookSecretNotFoundError,
    HookStorageTooLargeError,
    HookVersionNotFoundError,
    InvalidHookError,
    RegistrationDeniedError,
)
from tenterhook.hooks.events import Event, post_user_registration_event, pre_user_registration_event
from tenterhook.hooks.extensibility_point import ExtensibilityPoint, Parameter, Presence, TriggerId
from tenterhook.hooks.healing import with_modules
from tenterhook.hooks.hook import (
    Hook,
    HookChanges,
    HookSettings,
    HookSettingsChanges,
    HookVersion,
    LoadedHook,
    NewHook,
    SavedHook,
)
from tenterhook.hooks.hook_settings import get as get_hook_settings
from tenterhook.hooks.invoking import HookInvoker
from tenterhook.hooks.loading import enabled_hook_id, load
from tenterhook.hooks.module_sets import ModuleFailure, PreparedModules
from tenterhook.hooks.pre_user_registration import (
    MetadataAdditions,
    ask_before_registration,
    hook_before_registration,
)
from tenterhook.hooks.secrets import MAX_SECRETS, PLACEHOLDER, list_names
from tenterhook.hooks.starter import starter_code
from tenterhook.hooks.storage import HookStorage

__all__ = [
    "ANY_STATE",
    "CREDENTIALS_EXCHANGE",
    "MAX_SECRETS",
    "PLACEHOLDER",
    "POINTS",
    "POST_CHANGE_PASSWORD",
    "POST_USER_REGISTRATION",
    "PRE_USER_REGISTRATION",
    "SEND_PHONE_MESSAGE",
    "TRIGGER_IDS",
    "EgressProposal",
    "Event",
    "ExtensibilityPoint",
    "Hook",
    "HookChangedError",
    "HookChanges",
    "HookEditor",
    "HookInvoker",
    "HookNameTakenError",
    "HookNotFoundError",
    "HookSecretExistsError",
    "HookSecretNotFoundError",
    "HookSettings",
    "HookSettingsChanges",
    "HookStorage",
    "HookStorageTooLargeError",
    "HookVersion",
    "HookVersionNotFoundError",
    "InvalidBodyError",
    "InvalidHookError",
    "LoadedHook",
    "MetadataAdditions",
    "ModuleFailure",
    "NewHook",
    "Parameter",
    "PreparedModules",
    "Presence",
    "ProposedEntry",
    "RegistrationDeniedError",
    "SavedHook",
    "TriggerId",
    "UnknownTriggerError",
    "ask_before_registration",
    "check_body",
    "count_hooks",
    "enabled_hook_id",
    "get_hook",
    "get_hook_settings",
    "get_version",
    "hook_before_registration",
    "list_hooks",
    "list_names",
    "list_versions",
    "load",
    "point_of",
    "post_user_registration_event",
    "pre_user_registration_event",
    "propose_list",
    "starter_code",
    "with_modules",
]
