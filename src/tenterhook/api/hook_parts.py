"""What the endpoints about hooks share: how a hook is shown, named in a path, and saved with its log entry.

The body of a hook is Auth0's and has room for nothing else, so what a save did besides is told in headers:

| header                    | when                                        | value                                        |
| ------------------------- | ------------------------------------------- | -------------------------------------------- |
| `ETag`                    | always                                      | changes with every visible change            |
| `Tenterhook-Version`      | always                                      | number of the newest version                 |
| `Tenterhook-Modules`      | the version uses npm modules                | `slack-notify@2.0.7 (inferred), lodash@4.17.21 (declared)` |
| `Tenterhook-Module-Error` | they could not be had                       | `module_not_found: There is no module …`     |
| `Tenterhook-Disabled`     | enabling the hook disabled another          | that hook's id                               |

``GET /api/extensions/hooks/{id}/versions/{n}`` tells the same at length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from tenterhook.api.change_log import MASK, ChangeLog
from tenterhook.database import Transaction
from tenterhook.hooks import Hook, HookEditor, HookInvoker, HookVersion, ModuleFailure, SavedHook
from tenterhook.ids import HookId
from tenterhook.sandbox.modules import ResolvedModule

HOOK_FIELDS = ("id", "name", "script", "dependencies", "enabled", "triggerId")
"""The properties of a hook, in the order that Auth0 sends them."""

_MAX_HEADER_LENGTH = 2000


async def _editor(request: Request) -> HookEditor:
    found: HookEditor = request.app.state.hooks
    return found


async def _invoker(request: Request) -> HookInvoker:
    found: HookInvoker = request.app.state.invoker
    return found


CurrentHookEditor = Annotated[HookEditor, Depends(_editor)]
CurrentHookInvoker = Annotated[HookInvoker, Depends(_invoker)]
HookIdInPath = Annotated[HookId, Path(pattern="^[A-Za-z0-9-]*$", max_length=64, description="The hook's id.")]


HookName = Annotated[
    str,
    Field(
        pattern=r"^[a-zA-Z0-9]([ \-a-zA-Z0-9]*[a-zA-Z0-9])?$",
        max_length=255,
        description="Letters, digits, blanks and hyphens; a letter or digit at both ends",
    ),
]
HookScript = Annotated[str, Field(min_length=1, description="JavaScript that exports a function")]
HookDependencies = Annotated[
    dict[str, str], Field(description="npm modules and the versions the script uses of them")
]


class HookOut(BaseModel):
    """A hook as Auth0's management API shows it."""

    model_config = ConfigDict(populate_by_name=True)

    id: str = Field(description="The hook's id: 26 letters and digits.")
    name: str = Field(description="Unique among the tenant's hooks.")
    script: str = Field(description="The code of the newest version.")
    dependencies: dict[str, str] = Field(description="npm modules and their versions, as declared.")
    enabled: bool = Field(description="Whether the hook is called; at most one of each trigger is.")
    trigger_id: str = Field(alias="triggerId", description="The extensibility point.")


class ModuleOut(BaseModel):
    """One npm module that a version runs with."""

    specifier: str = Field(description="As the code requires it: lodash, lodash@4.17.21.")
    name: str = Field(description="The module's name in the registry.")
    version: str = Field(description="The exact version.")
    origin: str = Field(description="Who chose it: declared, versioned (in the code) or inferred (we did).")
    requested: str = Field(description="What was asked for; empty for a bare require.")


class ModuleErrorOut(BaseModel):
    """Why a version has no modules."""

    code: str = Field(description="For programs: module_not_found, registry_unreachable, …")
    message: str = Field(description="For the author.")
    passing: bool = Field(description="Whether a later run tries again.")


def hook_body(hook: Hook) -> dict[str, Any]:
    """Return a hook as JSON."""
    return {
        "id": hook.id,
        "name": hook.name,
        "script": hook.script,
        "dependencies": dict(hook.dependencies),
        "enabled": hook.enabled,
        "triggerId": hook.trigger_id,
    }


def modules_body(modules: Sequence[ResolvedModule]) -> list[dict[str, Any]]:
    """Return resolved modules as JSON."""
    return [
        ModuleOut(
            specifier=module.specifier,
            name=module.name,
            version=module.version,
            origin=module.origin.value,
            requested=module.requested,
        ).model_dump()
        for module in modules
    ]


def module_error_body(failure: ModuleFailure | None) -> dict[str, Any] | None:
    """Return the reason for missing modules as JSON."""
    if failure is None:
        return None
    return ModuleErrorOut(code=failure.code, message=failure.message, passing=failure.passing).model_dump()


def save_headers(saved: SavedHook) -> dict[str, str]:
    """Return what a save did besides, as headers."""
    headers = {"ETag": saved.hook.etag, **version_headers(saved.version)}
    if saved.disabled is not None:
        headers["Tenterhook-Disabled"] = saved.disabled.id
    return headers


def version_headers(version: HookVersion) -> dict[str, str]:
    """Return a version's number and modules as headers."""
    headers = {"Tenterhook-Version": str(version.number)}
    if version.modules:
        headers["Tenterhook-Modules"] = _header_text(
            ", ".join(f"{module.name}@{module.version} ({module.origin})" for module in version.modules)
        )
    if version.module_failure is not None:
        failure = version.module_failure
        headers["Tenterhook-Module-Error"] = _header_text(f"{failure.code}: {failure.message}")
    return headers


def saved_response(saved: SavedHook, *, status: int) -> JSONResponse:
    """Answer a creation or change with the whole hook."""
    return JSONResponse(hook_body(saved.hook), status, headers=save_headers(saved))


async def log_save(
    log: ChangeLog, transaction: Transaction, saved: SavedHook, *, sent: Mapping[str, Any], status: int
) -> None:
    """Write a save to the tenant log: secrets masked, and the code by its version, which keeps it anyway."""
    disabled = None if saved.disabled is None else {"id": saved.disabled.id, "name": saved.disabled.name}
    await log.write(
        transaction,
        body=_loggable(sent, saved),
        status=status,
        response=_loggable(hook_body(saved.hook), saved),
        hook={"id": saved.hook.id, "version": saved.hook.version, "disabled": disabled},
    )


def masked_secrets(names: Sequence[str]) -> dict[str, str]:
    """Return secrets as the log shows them."""
    return dict.fromkeys(names, MASK)


def _loggable(body: Mapping[str, Any], saved: SavedHook) -> dict[str, Any]:
    shown = dict(body)
    if "script" in shown:
        shown["script"] = f"(version {saved.hook.version}, {len(saved.hook.script.encode())} bytes)"
    if "secrets" in shown:
        shown["secrets"] = masked_secrets(list(shown["secrets"]))
    return shown


def _header_text(text: str) -> str:
    """Return text that may stand in a header: one line of ASCII, not too long."""
    line = " ".join(text.split()).encode("ascii", "replace").decode()
    return line if len(line) <= _MAX_HEADER_LENGTH else line[: _MAX_HEADER_LENGTH - 3] + "..."
