"""The web application: every route, in the order of the table of contents below.

``application.py`` calls ``create_app`` and puts the parts that endpoints ask for (``dependencies.py``) on
``app.state`` before the first request.
"""

from __future__ import annotations

from fastapi import APIRouter, FastAPI

import tenterhook
from tenterhook.api import health
from tenterhook.api.errors import install_error_handlers
from tenterhook.api.middleware import CrossOrigin, RequestScope
from tenterhook.settings import Settings

ROUTERS: tuple[APIRouter, ...] = (
    # who is there
    health.router,
)


def create_app(settings: Settings) -> FastAPI:
    """Return the application with all its routes."""
    app = FastAPI(title="Tenterhook", version=tenterhook.__version__, docs_url=None, redoc_url=None)
    app.state.settings = settings
    app.state.readiness_checks = {}
    for router in ROUTERS:
        app.include_router(router)
    install_error_handlers(app)
    app.add_middleware(RequestScope)
    app.add_middleware(CrossOrigin)  # added last, so outermost
    return app
