"""What a hook asks of ``context.webtask.storage``, put to the port, and the answer in the channel's words."""

from __future__ import annotations

from typing import Any

import structlog

from tenterhook.sandbox.protocol import Fields, ProtocolViolation
from tenterhook.sandbox.storage import Storage, StorageConflictError

_log = structlog.get_logger(__name__)
_LONGEST_ETAG = 256


async def ask(storage: Storage | None, kind: str, fields: Fields) -> dict[str, Any]:
    """Answer ``storage_get`` or ``storage_set``; whatever is wrong with the storage, there is an answer.

    Raises:
        ProtocolViolation: the question is not of the runtime's making.
    """
    if storage is None:
        return {"error": "Storage is not available here."}
    try:
        if kind == "storage_get":
            data, etag = await storage.get()
            return {"data": data, "etag": etag}
        etag = fields.text_or_none("etag", longest=_LONGEST_ETAG)
        force = fields.boolean("force")
        return {"etag": await storage.set(fields.message.get("data"), etag=etag, force=force)}
    except StorageConflictError as conflict:
        return {"conflict": True, "data": conflict.data, "etag": conflict.etag}
    except ProtocolViolation:
        raise
    except Exception:  # noqa: BLE001 - a database is behind the port: it may fail in any way, and the hook needs its answer
        _log.exception("sandbox_storage_failed")
        return {"error": "The storage cannot be reached."}
