"""What a helper process writes to its stderr, as lines of the log: its tracebacks must not break a log of JSON."""

from __future__ import annotations

import asyncio
import os

import structlog

_log = structlog.get_logger(__name__)
_CHUNK_BYTES = 64 * 1024
_LONGEST_LINE_BYTES = 8 * 1024


class StderrLog:
    """Reads one pipe to its end, on the event loop."""

    def __init__(self, descriptor: int, event: str) -> None:
        """Take the read end, which is ours to close; ``event`` is what its lines are logged as."""
        os.set_blocking(descriptor, False)
        self._descriptor: int | None = descriptor
        self._event = event
        self._pending = b""
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    def _read(self) -> None:
        if self._descriptor is None:
            return
        try:
            data = os.read(self._descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return
        *lines, self._pending = (self._pending + data).split(b"\n")
        if not data or len(self._pending) > _LONGEST_LINE_BYTES:
            lines.append(self._pending)
            self._pending = b""
        for line in lines:
            if line.strip():
                _log.error(self._event, text=line[:_LONGEST_LINE_BYTES].decode(errors="replace"))
        if not data:
            self.close()

    def close(self) -> None:
        """Read no more."""
        if self._descriptor is not None:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
