"""Password hashing: argon2id in a pool of threads of its own, behind a line of bounded length.

A hash takes about 20 ms of one processor and 19 MiB (OWASP's parameters: m = 19456 KiB, t = 2, p = 1); argon2 lets go
of Python's lock meanwhile. More threads than processors would only make every hash slower, so what does not fit waits,
and beyond ``line_length`` waiting ones the answer is ``HashingLineFullError`` at once: a sign-up storm must not turn
into minutes of latency and gigabytes of waiting requests.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import argon2

from tenterhook.directory.errors import HashingLineFullError, PasswordTooLongError
from tenterhook.directory.password_policy import MAX_PASSWORD_BYTES

MEMORY_KIB, ROUNDS, LANES = 19_456, 2, 1
_SECONDS_PER_HASH = 0.025
_T = TypeVar("_T")


class PasswordHasher:
    """Hashes and verifies passwords, ``threads`` at a time (0: one per processor)."""

    def __init__(self, *, threads: int = 0, line_length: int = 64) -> None:
        """Prepare the pool; threads start with the first hash."""
        self.threads = threads or os.cpu_count() or 1
        self.line_length = line_length
        self._inside = 0
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="password-hashing")
        self._argon2 = argon2.PasswordHasher(time_cost=ROUNDS, memory_cost=MEMORY_KIB, parallelism=LANES)

    async def hash(self, plain: str) -> str:
        """Return the password's hash in PHC form (``$argon2id$…``).

        Raises:
            HashingLineFullError: as many wait as may; nothing was done.
            PasswordTooLongError: longer than ``MAX_PASSWORD_BYTES``.
        """
        encoded = _encode(plain)
        return await self._in_line(lambda: self._argon2.hash(encoded))

    async def verify(self, hashed: str, plain: str) -> bool:
        """Tell whether the password is the hash's; raises as ``hash`` does."""
        encoded = _encode(plain)

        def compare() -> bool:
            try:
                return self._argon2.verify(hashed, encoded)
            except argon2.exceptions.VerifyMismatchError:
                return False

        return await self._in_line(compare)

    def close(self) -> None:
        """Let the hashes that have begun end, and drop the rest."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _in_line(self, work: Callable[[], _T]) -> _T:
        if self._inside >= self.threads + self.line_length:
            seconds = math.ceil(self.line_length * _SECONDS_PER_HASH / self.threads)
            raise HashingLineFullError(retry_after_seconds=max(1, seconds))
        loop = asyncio.get_running_loop()
        future = self._pool.submit(work)
        self._inside += 1
        # Counted out when the *work* has ended, not when its caller has lost interest; the callback comes in a thread.
        future.add_done_callback(lambda done: self._leave(loop, done))
        return await asyncio.wrap_future(future)

    def _leave(self, loop: asyncio.AbstractEventLoop, _done: Future[_T]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._one_less)

    def _one_less(self) -> None:
        self._inside -= 1


def _encode(plain: str) -> bytes:
    try:
        encoded = plain.encode()
    except UnicodeEncodeError:  # it quotes the password
        raise PasswordTooLongError("Password is not valid text.") from None
    if len(encoded) > MAX_PASSWORD_BYTES:
        raise PasswordTooLongError
    return encoded
