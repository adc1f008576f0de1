"""GET /api/v2/logs and GET /api/v2/logs/{id}: the tenant log, searched page by page or followed from an event on."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.responses import JSONResponse

from tenterhook import tenant_log
from tenterhook.api.authorization import ManagementToken, requires_scope
from tenterhook.api.dependencies import CurrentDatabase
from tenterhook.api.listing import (
    Fields,
    IncludeFields,
    IncludeTotals,
    Page,
    PerPage,
    narrowed,
    parse_sort,
    with_totals,
)
from tenterhook.api.requests import DocumentedRoute
from tenterhook.api.search_query import InvalidQueryError, parse_search_query
from tenterhook.clock import to_iso
from tenterhook.errors import NotFoundError
from tenterhook.tenant_log import LogRecord

router = APIRouter(route_class=DocumentedRoute, tags=["logs"])

_SCOPES = ("read:logs", "read:logs_users")
Query_ = Annotated[str | None, Query(max_length=2000, description='`type:"fs" AND client_id:"…"`')]


class UnknownLogEventError(NotFoundError):
    """The log event does not exist."""

    code = "inexistent_log"


@router.get("/api/v2/logs", response_model=None)
async def get_logs(
    *,
    database: CurrentDatabase,
    token: ManagementToken = requires_scope(*_SCOPES),
    page: Page = 0,
    per_page: PerPage = 50,
    include_totals: IncludeTotals = False,
    sort: Annotated[
        str | None, Query(max_length=100, description="`date:1` or `date:-1` (as without it).")
    ] = None,
    q: Query_ = None,
    search: Query_ = None,
    after: Annotated[
        str | None,
        Query(alias="from", max_length=100, description="Only events after this one, the oldest first."),
    ] = None,
    take: Annotated[int | None, Query(ge=1, le=100, description="How many events, with `from`.")] = None,
    fields: Fields = None,
    include_fields: IncludeFields = True,
) -> JSONResponse:
    """List events, the newest first; with ``from`` or ``take``, the oldest first from there on."""
    text = q or search
    equals = parse_search_query(text, tenant_log.SEARCHABLE) if text else []
    newest_first = parse_sort(sort, ("date",))[1] if sort else True
    async with database.reader() as reader:
        if after is not None or take is not None:
            if text is not None:
                raise InvalidQueryError(
                    "Query validation error: 'Not allowed together with from' on property q."
                )
            records = await tenant_log.list_of_tenant(
                reader, token.tenant.id, limit=take or 50, newest_first=False, after=after
            )
            return JSONResponse(_shown(records, fields, include_fields=include_fields))
        records = await tenant_log.list_of_tenant(
            reader,
            token.tenant.id,
            limit=per_page,
            offset=page * per_page,
            equals=equals,
            newest_first=newest_first,
        )
        items = _shown(records, fields, include_fields=include_fields)
        if not include_totals:
            return JSONResponse(items)
        total = await tenant_log.count_of_tenant(reader, token.tenant.id, equals)
        return JSONResponse(with_totals("logs", items, start=page * per_page, limit=per_page, total=total))


@router.get("/api/v2/logs/{log_id}", response_model=None)
async def get_log(
    database: CurrentDatabase,
    log_id: Annotated[str, Path(max_length=100, description="The event's id.")],
    token: ManagementToken = requires_scope(*_SCOPES),
) -> JSONResponse:
    """Return one event."""
    async with database.reader() as reader:
        record = await tenant_log.find(reader, token.tenant.id, log_id)
    if record is None:
        raise UnknownLogEventError
    return JSONResponse(_body(record))


def _shown(records: list[LogRecord], fields: str | None, *, include_fields: bool) -> list[dict[str, Any]]:
    return [narrowed(_body(record), fields, include_fields=include_fields) for record in records]


def _body(record: LogRecord) -> dict[str, Any]:
    return {
        "_id": record.log_id,
        "log_id": record.log_id,
        "date": to_iso(record.date),
        "type": record.type,
        "description": record.description,
        "connection": record.connection,
        "connection_id": record.connection_id,
        "organization_id": None,
        "organization_name": None,
        "client_id": record.client_id,
        "client_name": record.client_name,
        "ip": record.ip,
        "hostname": None,
        "user_id": record.user_id,
        "user_name": record.user_name,
        "user_agent": tenant_log.summarize(record.user_agent),
        "audience": None,
        "strategy": record.strategy,
        "strategy_type": record.strategy_type,
        "isMobile": tenant_log.is_mobile(record.user_agent),
        "location_info": None,
        "details": dict(record.details),
    }
