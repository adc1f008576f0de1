"""GET /api/extensions/hooks/{id}/versions: every save of a hook's code, with the npm modules it runs with."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from tenterhook.api.authorization import ManagementToken, requires_scope
from tenterhook.api.dependencies import CurrentDatabase
from tenterhook.api.hook_parts import (
    HookIdInPath,
    ModuleErrorOut,
    ModuleOut,
    module_error_body,
    modules_body,
)
from tenterhook.api.requests import DocumentedRoute
from tenterhook.clock import to_iso
from tenterhook.hooks import HookVersion, get_hook, get_version, list_versions

router = APIRouter(route_class=DocumentedRoute, tags=["hooks"])

MAX_VERSION = 2**31 - 1


class HookVersionOut(BaseModel):
    """An immutable save of a hook's code."""

    version: int = Field(description="Its number, from 1.")
    newest: bool = Field(description="Whether it is the code that runs.")
    created_at: str
    dependencies: dict[str, str] = Field(description="As the hook declared them.")
    modules: list[ModuleOut] = Field(description="What it runs with, and who chose each version.")
    module_notes: list[str] = Field(description="What the author should know about the choice.")
    module_error: ModuleErrorOut | None = Field(
        description="Why there are no modules; its runs cannot start."
    )
    script: str | None = Field(default=None, description="The code; absent in lists.")


@router.get(
    "/api/extensions/hooks/{hook_id}/versions",
    responses={200: {"model": list[HookVersionOut]}},
    response_model=None,
)
async def get_versions(
    *,
    hook_id: HookIdInPath,
    database: CurrentDatabase,
    token: ManagementToken = requires_scope("read:hooks"),
    page: Annotated[int, Query(ge=0, le=1_000_000, description="Which page, from 0.")] = 0,
    per_page: Annotated[int, Query(ge=1, le=100, description="Versions per page.")] = 50,
) -> JSONResponse:
    """List a hook's versions without their code, newest first."""
    async with database.reader() as reader:
        hook = await get_hook(reader, token.tenant.id, hook_id)
        versions = await list_versions(
            reader, token.tenant.id, hook_id, offset=page * per_page, limit=per_page
        )
    return JSONResponse([_version_body(version, newest=hook.version) for version in versions])


@router.get(
    "/api/extensions/hooks/{hook_id}/versions/{version}",
    responses={200: {"model": HookVersionOut}},
    response_model=None,
)
async def get_one_version(
    *,
    hook_id: HookIdInPath,
    version: Annotated[int, Path(ge=1, le=MAX_VERSION, description="The version's number.")],
    database: CurrentDatabase,
    token: ManagementToken = requires_scope("read:hooks"),
) -> JSONResponse:
    """Return one version with its code."""
    async with database.reader() as reader:
        hook = await get_hook(reader, token.tenant.id, hook_id)
        found = await get_version(reader, token.tenant.id, hook_id, version)
    return JSONResponse({**_version_body(found, newest=hook.version), "script": found.script})


def _version_body(version: HookVersion, *, newest: int) -> dict[str, Any]:
    return {
        "version": version.number,
        "newest": version.number == newest,
        "created_at": to_iso(version.created_at),
        "dependencies": dict(version.dependencies),
        "modules": modules_body(version.modules),
        "module_notes": list(version.module_notes),
        "module_error": module_error_body(version.module_failure),
    }
