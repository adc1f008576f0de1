"""What hooks ask of ``context.webtask.storage``: put to the port, within bounds, and answered in the channel's words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from tenterhook.sandbox.open_run import OpenRun
from tenterhook.sandbox.protocol import Fields, ProtocolViolation
from tenterhook.sandbox.storage import Storage, StorageConflictError

_log = structlog.get_logger(__name__)
_LONGEST_ETAG = 256
MAX_AT_ONCE = 64
"""Questions of one run that are open at a time."""
MAX_ASKED_BYTES = 8 * 1024 * 1024
"""Of one run, questions and answers in all: sixteen documents of the largest size, or many small ones."""
MAX_UNREAD_BYTES = 1024 * 1024
"""What the process may leave unread before it gets another answer."""
_PAUSE_SECONDS = 0.02
_MARGIN_BYTES = 4096
"""What a question has besides the document."""


class StorageQuestions:
    """Those of one process; on the event loop."""

    def __init__(
        self,
        *,
        send: Callable[[dict[str, Any]], int],
        unread_bytes: Callable[[], int],
        violated: Callable[[str], None],
    ) -> None:
        """Take who sends an answer and says how long it was, how much is unread, and who hears of forged questions."""
        self._unread_bytes = unread_bytes
        self._one_at_a_time = asyncio.Lock()
        self._send = send
        self._violated = violated
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, kind: str, run: OpenRun, fields: Fields, frame_bytes: int) -> bool:
        """Begin to answer ``storage_get`` or ``storage_set``; False where the question was of no use."""
        question = fields.integer("question")
        run.asked_bytes += frame_bytes
        if run.asked_bytes > MAX_ASKED_BYTES or frame_bytes > run.limits.storage_bytes + _MARGIN_BYTES:
            return self._refuse(
                question, f"A run may exchange {MAX_ASKED_BYTES:,} bytes with its storage in all."
            )
        if run.questions >= MAX_AT_ONCE:
            return self._refuse(question, "Too many questions at once.")
        run.questions += 1
        task = asyncio.get_running_loop().create_task(self._answer(kind, run, fields, question))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def close(self) -> None:
        """Answer nothing more."""
        for task in self._tasks:
            task.cancel()

    def _refuse(self, question: int, error: str) -> bool:
        self._send({"type": "answer", "question": question, "error": error})
        return False

    async def _answer(self, kind: str, run: OpenRun, fields: Fields, question: int) -> None:
        try:
            # One after the other, each in a turn of its own, and none while the last ones are unread: a few bytes of
            # question may have an answer of half a megabyte.
            async with self._one_at_a_time:
                while self._unread_bytes() > MAX_UNREAD_BYTES:  # noqa: ASYNC110 - transports tell of this to no event
                    await asyncio.sleep(_PAUSE_SECONDS)
                answer = await _ask(run.storage, kind, fields)
                run.asked_bytes += self._send({"type": "answer", "question": question, **answer})
                await asyncio.sleep(0)
        except ProtocolViolation as violation:
            self._violated(str(violation))
        finally:
            run.questions -= 1


async def _ask(storage: Storage | None, kind: str, fields: Fields) -> dict[str, Any]:
    """Put a question; whatever is wrong with the storage, there is an answer.

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
