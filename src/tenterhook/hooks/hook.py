"""The values that this package hands out: a hook, its versions, and what a save came to."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence

from pydantic import SecretStr

from tenterhook.egress import Mode, Rules
from tenterhook.hooks.extensibility_point import TriggerId
from tenterhook.hooks.module_sets import ModuleFailure
from tenterhook.ids import HookId, TenantId
from tenterhook.sandbox.modules import ModuleSet, ResolvedModule


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Hook:
    """A hook as its tenant sees it, with the code of its newest version."""

    id: HookId
    tenant_id: TenantId
    name: str
    trigger_id: TriggerId
    enabled: bool
    version: int
    """The number of its newest version, from 1."""
    script: str
    dependencies: Mapping[str, str]
    created_at: dt.datetime
    updated_at: dt.datetime

    @property
    def etag(self) -> str:
        """Return a strong entity tag, quotes included: another one after every change that can be seen.

        Script and dependencies need not go in: they never change within a version.
        """
        visible = f"{self.id}\n{self.version}\n{self.enabled}\n{self.name}"
        return f'"{hashlib.sha256(visible.encode()).hexdigest()[:32]}"'


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class HookVersion:
    """An immutable save of a hook's code."""

    hook_id: HookId
    number: int
    script: str
    dependencies: Mapping[str, str]
    modules: tuple[ResolvedModule, ...]
    """What the code runs with, and who chose each version."""
    module_notes: tuple[str, ...]
    """Sentences for the author."""
    module_failure: ModuleFailure | None
    """Why there are no modules; None when all is well."""
    created_at: dt.datetime


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class NewHook:
    """What a hook is made of."""

    name: str
    script: str
    trigger_id: TriggerId
    enabled: bool = False
    dependencies: Mapping[str, str] = dataclasses.field(default_factory=dict)
    secrets: Mapping[str, SecretStr] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class HookChanges:
    """What is to be different; None leaves as it is."""

    name: str | None = None
    script: str | None = None
    enabled: bool | None = None
    dependencies: Mapping[str, str] | None = None

    @property
    def makes_version(self) -> bool:
        """Whether the change is a save of code: also when it says what is there already."""
        return self.script is not None or self.dependencies is not None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SavedHook:
    """What a creation or change came to."""

    hook: Hook
    version: HookVersion
    """The hook's newest version."""
    disabled: Hook | None = None
    """The hook of the same point that was disabled because this one was enabled."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HookSettings:
    """The settings of one hook; as constructed here, those of a hook that has none of its own."""

    limits: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Its own limits by their names in ``sandbox.KINDS``; what is absent is the operator's default."""
    rules: Rules = dataclasses.field(default_factory=Rules)
    """Which of the addresses that the operator permits it may reach."""
    own_process: bool = False
    """Whether no other hook may share its processes."""

    @property
    def etag(self) -> str:
        """Return a strong entity tag, quotes included."""
        seen = json.dumps([self.limits, self.rules.to_json(), self.own_process], sort_keys=True)
        return f'"{hashlib.sha256(seen.encode()).hexdigest()[:32]}"'


@dataclasses.dataclass(frozen=True, kw_only=True)
class HookSettingsChanges:
    """What is to be different; None leaves as it is."""

    limits: Mapping[str, float | None] | None = None
    """By name; None as a value goes back to the operator's default. Limits that are not named stay."""
    egress_mode: Mode | None = None
    egress_allow: Sequence[str] | None = None
    """The whole list."""
    own_process: bool | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LoadedHook:
    """Everything an execution needs."""

    id: HookId
    tenant_id: TenantId
    name: str
    trigger_id: TriggerId
    enabled: bool
    version: int
    """The version whose code this is; 0 for a draft."""
    script: str
    dependencies: Mapping[str, str]
    module_set: ModuleSet
    module_set_key: str | None
    """The set's key, None for the empty set; kept because computing it means hashing a lock file."""
    module_error: ModuleFailure | None
    secrets: Mapping[str, SecretStr]
    settings: HookSettings = dataclasses.field(default_factory=HookSettings)
