"""context.webtask.storage on the real table: versions, races, limits."""

from __future__ import annotations

import asyncio

import pytest

from tenterhook.hooks import HookNotFoundError, HookStorage, HookStorageTooLargeError
from tenterhook.ids import HookId
from tenterhook.sandbox import StorageConflictError


@pytest.fixture
async def storage(world, create_hook):
    hook = await create_hook()
    return HookStorage(world.database, HookId(hook["id"]), max_bytes=100)


async def test_document_is_kept_with_a_new_version_each_time(storage):
    assert await storage.get() == (None, None)
    first = await storage.set({"a": [1, None, "ü\u0000\ud800"]}, etag=None, force=False)
    assert await storage.get() == ({"a": [1, None, "ü\u0000\ud800"]}, first)
    second = await storage.set(None, etag=first, force=False)
    assert await storage.get() == (None, second)
    assert first != second


async def test_stale_version_is_refused_with_what_is_there_unless_forced(storage):
    first = await storage.set(1, etag=None, force=False)
    second = await storage.set(2, etag=first, force=False)
    for stale in (first, None):
        with pytest.raises(StorageConflictError) as raised:
            await storage.set(3, etag=stale, force=False)
        assert (raised.value.data, raised.value.etag) == (2, second)
    await storage.set(4, etag=first, force=True)
    assert (await storage.get())[0] == 4


async def test_of_many_first_writers_one_wins(storage):
    results = await asyncio.gather(
        *(storage.set(number, etag=None, force=False) for number in range(8)), return_exceptions=True
    )
    assert sum(isinstance(result, str) for result in results) == 1
    assert sum(isinstance(result, StorageConflictError) for result in results) == 7


async def test_limit_counts_bytes_of_utf8(storage):
    await storage.set("ü" * 49, etag=None, force=True)
    for document in ("ü" * 50, "x" * 99):
        with pytest.raises(HookStorageTooLargeError, match="100 bytes"):
            await storage.set(document, etag=None, force=True)
    await storage.set("x" * 98, etag=None, force=True)


async def test_deleted_hook_has_no_storage(world):
    with pytest.raises(HookNotFoundError):
        await HookStorage(world.database, HookId("absent"), max_bytes=100).set(1, etag=None, force=False)
