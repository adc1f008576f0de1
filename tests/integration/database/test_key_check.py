"""Start-up refuses a key that is not this database's."""

from __future__ import annotations

import pytest

from tenterhook.database import Database, Vault, check_key
from tenterhook.errors import ConfigurationError


async def test_the_first_key_is_remembered_and_another_refused(database: Database) -> None:
    for _ in range(2):
        async with database.transaction() as transaction:
            await check_key(transaction, Vault(b"a" * 32))

    async def with_another() -> None:
        async with database.transaction() as transaction:
            await check_key(transaction, Vault(b"b" * 32))

    with pytest.raises(ConfigurationError, match="does not belong to this database"):
        await with_another()
