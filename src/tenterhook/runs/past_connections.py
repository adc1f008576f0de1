"""Past connections: what the attempts of one subject's runs have tried to reach, for whoever draws up a list of it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass

from tenterhook.database import Reader
from tenterhook.ids import TenantId

MAX_RUNS = 1000
"""The newest runs that are looked at."""
MAX_DESTINATIONS = 300
"""Destinations that are returned, the most frequent ones; a hook can make up any number of them."""

_CONNECTIONS = """
SELECT made->>'address' AS address, (made->>'port')::integer AS port, (made->'names')::text AS names,
       (made->>'allowed')::boolean AS allowed, made->>'reason' AS reason, count(*) AS times, max(a.started_at) AS last_at
FROM (SELECT id FROM runs WHERE tenant_id = $1 AND subject_id = $2 ORDER BY id DESC LIMIT $3) r
JOIN attempts a ON a.run_id = r.id
CROSS JOIN jsonb_array_elements(a.connections) made
GROUP BY 1, 2, 3, 4, 5
ORDER BY count(*) DESC, 1, 2, 3
LIMIT $4
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class PastConnection:
    """One destination, and how it went there."""

    address: str | None
    """None where the name was refused, so that there was no address."""
    port: int | None
    names: tuple[str, ...]
    """What had been asked of DNS, newest first."""
    allowed: bool
    reason: str
    """The policy's word for it."""
    times: int
    last_at: dt.datetime
    """When the last such attempt started."""


async def past_connections(reader: Reader, tenant_id: TenantId, subject_id: str) -> Sequence[PastConnection]:
    """Return the destinations of a subject's newest runs, the most frequent first."""
    rows = await reader.raw.fetch(_CONNECTIONS, tenant_id, subject_id, MAX_RUNS, MAX_DESTINATIONS)
    return [
        PastConnection(
            address=row["address"],
            port=row["port"],
            names=tuple(json.loads(row["names"] or "[]")),
            allowed=row["allowed"],
            reason=row["reason"],
            times=row["times"],
            last_at=row["last_at"],
        )
        for row in rows
    ]
