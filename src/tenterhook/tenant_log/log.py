"""Writing and reading the log.

An event is written in the transaction of what it reports, when that succeeded; a failure is written in one of its own,
because the other was rolled back. Ids sort by time, and reading by id is how a client follows the log
(``from`` and ``take``): it sees every event once, though one committed late may lie before the last it saw.

Only this package touches ``tenant_logs``. Callers never put a password or a secret into ``details``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, func, or_, select

from tenterhook.database import Reader, Transaction, jsonb_text
from tenterhook.ids import USER_ID_PREFIX, ConnectionId, LogId, TenantId, new_log_id
from tenterhook.tenant_log.tables import tenant_logs

SEARCHABLE = (
    "type",
    "client_id",
    "client_name",
    "connection",
    "connection_id",
    "user_id",
    "user_name",
    "ip",
    "log_id",
    "description",
    "strategy",
)
"""Fields that ``list_of_tenant`` can filter by."""

_LONGEST_DESCRIPTION = 4096
_LONGEST_USER_AGENT = 512


@dataclass(frozen=True, kw_only=True)
class LogEvent:
    """Something that happened, to be written."""

    tenant_id: TenantId
    type: str
    """Auth0's code: ``ss``, ``fs``, ``sapi``, ``fpurh``, …"""
    date: datetime
    description: str = ""
    connection: str | None = None
    connection_id: ConnectionId | None = None
    client_id: str | None = None
    client_name: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    """As the client sent it; shown shortened."""
    user_id: str | None = None
    """Bare; shown with ``auth0|``."""
    user_name: str | None = None
    """E-mail address, else username."""
    strategy: str | None = None
    strategy_type: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LogRecord:
    """An event as it was written."""

    log_id: LogId
    date: datetime
    type: str
    description: str
    connection: str | None
    connection_id: str | None
    client_id: str | None
    client_name: str | None
    ip: str | None
    user_agent: str | None
    user_id: str | None
    """With ``auth0|``."""
    user_name: str | None
    strategy: str | None
    strategy_type: str | None
    details: Mapping[str, Any]


_INSERT = """
INSERT INTO tenant_logs (log_id, tenant_id, date, type, description, connection, connection_id, client_id, client_name,
                         ip, user_agent, user_id, user_name, strategy, strategy_type, details)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
"""


async def write(transaction: Transaction, event: LogEvent) -> LogId:
    """Write one event and return its id."""
    log_id = new_log_id(event.date)
    await transaction.raw.execute(
        _INSERT,
        log_id,
        event.tenant_id,
        event.date,
        event.type,
        event.description[:_LONGEST_DESCRIPTION],
        event.connection,
        event.connection_id,
        event.client_id,
        event.client_name,
        event.ip,
        event.user_agent[:_LONGEST_USER_AGENT] if event.user_agent is not None else None,
        _shown_user_id(event.user_id) if event.user_id is not None else None,
        event.user_name,
        event.strategy,
        event.strategy_type,
        jsonb_text(event.details),
    )
    return log_id


async def find(reader: Reader, tenant_id: TenantId, log_id: str) -> LogRecord | None:
    """Return the tenant's event of this id, or None."""
    row = await reader.one_or_none(
        select(tenant_logs).where(tenant_logs.c.tenant_id == tenant_id, tenant_logs.c.log_id == log_id)
    )
    return None if row is None else _record(row)


async def list_of_tenant(
    reader: Reader,
    tenant_id: TenantId,
    *,
    limit: int,
    offset: int = 0,
    equals: Sequence[tuple[str, str]] = (),
    newest_first: bool = True,
    after: str | None = None,
) -> list[LogRecord]:
    """Return a page of the tenant's events, narrowed by ``SEARCHABLE`` fields; only those after the id ``after``."""
    order = tenant_logs.c.log_id.desc() if newest_first else tenant_logs.c.log_id.asc()
    condition = _matching(tenant_id, equals)
    if after is not None:
        condition = and_(condition, tenant_logs.c.log_id > after)
    rows = await reader.all(select(tenant_logs).where(condition).order_by(order).offset(offset).limit(limit))
    return [_record(row) for row in rows]


async def count_of_tenant(reader: Reader, tenant_id: TenantId, equals: Sequence[tuple[str, str]] = ()) -> int:
    """Return how many events there are of this kind."""
    row = await reader.one_or_none(
        select(func.count()).select_from(tenant_logs).where(_matching(tenant_id, equals))
    )
    return 0 if row is None else int(row[0])


async def erase_user(
    transaction: Transaction,
    tenant_id: TenantId,
    user_id: str,
    *,
    connection_id: ConnectionId,
    names: Iterable[str] = (),
) -> int:
    """Delete every event about the user, by id, or by the names they went by in their connection.

    Returns how many there were. The same name in another connection is somebody else's.
    """
    folded = [name.lower() for name in names]
    result = await transaction.execute(
        delete(tenant_logs).where(
            tenant_logs.c.tenant_id == tenant_id,
            or_(
                tenant_logs.c.user_id == _shown_user_id(user_id),
                and_(
                    tenant_logs.c.connection_id == connection_id,
                    func.lower(tenant_logs.c.user_name).in_(folded),
                ),
            ),
        )
    )
    return int(result.rowcount)


def _shown_user_id(user_id: str) -> str:
    return USER_ID_PREFIX + user_id.removeprefix(USER_ID_PREFIX)


def _matching(tenant_id: TenantId, equals: Sequence[tuple[str, str]]) -> ColumnElement[bool]:
    conditions = [tenant_logs.c.tenant_id == tenant_id]
    for name, value in equals:
        conditions.append(tenant_logs.c[name] == (_shown_user_id(value) if name == "user_id" else value))
    return and_(*conditions)


def _record(row: Row[Any]) -> LogRecord:
    return LogRecord(
        log_id=LogId(row.log_id),
        date=row.date,
        type=row.type,
        description=row.description,
        connection=row.connection,
        connection_id=row.connection_id,
        client_id=row.client_id,
        client_name=row.client_name,
        ip=row.ip,
        user_agent=row.user_agent,
        user_id=row.user_id,
        user_name=row.user_name,
        strategy=row.strategy,
        strategy_type=row.strategy_type,
        details=row.details,
    )
