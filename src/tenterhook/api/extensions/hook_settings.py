"""GET and PATCH /api/extensions/hooks/{id}/settings: a hook's limits, its rules for outgoing connections, its own process.

    {"limits": {"wall_time_seconds": 60, "memory_bytes": null}}        a value of its own; back to the default
    {"egress": {"mode": "enforce", "allow": ["api.example.com:443"]}}  nothing but what the list names
    {"own_process": true}                                              no other hook in its processes

They are in force from the next attempt on and belong to no version. ``limits`` may be sent back as it was read.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator
from starlette.responses import JSONResponse

from tenterhook.api.authorization import ManagementToken, requires_scope
from tenterhook.api.change_log import ChangeLog
from tenterhook.api.dependencies import CurrentClock, CurrentDatabase, CurrentSettings
from tenterhook.api.hook_parts import CurrentHookEditor, HookIdInPath
from tenterhook.api.preconditions import IfMatch, answering_412, entity_tags
from tenterhook.api.requests import DocumentedRoute, payload
from tenterhook.database import Transaction
from tenterhook.egress import MAX_ENTRIES, Mode
from tenterhook.hooks import HookSettings, HookSettingsChanges, get_hook_settings
from tenterhook.sandbox import KINDS, LimitKind
from tenterhook.settings import Settings, environment_name

router = APIRouter(route_class=DocumentedRoute, tags=["hooks"])

PATH = "/api/extensions/hooks/{hook_id}/settings"


class LimitOut(BaseModel):
    """One limit with its bounds."""

    value: float = Field(description="What the next attempt has.")
    own: float | None = Field(description="The hook's own value; null: it has the default.")
    default: float = Field(description="What the operator gives to a hook that says nothing.")
    minimum: float = Field(description="Least that is of use.")
    maximum: float = Field(description="Most that a hook may have.")
    unit: str
    meaning: str
    setting: str = Field(description="The operator's setting for the default.")
    maximum_setting: str = Field(description="The operator's setting for the maximum.")


class EgressOut(BaseModel):
    """Which of the addresses that the operator permits a hook may reach."""

    mode: Mode = Field(
        description="open: all of them; report: all, and what is not on the list is marked in the run; enforce: the list."
    )
    allow: list[str] = Field(
        description="HOST:PORT, *.HOST:PORT, ADDRESS:PORT or NETWORK:PORT; port * is any."
    )


class HookSettingsOut(BaseModel):
    """A hook's settings."""

    limits: dict[str, float | None] = Field(description="Its own limits; null: the operator's default.")
    limits_in_force: dict[str, LimitOut] = Field(description="What that comes to, by the same names.")
    egress: EgressOut
    own_process: bool = Field(description="Whether no other hook shares its processes.")


def _limit_field(kind: LimitKind) -> tuple[Any, Any]:
    number: Any = int if kind.whole else float
    return number | None, Field(
        default=None, description=f"{kind.meaning} In {kind.unit}; null: the default."
    )


_LIMIT_FIELDS: dict[str, Any] = {kind.name: _limit_field(kind) for kind in KINDS}

LimitsIn: type[BaseModel] = create_model("LimitsIn", __config__=ConfigDict(extra="forbid"), **_LIMIT_FIELDS)


class EgressIn(BaseModel):
    """Rules to change; what is absent stays."""

    model_config = ConfigDict(extra="forbid")

    # As with a change of a hook, only what was sent counts; the defaults are never looked at.
    mode: str = Field(default=Mode.OPEN.value, pattern="^(open|report|enforce)$", description="See GET")
    allow: Annotated[list[str], Field(max_length=MAX_ENTRIES)] = Field(
        default=[], description="The whole list; a line without a port means 443"
    )


class HookSettingsIn(BaseModel):
    """What is to be different; what is absent stays."""

    model_config = ConfigDict(extra="forbid")

    limits: LimitsIn = Field(default=LimitsIn(), description="Limits to change; what is absent stays")
    egress: EgressIn = EgressIn()
    own_process: bool = Field(default=False, description="Whether no other hook may share its processes")

    @model_validator(mode="after")
    def _something_changes(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("At least one of limits, egress, own_process is required")
        return self

    def changes(self) -> HookSettingsChanges:
        """Return what was sent."""
        sent = self.model_dump(exclude_unset=True)
        egress = sent.get("egress", {})
        return HookSettingsChanges(
            limits=sent.get("limits"),
            egress_mode=Mode(egress["mode"]) if "mode" in egress else None,
            egress_allow=egress.get("allow"),
            own_process=sent.get("own_process"),
        )


@router.get(PATH, responses={200: {"model": HookSettingsOut}}, response_model=None)
async def get_settings(
    *,
    hook_id: HookIdInPath,
    database: CurrentDatabase,
    settings: CurrentSettings,
    token: ManagementToken = requires_scope("read:hooks"),
) -> JSONResponse:
    """Return a hook's settings; their `ETag` may be sent as `If-Match` with a change."""
    async with database.reader() as reader:
        found = await get_hook_settings(reader, token.tenant.id, hook_id)
    return JSONResponse(_body(found, settings), headers={"ETag": found.etag})


@router.patch(PATH, responses={200: {"model": HookSettingsOut}}, response_model=None)
async def update_settings(
    *,
    request: Request,
    hook_id: HookIdInPath,
    editor: CurrentHookEditor,
    settings: CurrentSettings,
    clock: CurrentClock,
    token: ManagementToken = requires_scope("update:hooks"),
    body: HookSettingsIn = payload(HookSettingsIn),
    if_match: IfMatch = None,
) -> JSONResponse:
    """Change a hook's settings and return the whole of them; a value above the operator's maximum is refused."""
    log = ChangeLog(request=request, token=token, clock=clock, description="Update a hook's settings")

    async def record(transaction: Transaction, changed: HookSettings) -> None:
        await log.write(
            transaction,
            body=body.model_dump(exclude_unset=True),
            status=200,
            response=_own(changed),
            hook={"id": hook_id},
        )

    with answering_412():
        changed = await editor.change_settings(
            token.tenant.id,
            hook_id,
            body.changes(),
            settings=settings,
            if_match=entity_tags(if_match),
            record=record,
        )
    return JSONResponse(_body(changed, settings), headers={"ETag": changed.etag})


def _own(hook: HookSettings) -> dict[str, Any]:
    return {
        "limits": {kind.name: hook.limits.get(kind.name) for kind in KINDS},
        "egress": hook.rules.to_json(),
        "own_process": hook.own_process,
    }


def _body(hook: HookSettings, settings: Settings) -> dict[str, Any]:
    in_force = {
        kind.name: {
            "value": kind.effective(settings, hook.limits),
            "own": hook.limits.get(kind.name),
            "default": kind.default(settings),
            "minimum": kind.minimum,
            "maximum": kind.maximum(settings),
            "unit": kind.unit,
            "meaning": kind.meaning,
            "setting": environment_name(kind.setting),
            "maximum_setting": environment_name(kind.maximum_setting),
        }
        for kind in KINDS
    }
    own = _own(hook)
    return {
        "limits": own["limits"],
        "limits_in_force": in_force,
        "egress": own["egress"],
        "own_process": own["own_process"],
    }
