"""Identifiers: their types, their shapes, and how new ones are made.

| what              | shape                            | source                                      |
| ----------------- | -------------------------------- | ------------------------------------------- |
| user              | 24 hexadecimal digits, bare      | SPEC 2.1; the management API adds ``auth0|``|
| connection        | ``con_`` and 16 letters/digits   | SPEC 5.5                                    |
| client            | 32 letters/digits                | Auth0's clients                             |
| hook, run, worker | ULID: 26 characters, sortable    | SPEC 4.1 (hooks)                            |
| tenant log        | ``90020`` + time + digits        | SPEC 8: opaque, sorts by time               |

The types are distinct so that a user id cannot be passed where a run id is meant.
"""

from __future__ import annotations

import datetime as dt
import secrets
import string
import time
from typing import NewType

TenantId = NewType("TenantId", str)
ConnectionId = NewType("ConnectionId", str)
ClientId = NewType("ClientId", str)
UserId = NewType("UserId", str)
HookId = NewType("HookId", str)
RunId = NewType("RunId", str)
WorkerId = NewType("WorkerId", str)
LogId = NewType("LogId", str)

USER_ID_PREFIX = "auth0|"
"""What the management API and the tenant logs put before a user's bare id."""

_LETTERS_AND_DIGITS = string.ascii_letters + string.digits
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_LETTERS_AND_DIGITS) for _ in range(length))


def new_ulid() -> str:
    """Return a ULID: 48 bits of milliseconds, then 80 random bits, in Crockford's base 32 (ulid/spec)."""
    number = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


def new_tenant_id() -> TenantId:
    """Return a new tenant id."""
    return TenantId("ten_" + _random_text(16))


def new_connection_id() -> ConnectionId:
    """Return a new connection id."""
    return ConnectionId("con_" + _random_text(16))


def new_client_id() -> ClientId:
    """Return a new client id."""
    return ClientId(_random_text(32))


def new_client_secret() -> str:
    """Return a new client secret: 64 letters and digits, 381 bits of chance."""
    return _random_text(64)


def new_user_id() -> UserId:
    """Return a new bare user id: 32 bits of seconds, then 64 random bits, as 24 hexadecimal digits."""
    return UserId(f"{int(time.time()) & 0xFFFFFFFF:08x}{secrets.token_hex(8)}")


def new_hook_id() -> HookId:
    """Return a new hook id."""
    return HookId(new_ulid())


def new_run_id() -> RunId:
    """Return a new run id; later runs sort after earlier ones, to the millisecond."""
    return RunId(new_ulid())


def new_worker_id() -> WorkerId:
    """Return a new worker id, one per worker process and start."""
    return WorkerId(new_ulid())


def new_log_id(now: dt.datetime) -> LogId:
    """Return a new tenant log id that sorts by time."""
    stamp = now.astimezone(dt.UTC).strftime("%Y%m%d%H%M%S%f")
    return LogId(f"90020{stamp}{secrets.randbelow(10**26):026d}")
