"""What endpoints may ask for. ``application.py`` puts the parts on ``app.state``; these hand them out, typed.

All are ``async``: FastAPI runs plain functions in a thread, which costs more than most of our work.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from tenterhook.clock import Clock
from tenterhook.database import Database
from tenterhook.directory import AccessTokens, Tenant, Tenants
from tenterhook.flows import Registrar
from tenterhook.settings import Settings


async def _settings(request: Request) -> Settings:
    found: Settings = request.app.state.settings
    return found


async def _database(request: Request) -> Database:
    found: Database = request.app.state.database
    return found


async def _clock(request: Request) -> Clock:
    found: Clock = request.app.state.clock
    return found


async def _access_tokens(request: Request) -> AccessTokens:
    found: AccessTokens = request.app.state.access_tokens
    return found


async def _registrar(request: Request) -> Registrar:
    found: Registrar = request.app.state.registrar
    return found


async def _tenant(request: Request) -> Tenant:
    tenants: Tenants = request.app.state.tenants
    return await tenants.find_by_authority(request.headers.get("host", ""))


CurrentSettings = Annotated[Settings, Depends(_settings)]
CurrentDatabase = Annotated[Database, Depends(_database)]
CurrentClock = Annotated[Clock, Depends(_clock)]
CurrentAccessTokens = Annotated[AccessTokens, Depends(_access_tokens)]
CurrentRegistrar = Annotated[Registrar, Depends(_registrar)]
CurrentTenant = Annotated[Tenant, Depends(_tenant)]
"""The tenant whose domain equals the request's Host authority; ``NotFoundError`` when there is none."""
