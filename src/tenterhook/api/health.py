"""``/health``: the process is alive. ``/ready``: it can do its work, or the reasons why not.

The database is checked here; ``application.py`` adds its own checks to ``app.state.readiness_checks``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

import tenterhook
from tenterhook.database import Database, SchemaOutdatedError, require_current_schema
from tenterhook.errors import TenterhookError
from tenterhook.sandbox import SandboxStatus

ReadinessCheck = Callable[[], Awaitable[str | None]]
"""Return None when all is well, else the reason in one sentence."""

router = APIRouter(tags=["health"])
_log = structlog.get_logger(__name__)


@router.get("/health")
async def health(request: Request) -> dict[str, Any]:
    """Tell that the process is alive, its version, and whether hooks are sandboxed here; nothing else is asked.

    Anybody learns the sandbox's tier. Its layers are for who brings a token of the management API, and what was found
    of the host is for the operator alone (`tenterhook doctor`). A token that is not good is overlooked: a health check
    must not fail for it.
    """
    body: dict[str, Any] = {"status": "ok", "version": tenterhook.__version__}
    sandbox: SandboxStatus | None = request.app.state.sandbox
    if sandbox is not None:
        body["sandbox"] = {
            "tier": sandbox.tier,
            "meaning": sandbox.meaning,
            "hooks_run": sandbox.hooks_run,
            "unsandboxed": sandbox.unsandboxed,
        }
        if await _brings_token(request):
            body["sandbox"]["layers"] = [
                {"name": layer.name, "available": layer.available, "lost": layer.lost}
                for layer in sandbox.layers
            ]
    return body


async def _brings_token(request: Request) -> bool:
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not text.strip():
        return False
    try:
        tenant = await request.app.state.tenants.find_by_authority(request.headers.get("host", ""))
        claims = await request.app.state.access_tokens.verify(tenant, text.strip())
    except TenterhookError:
        return False
    return tenant.management_audience in claims.audience


@router.get("/ready", responses={503: {"description": "Not ready; `checks` says why"}})
async def ready(request: Request) -> JSONResponse:
    """Tell whether requests can be served: 200, or 503 with a reason for each part that fails."""
    state = request.app.state
    checks: dict[str, ReadinessCheck] = {
        "database": lambda: _database_problem(state.database),
        **state.readiness_checks,
    }
    problems = {name: await check() for name, check in checks.items()}
    is_ready = not any(problems.values())
    body = {
        "status": "ready" if is_ready else "not ready",
        "checks": {k: v or "ok" for k, v in problems.items()},
    }
    return JSONResponse(body, 200 if is_ready else 503, headers={"Cache-Control": "no-store"})


async def _database_problem(database: Database) -> str | None:
    try:
        await require_current_schema(database)
    except SchemaOutdatedError as error:
        return error.message
    except Exception as error:  # noqa: BLE001 - whatever the driver raises, the answer is the same: not reachable
        _log.warning("database_not_reachable", error_type=type(error).__qualname__)
        return "The database cannot be reached."
    return None
