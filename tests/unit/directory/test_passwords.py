from __future__ import annotations

import asyncio
import threading

import pytest

from tenterhook.directory import HashingLineFullError, PasswordHasher, PasswordTooLongError


@pytest.fixture
def hasher():
    hasher = PasswordHasher(threads=1, line_length=1)
    yield hasher
    hasher.close()


async def test_a_hash_is_argon2id_with_owasps_parameters_and_verifies(hasher) -> None:
    hashed = await hasher.hash("correct horse")
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await hasher.verify(hashed, "correct horse")
    assert not await hasher.verify(hashed, "incorrect horse")


async def test_two_hashes_of_one_password_differ(hasher) -> None:
    assert await hasher.hash("x") != await hasher.hash("x")


async def test_a_long_or_broken_password_is_refused_before_the_line(hasher) -> None:
    for plain in ("x" * 4097, "\ud800"):
        with pytest.raises(PasswordTooLongError):
            await hasher.hash(plain)


class Gate:
    """Holds every hash until it is opened."""

    def __init__(self, hasher: PasswordHasher) -> None:
        self.open = threading.Event()
        self.hashed: list[bytes] = []
        hasher._argon2 = self

    def hash(self, encoded: bytes) -> str:
        self.open.wait(5)
        self.hashed.append(encoded)
        return "hashed"


async def test_beyond_the_line_it_is_full_at_once_and_free_again_later(hasher) -> None:
    gate = Gate(hasher)
    inside = [asyncio.ensure_future(hasher.hash("a")) for _ in range(2)]  # one in the thread, one waiting
    await asyncio.sleep(0)
    with pytest.raises(HashingLineFullError) as caught:
        await hasher.hash("b")
    assert caught.value.retry_after_seconds >= 1
    gate.open.set()
    assert await asyncio.gather(*inside) == ["hashed", "hashed"]
    assert await hasher.hash("b") == "hashed"
    assert gate.hashed == [b"a", b"a", b"b"]


async def test_a_caller_who_leaves_gives_the_place_back_only_when_the_work_ends(hasher) -> None:
    gate = Gate(hasher)
    running = asyncio.ensure_future(hasher.hash("running"))
    waiting = asyncio.ensure_future(hasher.hash("waiting"))
    await asyncio.sleep(0)
    for task in (running, waiting):
        task.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    await asyncio.sleep(0)
    # The one that waited was dropped, the one in the thread still holds it: room for one more, not two.
    following = asyncio.ensure_future(hasher.hash("following"))
    await asyncio.sleep(0)
    with pytest.raises(HashingLineFullError):
        await hasher.hash("too many")
    gate.open.set()
    assert await following == "hashed"
    assert b"waiting" not in gate.hashed


async def test_repr_of_nothing_shows_a_password(hasher) -> None:
    hashed = await hasher.hash("marker-of-this-test")
    assert "marker" not in repr(hasher.__dict__) + hashed
