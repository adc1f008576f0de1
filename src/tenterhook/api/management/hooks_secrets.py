"""/api/v2/hooks/{id}/secrets: names can be read, values only written.

`_VALUE_NOT_SHOWN_` stands for a value. Sent back with PATCH it keeps the value that is there, with POST it is refused,
so importing an export that was masked leaves secrets alone.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field, SecretStr
from starlette.responses import JSONResponse, Response

from tenterhook.api.authorization import ManagementToken, requires_scope
from tenterhook.api.change_log import ChangeLog
from tenterhook.api.dependencies import CurrentClock, CurrentDatabase
from tenterhook.api.hook_parts import CurrentHookEditor, HookIdInPath, masked_secrets
from tenterhook.api.requests import DocumentedRoute, payload
from tenterhook.database import Transaction
from tenterhook.hooks import MAX_SECRETS, PLACEHOLDER, get_hook, list_names

router = APIRouter(route_class=DocumentedRoute, tags=["hooks"])

PATH = "/api/v2/hooks/{hook_id}/secrets"

SecretsIn = Annotated[
    dict[str, SecretStr],
    Field(min_length=1, max_length=MAX_SECRETS, description="Names and values"),
]
SecretNamesIn = Annotated[list[str], Field(min_length=1, max_length=1000, description="Names")]


@router.get(PATH, responses={200: {"model": dict[str, str]}}, response_model=None)
async def get_secrets(
    *,
    hook_id: HookIdInPath,
    database: CurrentDatabase,
    token: ManagementToken = requires_scope("read:hooks"),
) -> JSONResponse:
    """Return the names of a hook's secrets."""
    async with database.reader() as reader:
        await get_hook(reader, token.tenant.id, hook_id)
        names = await list_names(reader, hook_id)
    return JSONResponse(dict.fromkeys(names, PLACEHOLDER))


@router.post(PATH, status_code=201, response_model=None)
async def add_secrets(
    *,
    request: Request,
    hook_id: HookIdInPath,
    editor: CurrentHookEditor,
    clock: CurrentClock,
    token: ManagementToken = requires_scope("create:hooks", "update:hooks"),
    body: dict[str, SecretStr] = payload(SecretsIn),
) -> JSONResponse:
    """Add secrets; none is added if one of the names is there already."""
    log = ChangeLog(request=request, token=token, clock=clock, description="Add hook secrets")

    async def record(transaction: Transaction) -> None:
        sent = masked_secrets(list(body))
        await log.write(transaction, body=sent, status=201, response={}, hook={"id": hook_id})

    await editor.add_secrets(token.tenant.id, hook_id, body, record=record)
    return JSONResponse({}, 201)


@router.patch(PATH, status_code=201, response_model=None)
async def change_secrets(
    *,
    request: Request,
    hook_id: HookIdInPath,
    editor: CurrentHookEditor,
    clock: CurrentClock,
    token: ManagementToken = requires_scope("create:hooks", "update:hooks"),
    body: dict[str, SecretStr] = payload(SecretsIn),
) -> JSONResponse:
    """Change secrets; none is changed if one of the names is not there."""
    log = ChangeLog(request=request, token=token, clock=clock, description="Update hook secrets")

    async def record(transaction: Transaction) -> None:
        sent = masked_secrets(list(body))
        await log.write(transaction, body=sent, status=201, response={}, hook={"id": hook_id})

    await editor.change_secrets(token.tenant.id, hook_id, body, record=record)
    return JSONResponse({}, 201)


@router.delete(PATH, status_code=204, response_model=None)
async def delete_secrets(
    *,
    request: Request,
    hook_id: HookIdInPath,
    editor: CurrentHookEditor,
    clock: CurrentClock,
    token: ManagementToken = requires_scope("delete:hooks"),
    body: list[str] = payload(SecretNamesIn),
) -> Response:
    """Delete secrets; names that are not there are no error."""
    log = ChangeLog(request=request, token=token, clock=clock, description="Delete hook secrets")

    async def record(transaction: Transaction) -> None:
        await log.write(transaction, body=body, status=204, response={}, hook={"id": hook_id})

    await editor.remove_secrets(token.tenant.id, hook_id, body, record=record)
    return Response(status_code=204)
