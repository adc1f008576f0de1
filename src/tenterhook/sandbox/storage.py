"""The port behind ``context.webtask.storage``: one small JSON document per hook, kept by the host.

The runtime remembers the version (etag) it read last within one run. ``set`` without ``force`` is refused when
somebody wrote in between; the hook's callback then gets an error with ``code`` 409 and ``conflict``, the document
that is there, as the original did.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from tenterhook.errors import ConflictError
from tenterhook.sandbox.script import Json


class StorageConflictError(ConflictError):
    """Somebody stored another document since this one was read."""

    code: ClassVar[str] = "storage_conflict"

    def __init__(self, *, data: Json, etag: str | None) -> None:
        """Take the document that is there and its version."""
        super().__init__()
        self.data = data
        self.etag = etag


class Storage(Protocol):
    """Where the document of one hook is kept."""

    async def get(self) -> tuple[Json, str | None]:
        """Return the document (None: nothing stored) and its version."""
        ...

    async def set(self, data: Json, *, etag: str | None, force: bool) -> str | None:
        """Store the document and return its new version.

        Raises:
            StorageConflictError: the stored version is not ``etag`` and ``force`` is false.
        """
        ...


class MemoryStorage:
    """A document that lives as long as this object: for drafts in the Runner, and for tests."""

    def __init__(self, data: Json = None) -> None:
        self._data = data
        self._version = 0

    async def get(self) -> tuple[Json, str | None]:
        """Return the document and its version."""
        return self._data, str(self._version) if self._version else None

    async def set(self, data: Json, *, etag: str | None, force: bool) -> str | None:
        """Store the document, unless it changed since ``etag``."""
        current = str(self._version) if self._version else None
        if not force and etag != current:
            raise StorageConflictError(data=self._data, etag=current)
        self._version += 1
        self._data = data
        return str(self._version)
