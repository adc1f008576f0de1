"""GET /api/extensions/hooks/{id}/egress/proposal: the allow-list that a hook's past runs would need."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from tenterhook.api.authorization import ManagementToken, requires_scope
from tenterhook.api.dependencies import CurrentDatabase
from tenterhook.api.hook_parts import HookIdInPath
from tenterhook.api.requests import DocumentedRoute
from tenterhook.clock import to_iso
from tenterhook.hooks import ProposedEntry, get_hook_settings, propose_list
from tenterhook.runs import past_connections

router = APIRouter(route_class=DocumentedRoute, tags=["hooks"])


class ProposedEntryOut(BaseModel):
    """A line for the list, and why."""

    entry: str = Field(description="As it may stand in `egress.allow`: api.example.com:443.")
    times: int = Field(description="Connections that it would have covered.")
    last_at: str = Field(description="When the last attempt with such a connection started.")


class EgressProposalOut(BaseModel):
    """What a hook's newest runs say about its list."""

    mode: str = Field(description="The hook's mode: open, report or enforce.")
    allow: list[str] = Field(description="Its list as it is.")
    proposed: list[ProposedEntryOut] = Field(
        description="Reached, and not on the list; the most frequent first."
    )
    refused: list[ProposedEntryOut] = Field(
        description="Tried, and refused only because the list lacks it; look before you add it."
    )
    unused: list[str] = Field(description="On the list, and not reached.")


@router.get(
    "/api/extensions/hooks/{hook_id}/egress/proposal",
    responses={200: {"model": EgressProposalOut}},
    response_model=None,
)
async def get_egress_proposal(
    *,
    hook_id: HookIdInPath,
    database: CurrentDatabase,
    token: ManagementToken = requires_scope("read:runs"),
) -> JSONResponse:
    """Propose an allow-list from the hook's newest thousand runs."""
    async with database.reader() as reader:
        found = await get_hook_settings(reader, token.tenant.id, hook_id)
        connections = await past_connections(reader, token.tenant.id, hook_id)
    proposal = propose_list(connections, found.rules)
    return JSONResponse(
        {
            **found.rules.to_json(),
            "proposed": [_entry(each) for each in proposal.proposed],
            "refused": [_entry(each) for each in proposal.refused],
            "unused": list(proposal.unused),
        }
    )


def _entry(proposed: ProposedEntry) -> dict[str, Any]:
    return {"entry": proposed.entry, "times": proposed.times, "last_at": to_iso(proposed.last_at)}
