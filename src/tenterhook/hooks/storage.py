"""Storage: the one document of a hook behind ``context.webtask.storage``, kept in ``hook_storage``.

Whoever stores names the version (etag) they read; if another was stored since, theirs is refused, unless they force
it. One statement decides, so runs on any number of machines may store at once.
"""

from __future__ import annotations

import json
import secrets

import asyncpg

from tenterhook.database import Database
from tenterhook.hooks.errors import HookNotFoundError, HookStorageTooLargeError
from tenterhook.ids import HookId
from tenterhook.sandbox import Json, StorageConflictError

_GET = "SELECT data, etag FROM hook_storage WHERE hook_id = $1"
_SET = """
INSERT INTO hook_storage (hook_id, data, etag) VALUES ($1, $2, $3)
ON CONFLICT (hook_id) DO UPDATE SET data = excluded.data, etag = excluded.etag, updated_at = now()
WHERE $5 OR hook_storage.etag = $4
RETURNING etag
"""


class HookStorage:
    """The document of one hook."""

    def __init__(self, database: Database, hook_id: HookId, *, max_bytes: int) -> None:
        """Take the database, whose document it is, and its largest size as JSON in UTF-8."""
        self._database = database
        self._hook_id = hook_id
        self._max_bytes = max_bytes

    async def get(self) -> tuple[Json, str | None]:
        """Return the document (None: nothing stored) and its version."""
        async with self._database.reader() as reader:
            row = await reader.raw.fetchrow(_GET, self._hook_id)
        return (None, None) if row is None else (json.loads(row["data"]), row["etag"])

    async def set(self, data: Json, *, etag: str | None, force: bool) -> str | None:
        """Store the document and return its new version.

        Raises:
            StorageConflictError: the stored version is not ``etag`` and ``force`` is false.
            HookStorageTooLargeError: the document is over the limit.
            HookNotFoundError: the hook was deleted meanwhile.
        """
        # Escaped (ensure_ascii), for U+0000 and lone surrogates have no place in PostgreSQL's text; but measured as
        # the hook would write it.
        document = json.dumps(data, separators=(",", ":"))
        if len(document) > self._max_bytes and _size_in_utf8(data) > self._max_bytes:
            raise HookStorageTooLargeError(
                f"The document for context.webtask.storage is larger than {self._max_bytes} bytes."
            )
        try:
            async with self._database.reader() as reader:
                stored = await reader.raw.fetchval(
                    _SET, self._hook_id, document, secrets.token_hex(8), etag, force
                )
        except asyncpg.ForeignKeyViolationError:
            raise HookNotFoundError from None
        if stored is None:
            current, current_etag = await self.get()
            raise StorageConflictError(data=current, etag=current_etag)
        return str(stored)


def _size_in_utf8(data: Json) -> int:
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    return len(text.encode("utf-8", "surrogatepass"))
