"""Tenant log: what happened in a tenant, in Auth0's event types, for its operators."""

from tenterhook.tenant_log.log import (
    SEARCHABLE,
    LogEvent,
    LogRecord,
    count_of_tenant,
    erase_user,
    find,
    list_of_tenant,
    write,
)
from tenterhook.tenant_log.user_agent import is_mobile, summarize

__all__ = [
    "SEARCHABLE",
    "LogEvent",
    "LogRecord",
    "count_of_tenant",
    "erase_user",
    "find",
    "is_mobile",
    "list_of_tenant",
    "summarize",
    "write",
]
