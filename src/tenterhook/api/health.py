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

ReadinessCheck = Callable[[], Awaitable[str | None]]
"""Return None when all is well, else the reason in one sentence."""

router = APIRouter(tags=["health"])
_log = structlog.get_logger(__name__)


@router.get("/health")
async def health() -> dict[str, Any]:
    """Tell that the process is alive, and its version; nothing else is asked."""
    return {"status": "ok", "version": tenterhook.__version__}


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
