"""The tenant log's ``sapi``: who changed what through the management API (SPEC 8).

Written in the transaction of the change, so the log has it if and only if it happened; only a user's creation, whose
transaction is the flow's (``ss``), is followed by it. Whoever calls this masks secrets in the bodies first.
"""

from __future__ import annotations

from typing import Any

from fastapi import Request

from tenterhook import tenant_log
from tenterhook.api.authorization import ManagementToken
from tenterhook.clock import Clock
from tenterhook.database import Transaction

MASK = "*****"
"""What stands in the log in the place of a secret."""


class ChangeLog:
    """The log of one request's change."""

    def __init__(self, *, request: Request, token: ManagementToken, clock: Clock, description: str) -> None:
        """Take the request, who may do it, the time, and the operation's name: ``Create a hook``."""
        self._request = request
        self._token = token
        self._clock = clock
        self._description = description

    async def write(
        self,
        transaction: Transaction,
        *,
        body: Any,
        status: int,
        response: Any,
        user_id: str | None = None,
        user_name: str | None = None,
        **details: Any,
    ) -> None:
        """Write the change: what was sent and answered, secrets masked, and further details.

        A change of a user names the user, for by that the entry is found when the user is erased.
        """
        request = self._request
        ip = request.client.host if request.client is not None else None
        user_agent = request.headers.get("user-agent")
        await tenant_log.write(
            transaction,
            tenant_log.LogEvent(
                tenant_id=self._token.tenant.id,
                type="sapi",
                date=self._clock.now(),
                description=self._description,
                client_id=self._token.client_id,
                ip=ip,
                user_agent=user_agent,
                user_id=user_id,
                user_name=user_name,
                details={
                    "request": {
                        "auth": {
                            "credentials": {"scopes": sorted(self._token.scopes)},
                            "strategy": "jwt",
                            "user": {},
                        },
                        "body": body,
                        "channel": "api",
                        "ip": ip,
                        "method": request.method.lower(),
                        "path": request.url.path,
                        "query": dict(request.query_params),
                        "userAgent": user_agent,
                    },
                    "response": {"body": response, "statusCode": status},
                    **details,
                },
            ),
        )
