"""GET /api/extensions/extensibility-points: the catalogue, with starter code and the Runner's default body."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from tenterhook.api.authorization import ManagementToken, requires_scope
from tenterhook.api.requests import DocumentedRoute
from tenterhook.hooks import POINTS, ExtensibilityPoint, point_of, starter_code

router = APIRouter(route_class=DocumentedRoute, tags=["hooks"])


class ParameterOut(BaseModel):
    """One value that a hook can read."""

    path: str = Field(description="As the code writes it: user.email.")
    type: str = Field(description="JavaScript's word for its type; a value may be null besides.")
    meaning: str
    presence: str = Field(
        description="always (null where there is no value), permitted (by the operator, else absent) or added "
        "(by the sandbox)."
    )


class ExtensibilityPointOut(BaseModel):
    """One place where a hook is called."""

    trigger_id: str = Field(description="What a hook has as triggerId.")
    name: str
    when: str = Field(description="When its hook is called.")
    blocking: bool = Field(description="Whether the caller waits for the hook.")
    fires: bool = Field(description="Whether this version calls it by itself; if not, only the Runner does.")
    arguments: list[str] = Field(description="The function's arguments before cb.")
    parameters: list[ParameterOut]
    answer: str = Field(description="What the second argument of cb does.")
    refusal: str = Field(description="What an error does.")
    error_classes: list[str] = Field(description="Error classes that the code finds defined.")
    starter_code: str
    runner_body: str = Field(description="The Runner's default body, as JSON text.")


@router.get(
    "/api/extensions/extensibility-points",
    responses={200: {"model": list[ExtensibilityPointOut]}},
    response_model=None,
)
async def get_extensibility_points(*, token: ManagementToken = requires_scope("read:hooks")) -> JSONResponse:
    """List the extensibility points."""
    del token  # asked for, so that only who may read hooks gets here
    return JSONResponse([_point_body(point) for point in POINTS])


@router.get(
    "/api/extensions/extensibility-points/{trigger_id}",
    responses={200: {"model": ExtensibilityPointOut}},
    response_model=None,
)
async def get_extensibility_point(
    *,
    trigger_id: Annotated[str, Path(pattern="^[a-z-]+$", max_length=64, description="The point's id.")],
    token: ManagementToken = requires_scope("read:hooks"),
) -> JSONResponse:
    """Return one extensibility point."""
    del token
    return JSONResponse(_point_body(point_of(trigger_id)))


def _point_body(point: ExtensibilityPoint) -> dict[str, Any]:
    return {
        "trigger_id": point.trigger_id,
        "name": point.name,
        "when": point.when,
        "blocking": point.blocking,
        "fires": point.fires,
        "arguments": list(point.arguments),
        "parameters": [
            {
                "path": parameter.path,
                "type": parameter.type,
                "meaning": parameter.meaning,
                "presence": parameter.presence.value,
            }
            for parameter in point.parameters
        ],
        "answer": point.answer,
        "refusal": point.refusal,
        "error_classes": list(point.error_classes),
        "starter_code": starter_code(point),
        "runner_body": point.runner_body,
    }
