"""The web application: every route, in the order of the table of contents below.

``application.py`` calls ``create_app`` and puts the parts that endpoints ask for (``dependencies.py``) on
``app.state`` before the first request.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI

import tenterhook
from tenterhook.api import health
from tenterhook.api.authentication import discovery, issue_token, sign_up
from tenterhook.api.errors import install_error_handlers
from tenterhook.api.extensions import (
    extensibility_points,
    hook_egress,
    hook_runner,
    hook_settings,
    hook_versions,
    runs,
)
from tenterhook.api.management import (
    hooks_create,
    hooks_delete,
    hooks_get,
    hooks_list,
    hooks_secrets,
    hooks_update,
    logs,
    users_create,
    users_delete,
    users_get,
    users_list,
)
from tenterhook.api.middleware import CrossOrigin, RequestScope
from tenterhook.settings import Settings

ROUTERS: tuple[APIRouter, ...] = (
    # what applications call; sign-up first, for it is matched first
    sign_up.router,
    issue_token.router,
    discovery.router,
    # what operators call
    users_create.router,
    users_list.router,
    users_get.router,
    users_delete.router,
    hooks_create.router,
    hooks_list.router,
    hooks_get.router,
    hooks_update.router,
    hooks_delete.router,
    hooks_secrets.router,
    logs.router,
    # what Auth0 has not
    extensibility_points.router,
    hook_versions.router,
    hook_settings.router,
    hook_egress.router,
    hook_runner.router,
    runs.router,
    # who is there
    health.router,
)


def create_app(settings: Settings) -> FastAPI:
    """Return the application with all its routes."""
    app = FastAPI(title="Tenterhook", version=tenterhook.__version__, docs_url=None, redoc_url=None)
    app.state.settings = settings
    app.state.readiness_checks = {}
    app.state.sandbox = None
    for router in ROUTERS:
        app.include_router(router)
    install_error_handlers(app)
    app.add_middleware(RequestScope)
    app.add_middleware(CrossOrigin)  # added last, so outermost
    app.openapi = partial(_described, app.openapi)  # type: ignore[method-assign] # FastAPI's documented way
    return app


def _described(describe: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Add what our own dependencies ask for, which FastAPI cannot know."""
    description = describe()
    schemes = description.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["bearer"] = {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of POST /oauth/token for the management API.",
    }
    return description
