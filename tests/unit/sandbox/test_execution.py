"""Values of the sandbox: what they say and how they are written."""

from __future__ import annotations

import pytest

from tenterhook.sandbox import Call, HookError, LimitHit, Limits, MemoryStorage, StorageConflictError, Webtask
from tenterhook.settings import Settings


@pytest.mark.parametrize(
    ("error", "wire"),
    [
        (HookError(name="Error", message="m"), {"message": "m"}),
        (
            HookError(name="Error", message="m", stack="s", code="C"),
            {"message": "m", "stack": "s", "code": "C"},
        ),
        (
            HookError(name="Own", message="m", properties={"name": "Own", "statusCode": 4}),
            {"name": "Own", "message": "m", "statusCode": 4},
        ),
    ],
)
def test_error_on_the_wire(error: HookError, wire: dict[str, object]) -> None:
    assert error.to_wire() == wire


@pytest.mark.parametrize(
    ("status", "error", "failed"),
    [
        (200, None, False),
        (399, None, False),
        (400, None, True),
        (None, None, True),
        (200, "ANSWER_CUT", True),
    ],
)
def test_call_has_failed(status: int | None, error: str | None, failed: bool) -> None:
    assert Call(offset_ms=0, method="GET", host="h", path="/", status=status, error=error).failed is failed


def test_limit_says_how_to_raise_it() -> None:
    limit = LimitHit(name="memory", value=268435456, unit="bytes", setting="TENTERHOOK_MEMORY_LIMIT_BYTES")
    assert str(limit) == "memory limit of 268,435,456 bytes; TENTERHOOK_MEMORY_LIMIT_BYTES changes it"
    limit = LimitHit(name="wall_time", value=20.0, unit="seconds", setting="X")
    assert str(limit) == "wall time limit of 20 seconds; X changes it"


def test_limits_default_to_the_settings() -> None:
    assert Limits.from_settings(Settings()) == Limits()


def test_secrets_are_not_shown() -> None:
    assert "hush" not in repr(Webtask(secrets={"K": "hush"}, data={"K": "hush"}))


async def test_memory_storage_refuses_a_stale_version() -> None:
    storage = MemoryStorage()
    assert await storage.get() == (None, None)
    etag = await storage.set({"n": 1}, etag=None, force=False)
    with pytest.raises(StorageConflictError) as caught:
        await storage.set({"n": 2}, etag=None, force=False)
    assert (caught.value.data, caught.value.etag) == ({"n": 1}, etag)
    await storage.set({"n": 3}, etag=None, force=True)
    assert (await storage.get())[0] == {"n": 3}
